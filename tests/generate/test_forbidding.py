"""Forbidden words against the plain definition: look at the whole text before and after."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memlm.errors import ConfigError, InputError
from memlm.generate import GenerateConfig, generate_texts
from memlm.generate.forbidding import ForbidWords
from memlm.generate.pieces import Pieces
from memlm.prepare.tokenizer import ByteTokenizer, CharTokenizer
from memlm.prepare.vocabulary import learn_tokenizer

TEXT = "the cat sat on the mat.\na cat, a hat 床前明月光，明月 aaa aa\n疑是地上霜"
KINDS = ("char", "byte", "bpe", "word", "whitespace")
WORDS = ("cat", "at", "aa", "aaa", "the cat", " ", "t, a", "明月", "月", "\n", "t.\na", "e ca")


def _tokenizer(kind: str):
    if kind == "byte":
        return ByteTokenizer(labels=["x"], name="byte")
    size = 290 if kind == "bpe" else None
    return learn_tokenizer(kind, [TEXT] * 3, size=size, labels=["x"])


TOKENIZERS = {kind: _tokenizer(kind) for kind in KINDS}


def _ends_of(word: str, text: str) -> set[int]:
    return {place for place in range(len(text)) if text.startswith(word, place)}


def _completes(tokenizer, words, tokens, token) -> bool:
    before, after = tokenizer.decode(tokens), tokenizer.decode([*tokens, token])
    return any(_ends_of(word, after) - _ends_of(word, before) for word in words)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_exactly_the_tokens_that_complete_a_word_are_forbidden(kind, data):
    tokenizer = TOKENIZERS[kind]
    words = data.draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=4))
    size = tokenizer.vocabulary_size
    text = tokenizer.encode(TEXT).ids.tolist()
    first = data.draw(st.integers(0, len(text)))
    beginning = text[first : first + data.draw(st.integers(0, 12))]
    # Random tokens too: of bytes, they are mostly no characters.
    more = st.lists(st.integers(tokenizer.num_specials, size - 1), max_size=3)
    tokens = [*beginning, *data.draw(more)]
    rows = np.zeros((1, size))
    found = ForbidWords(words, Pieces(tokenizer))(rows, np.array([tokens], dtype=np.int64))
    forbidden = set(np.flatnonzero(np.isneginf(found[0])).tolist())
    symbols = range(tokenizer.num_specials, size)  # special tokens are no text
    assert forbidden == {one for one in symbols if _completes(tokenizer, words, tokens, one)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("word", ["cat", "明月", "at.\na", "疑是地"], ids=repr)
def test_a_forbidden_word_is_never_written_however_much_a_model_wants_to(reciter, kind, word):
    tokenizer = TOKENIZERS[kind]
    script = tokenizer.encode(TEXT).ids.tolist()
    model = reciter(script, tokenizer.vocabulary_size)
    config = GenerateConfig(
        tokens=3 * len(script), forbid=(word,), label="x", seed=1, ignore_end=True
    )
    (found,) = generate_texts(model, tokenizer, "", config)
    assert found.text
    assert word not in found.text


@pytest.mark.parametrize("kind", ["char", "byte", "bpe"])
def test_a_word_that_began_in_the_prompt_is_not_completed(reciter, kind):
    tokenizer = TOKENIZERS[kind]
    script = tokenizer.encode("t sat on the mat").ids.tolist()
    skipped = len(tokenizer.encode("the ca").ids) + 2
    model = reciter(script, tokenizer.vocabulary_size, skipped=skipped)
    config = GenerateConfig(tokens=8, forbid=("cat",), label="x", temperature=0)
    (found,) = generate_texts(model, tokenizer, "the ca", config)
    assert not ("the ca" + found.text).startswith("the cat")


def test_a_word_of_the_prompt_may_stay_there(reciter):
    tokenizer = TOKENIZERS["char"]
    model = reciter(tokenizer.encode(" sat").ids.tolist(), tokenizer.vocabulary_size, skipped=9)
    config = GenerateConfig(tokens=4, forbid=("cat",), label="x", temperature=0)
    assert generate_texts(model, tokenizer, "the cat", config)[0].text == " sat"


@pytest.mark.parametrize("beams", [None, 3])
def test_where_everything_is_forbidden_it_is_said(uniform, beams):
    tokenizer = CharTokenizer("ab", labels=[], name="char")
    config = GenerateConfig(forbid=("a", "b"), ignore_end=True, beams=beams)
    with pytest.raises(InputError) as caught:
        generate_texts(uniform(tokenizer.vocabulary_size), tokenizer, "", config)
    assert caught.value.code == "everything_forbidden"


@pytest.mark.parametrize("beams", [None, 1, 3])
def test_a_text_ends_where_nothing_is_left_to_write(uniform, beams):
    tokenizer = CharTokenizer("ab", labels=[], name="char")
    config = GenerateConfig(forbid=("aa", "ab", "b"), ignore_end=True, beams=beams)
    (found,) = generate_texts(uniform(tokenizer.vocabulary_size), tokenizer, "", config)
    assert (found.text, found.tokens, found.ended_by) == ("a", 1, "forbidden")


def test_what_is_no_character_cannot_be_forbidden():
    with pytest.raises(ConfigError, match="FFFD"):
        GenerateConfig(forbid=("a\ufffd",)).check()
