"""Allowed words against the plain definition: is what was written the beginning of such a text?"""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memlm.errors import InputError
from memlm.generate import GenerateConfig, generate_texts
from memlm.generate.allowing import AllowWords
from memlm.generate.pieces import Pieces
from memlm.prepare.tokenizer import ByteTokenizer, CharTokenizer, WordTokenizer
from memlm.prepare.vocabulary import learn_tokenizer

TEXT = "the cat sat on the mat.\na cat, a hat: 床前明月光，明月。can't 42\n"
KINDS = ("char", "byte", "bpe")
WORDS = ("cat", "ca", "a", "t", "at", "the", "can't", "明月", "月光", "明", "42", "New York")
JOINERS = {
    character.encode("utf-8")
    for character in map(chr, range(0x10000))
    if character in "\n\t" or unicodedata.category(character)[0] in "PZ"
}
JOINER_BEGINNINGS = {joiner[:size] for joiner in JOINERS for size in (1, 2)} - JOINERS


def _tokenizer(kind: str):
    if kind == "byte":
        return ByteTokenizer(labels=[], name="byte")
    size = 290 if kind == "bpe" else None
    return learn_tokenizer(kind, [TEXT + "NYwork"] * 3, size=size, labels=[])


TOKENIZERS = {kind: _tokenizer(kind) for kind in KINDS}


def _needs_joiner(character: str) -> bool:
    return character.isalnum() and not "\u3040" <= character <= "\u9fff"


def _begins_text(data: bytes, words, *, after_letter: bool) -> tuple[bool, bool]:
    """Say whether bytes begin such a text, and whether they are one."""
    if not data:
        return True, True
    begins, is_whole = data in JOINER_BEGINNINGS, False
    units = [data[:size] for size in (1, 2, 3) if data[:size] in JOINERS]
    after = [(unit, False) for unit in dict.fromkeys(units)]
    for word in words:
        if after_letter and _needs_joiner(word[0]):
            continue
        encoded = word.encode("utf-8")
        begins = begins or encoded.startswith(data)
        after.append((encoded, _needs_joiner(word[-1])))
    for unit, letter in after:
        if data.startswith(unit):
            found = _begins_text(data[len(unit) :], words, after_letter=letter)
            begins, is_whole = begins or found[0], is_whole or found[1]
    return begins, is_whole


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_exactly_what_leads_on_is_allowed(kind, data):
    tokenizer = TOKENIZERS[kind]
    pieces = tokenizer.pieces()
    words = data.draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=5, unique=True))
    prompt = data.draw(st.sampled_from(["", "the", "the ", "明"]))
    prompt_ids = tokenizer.encode(prompt).ids.tolist()
    after_letter = prompt == "the"
    transform = AllowWords(
        words, Pieces(tokenizer), end=tokenizer.end, prompt=prompt, begin=len(prompt_ids)
    )
    written: list[int] = []
    for _ in range(data.draw(st.integers(1, 8))):
        rows = np.zeros((1, tokenizer.vocabulary_size))
        found = transform(rows, np.array([prompt_ids + written], dtype=np.int64))
        allowed = set(np.flatnonzero(found[0] == 0).tolist())
        text = b"".join(pieces[token] for token in written)
        expected = {
            token
            for token, piece in enumerate(pieces)
            if piece and _begins_text(text + piece, words, after_letter=after_letter)[0]
        }
        if _begins_text(text, words, after_letter=after_letter)[1]:
            expected.add(tokenizer.end)
        assert allowed == expected
        written.append(data.draw(st.sampled_from(sorted(allowed - {tokenizer.end}))))


@pytest.mark.parametrize("kind", [*KINDS, "word", "whitespace"])
def test_nothing_but_the_words_and_what_joins_them_is_written(uniform, kind):
    tokenizer = (
        TOKENIZERS[kind]
        if kind in KINDS
        else learn_tokenizer(kind, [TEXT, "cat 明月 . , ，"], size=None, labels=[])
    )
    model = uniform(tokenizer.vocabulary_size)
    config = GenerateConfig(allow=("cat", "明月"), samples=20, tokens=12, seed=1)
    texts = [one.text for one in generate_texts(model, tokenizer, "", config)]
    assert any("cat" in text for text in texts)
    assert any("明月" in text for text in texts)
    for text in texts:
        rest = re.sub(r"cat(?![^\W\u3040-\u9fff])|明月", "", text)
        rest = re.sub(r"(?:ca?|明?\ufffd?)$", "", rest)  # the last word may be cut by --tokens
        assert all(c.isspace() or unicodedata.category(c)[0] == "P" for c in rest), text


def test_a_document_ends_where_a_word_does(reciter):
    tokenizer = CharTokenizer("acdgot ", labels=[], name="char")
    script = [*tokenizer.encode("ca").ids.tolist(), tokenizer.end]
    model = reciter(script, tokenizer.vocabulary_size)
    config = GenerateConfig(allow=("cat",), temperature=0)
    (found,) = generate_texts(model, tokenizer, "", config)
    assert found.text.startswith("cat")


def test_words_of_letters_are_kept_apart(uniform):
    tokenizer = CharTokenizer("ab ", labels=[], name="char")
    config = GenerateConfig(allow=("a", "b"), tokens=60, seed=2, ignore_end=True)
    (found,) = generate_texts(uniform(tokenizer.vocabulary_size), tokenizer, "", config)
    assert re.fullmatch(r"( *[ab](?: +|$))+", found.text)


def test_after_a_letter_of_the_prompt_comes_what_joins(uniform):
    tokenizer = CharTokenizer("ab ", labels=[], name="char")
    config = GenerateConfig(allow=("a",), tokens=1, samples=30, seed=2, ignore_end=True)
    found = generate_texts(uniform(tokenizer.vocabulary_size), tokenizer, "b", config)
    assert {one.text for one in found} == {" "}


def test_a_token_that_leads_nowhere_is_not_taken(uniform):
    # "c" begins "cats", and no token goes on from there.
    tokenizer = WordTokenizer(["c", "cats", " "], labels=[], name="word")
    config = GenerateConfig(allow=("cats",), tokens=1, samples=40, seed=3, ignore_end=True)
    found = generate_texts(uniform(tokenizer.vocabulary_size), tokenizer, "", config)
    assert {one.text for one in found} == {"cats", " "}


@pytest.mark.parametrize("kind", ["char", "word"])
def test_a_word_that_the_vocabulary_cannot_write_is_refused_and_named(uniform, kind):
    tokenizer = learn_tokenizer(kind, ["the cat sat"], size=None, labels=[])
    config = GenerateConfig(allow=("cat", "dog", "明月"))
    with pytest.raises(InputError) as caught:
        generate_texts(uniform(tokenizer.vocabulary_size), tokenizer, "", config)
    assert caught.value.code == "allow_unwritable"
    assert caught.value.values["words"] == "dog, 明月"


def test_a_whole_sentence_may_be_allowed(uniform):
    tokenizer = ByteTokenizer(labels=[], name="byte")
    sentence = "Once upon a time there was a cat who sat on the mat and said nothing at all. " * 8
    config = GenerateConfig(allow=(sentence.strip(),), tokens=900, seed=1, forbid=("\n",))
    assert generate_texts(uniform(tokenizer.vocabulary_size), tokenizer, "", config)


def test_what_is_allowed_and_forbidden_is_forbidden(uniform):
    tokenizer = CharTokenizer("ab", labels=[], name="char")
    config = GenerateConfig(allow=("a",), forbid=("a",), ignore_end=True)
    with pytest.raises(InputError) as caught:
        generate_texts(uniform(tokenizer.vocabulary_size), tokenizer, "", config)
    assert caught.value.code == "everything_forbidden"


def test_the_answer_does_not_depend_on_the_order_of_rows():
    tokenizer = TOKENIZERS["char"]
    words = ["cat", "can't", "明月"]
    one = AllowWords(words, Pieces(tokenizer), end=tokenizer.end)
    texts = ["cat ca", "can't ", "明月cat", "明明明明明月"]
    ids = [tokenizer.encode(text).ids[:5].astype(np.int64) for text in texts if len(text) > 5]
    rows = np.array(ids)
    weights = np.zeros((len(rows), tokenizer.vocabulary_size))
    for length in range(1, 6):
        order = np.random.Generator(np.random.Philox(length)).permutation(len(rows))
        found = one(weights, rows[order, :length])
        fresh = AllowWords(words, Pieces(tokenizer), end=tokenizer.end)
        assert np.array_equal(found, fresh(weights, rows[order, :length]))
