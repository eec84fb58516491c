"""Tokenizers give the text back, say where each token begins, and hide no unknown symbol."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memlm.errors import CorruptArtefactError, MissingExtraError
from memlm.language_model import Tokenizer, unknown_bytes
from memlm.prepare import load_tokenizer, tokenizer_name, vocabulary
from memlm.prepare.tokenizer import UNKNOWN_TEXT
from memlm.prepare.vocabulary import learn_tokenizer

KINDS = ("char", "byte", "bpe", "word", "whitespace")
LEARNED = [
    "The cat sat on the mat. It's the cat's mat, isn't it?\n",
    "他们昨天去了北京大学。今天天气很好！\n",
    "Numbers: 3,000 and 2_000\tand wide\u3000spaces… 😀👩‍👩‍👧 café\n",
] * 3
LABELS = ["no", "yes"]
# Letters that were learned are common, so that words known and unknown stand side by side.
texts = st.text(st.sampled_from("".join(sorted(set("".join(LEARNED)))))) | st.text(
    st.characters(exclude_categories=["Cs"])
)


def learn(kind: str, size: int | None = None) -> Tokenizer:
    return learn_tokenizer(kind, LEARNED, size=size, labels=LABELS)


TOKENIZERS = {kind: learn(kind) for kind in KINDS}
every_kind = pytest.mark.parametrize("kind", KINDS)


def pieces(tokenizer: Tokenizer, text: str) -> list[str]:
    starts = tokenizer.encode(text).starts.tolist()
    ends = [*starts, len(text)][1:]
    return [text[start:end] for start, end in zip(starts, ends, strict=True)]


# -- there and back -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["char", "word"])
@given(text=texts)
def test_text_comes_back_but_for_unknown_symbols(kind: str, text: str) -> None:
    tokenizer = TOKENIZERS[kind]
    ids = tokenizer.encode(text).ids.tolist()
    expected = [
        UNKNOWN_TEXT if number == tokenizer.unknown else piece
        for number, piece in zip(ids, pieces(tokenizer, text), strict=True)
    ]
    assert tokenizer.decode(ids) == "".join(expected)


@pytest.mark.parametrize("kind", ["byte", "bpe"])
@given(text=texts)
def test_any_text_comes_back_whole(kind: str, text: str) -> None:
    tokenizer = TOKENIZERS[kind]
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


@every_kind
@pytest.mark.parametrize("text", LEARNED[:3], ids=["English", "Chinese", "mixed"])
def test_learned_text_comes_back(kind: str, text: str) -> None:
    tokenizer = TOKENIZERS[kind]
    back = tokenizer.decode(tokenizer.encode(text).ids)
    assert back.split() == text.split() if kind == "whitespace" else back == text


@given(
    words=st.lists(
        st.lists(st.sampled_from(["the", "cat", "他们昨天去了北京大学。今天天气很好！"]))
    )
)
def test_text_that_is_cut_already_comes_back_but_for_white_space(words: list[list[str]]) -> None:
    tokenizer = TOKENIZERS["whitespace"]
    text = "\n".join(" ".join(line) for line in words)
    assert tokenizer.decode(tokenizer.encode(text.replace(" ", " \t ")).ids) == text


# -- places -------------------------------------------------------------------------------------


@every_kind
@given(text=texts)
def test_starts_never_go_back_and_stay_inside(kind: str, text: str) -> None:
    encoding = TOKENIZERS[kind].encode(text)
    assert len(encoding.ids) == len(encoding.starts)
    assert (np.diff(encoding.starts) >= 0).all()
    assert ((encoding.starts >= 0) & (encoding.starts < max(1, len(text)))).all()


@pytest.mark.parametrize("kind", ["char", "word"])
@given(text=texts)
def test_token_is_the_text_from_its_start_to_the_next(kind: str, text: str) -> None:
    tokenizer = TOKENIZERS[kind]
    encoding = tokenizer.encode(text)
    found = pieces(tokenizer, text)
    assert "".join(found) == text
    for number, piece in zip(encoding.ids.tolist(), found, strict=True):
        assert number == tokenizer.unknown or tokenizer.decode([number]) == piece


@pytest.mark.parametrize("kind", ["byte", "bpe"])
@given(text=texts.filter(bool))
def test_tokens_before_a_start_hold_the_text_before_it(kind: str, text: str) -> None:
    tokenizer = TOKENIZERS[kind]
    encoding = tokenizer.encode(text)
    first = encoding.starts.tolist().index(encoding.starts[-1])
    # The last of them may hold the first bytes of the next character too.
    assert tokenizer.decode(encoding.ids[:first]).startswith(text[: encoding.starts[-1]])


@every_kind
def test_empty_text_has_no_tokens(kind: str) -> None:
    encoding = TOKENIZERS[kind].encode("")
    assert (len(encoding.ids), len(encoding.starts)) == (0, 0)
    assert len(unknown_bytes(TOKENIZERS[kind], "", encoding)) == 0


# -- the vocabulary -----------------------------------------------------------------------------


@every_kind
@given(text=texts)
def test_ids_are_of_the_vocabulary_and_never_special(kind: str, text: str) -> None:
    tokenizer = TOKENIZERS[kind]
    special = {tokenizer.end, *tokenizer.labels.values()}
    ids = set(tokenizer.encode(text).ids.tolist())
    assert not ids & special
    assert all(0 <= number < tokenizer.vocabulary_size for number in ids)


@every_kind
def test_special_tokens_have_no_text(kind: str) -> None:
    tokenizer = TOKENIZERS[kind]
    assert tokenizer.decode([tokenizer.end, *tokenizer.labels.values()]) == ""


@every_kind
@pytest.mark.parametrize("text", ["<end>", "<unknown>", "yes"])
def test_text_that_looks_special_is_text(kind: str, text: str) -> None:
    tokenizer = learn_tokenizer(kind, [text] * 5, size=None, labels=["yes"])
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


@pytest.mark.parametrize("kind", ["char", "word", "whitespace"])
def test_size_bounds_the_vocabulary_special_tokens_included(kind: str) -> None:
    assert learn(kind, size=9).vocabulary_size == 9


@pytest.mark.parametrize("kind", ["char", "word", "whitespace"])
def test_commonest_symbols_are_kept(kind: str) -> None:
    tokenizer = learn_tokenizer(kind, ["b b b b c c c a"], size=4, labels=[])
    assert tokenizer.unknown not in tokenizer.encode(" b").ids


@pytest.mark.parametrize("kind", ["char", "word", "whitespace", "bpe"])
def test_vocabulary_does_not_depend_on_the_order_of_the_texts(kind: str) -> None:
    one = learn_tokenizer(kind, LEARNED, size=300, labels=LABELS)
    other = learn_tokenizer(kind, reversed(LEARNED), size=300, labels=LABELS)
    assert one.to_json() == other.to_json()


@every_kind
def test_nothing_to_learn_from_still_makes_a_tokenizer(kind: str) -> None:
    tokenizer = learn_tokenizer(kind, [], size=None, labels=[])
    assert len(tokenizer.encode("a word").ids) > 0


@pytest.mark.parametrize(
    ("kind", "size", "name"),
    [
        ("char", None, "char"),
        ("char", 99, "char-99"),
        ("byte", 300, "byte"),
        ("bpe", None, "bpe-4096"),
        ("word", 10_000, "word-10000"),
    ],
)
def test_name_says_kind_and_size(kind: str, size: int | None, name: str) -> None:
    assert tokenizer_name(kind, size) == name
    assert learn_tokenizer(kind, [], size=size, labels=[]).name == name


# -- unknown symbols ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "text", "sizes"),
    [
        ("char", "a词😀e", [0, 3, 4, 0]),
        ("word", "The zebra sat", [0, 6, 0]),
        ("word", "The 斑马", [0, 1, 6]),
        ("whitespace", "the  zebra  sat ", [0, 5, 0]),
        ("whitespace", "斑马  \nthe", [6, 0, 0]),
    ],
)
def test_unknown_symbol_is_charged_its_bytes(kind: str, text: str, sizes: list[int]) -> None:
    tokenizer = TOKENIZERS[kind]
    if kind == "char":
        tokenizer = learn_tokenizer("char", ["ae"], size=None, labels=[])
    encoding = tokenizer.encode(text)
    assert unknown_bytes(tokenizer, text, encoding).tolist() == sizes


def test_unknown_line_end_is_charged() -> None:
    tokenizer = learn_tokenizer("whitespace", ["the"], size=None, labels=[])
    encoding = tokenizer.encode("the\nthe")
    assert unknown_bytes(tokenizer, "the\nthe", encoding).tolist() == [0, 1, 0]


@pytest.mark.parametrize("kind", ["char", "word"])
@given(text=texts)
def test_every_unknown_symbol_is_counted_and_charged(kind: str, text: str) -> None:
    tokenizer = TOKENIZERS[kind]
    encoding = tokenizer.encode(text)
    sizes = unknown_bytes(tokenizer, text, encoding)
    assert ((sizes > 0) == (encoding.ids == tokenizer.unknown)).all()
    known = tokenizer.decode(i for i in encoding.ids.tolist() if i != tokenizer.unknown)
    assert len(known.encode()) + sizes.sum() <= len(text.encode())


@pytest.mark.parametrize("kind", ["byte", "bpe"])
@given(text=texts)
def test_nothing_is_unknown_to_bytes(kind: str, text: str) -> None:
    tokenizer = TOKENIZERS[kind]
    assert tokenizer.unknown is None
    assert unknown_bytes(tokenizer, text, tokenizer.encode(text)).sum() == 0


# -- decoding token by token --------------------------------------------------------------------


@every_kind
@given(text=texts)
def test_decoder_yields_whole_characters_that_make_the_text(kind: str, text: str) -> None:
    tokenizer = TOKENIZERS[kind]
    ids = tokenizer.encode(text).ids.tolist()
    decoder = tokenizer.decoder()
    parts = [decoder.feed(number) for number in ids]
    if UNKNOWN_TEXT not in text and tokenizer.unknown is None:
        assert not any(UNKNOWN_TEXT in part for part in parts)
    assert "".join(parts) + decoder.finish() == tokenizer.decode(ids)


def test_half_a_character_is_held_back() -> None:
    tokenizer = TOKENIZERS["byte"]
    decoder = tokenizer.decoder()
    assert [decoder.feed(number) for number in tokenizer.encode("é词").ids.tolist()] == [
        "",
        "é",
        "",
        "",
        "词",
    ]


def test_character_that_is_never_finished_is_said_to_be_broken() -> None:
    tokenizer = TOKENIZERS["byte"]
    decoder = tokenizer.decoder()
    decoder.feed(int(tokenizer.encode("词").ids[0]))
    assert decoder.finish() == UNKNOWN_TEXT


# -- bpe and the library ------------------------------------------------------------------------


@given(text=texts)
def test_bpe_is_that_of_the_library(text: str) -> None:
    from tokenizers import Tokenizer as Library

    tokenizer = TOKENIZERS["bpe"]
    library = Library.from_str(json.dumps(tokenizer.to_json()["symbols"]))
    found = library.encode(text)
    shift = tokenizer.vocabulary_size - library.get_vocab_size()
    assert [number - shift for number in tokenizer.encode(text).ids.tolist()] == found.ids
    assert tokenizer.decode(tokenizer.encode(text).ids) == library.decode(found.ids)


def test_bpe_learns_words() -> None:
    tokenizer = learn_tokenizer("bpe", ["hello world " * 20], size=400, labels=[])
    assert len(tokenizer.encode("hello world").ids) <= 3


def test_bpe_learns_what_the_library_learns() -> None:
    from tokenizers import Tokenizer as Library
    from tokenizers import models, pre_tokenizers, trainers

    text = "the lamp was lit, and 灯火 shone on the lamplighter's lamps " * 40 + "x" * 900
    library = Library(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=399, min_frequency=2, initial_alphabet=alphabet)
    library.train_from_iterator([text], trainer=trainer)
    tokenizer = learn_tokenizer("bpe", [text], size=400, labels=[])
    assert tokenizer.to_json()["symbols"]["model"] == json.loads(library.to_str())["model"]


def test_bpe_learns_from_a_word_without_end_in_bounded_time() -> None:
    started = time.monotonic()
    tokenizer = learn_tokenizer("bpe", ["ab" * 200_000], size=1000, labels=[])
    assert time.monotonic() - started < 10  # a minute where the word is learned from whole
    assert len(tokenizer.encode("ab" * 1000).ids) < 20


# -- words --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The cat's mat", ["The", " cat's", " mat"]),
        ("a\n\n b", ["a", "\n", "\n", " b"]),
        ("well, no.", ["well", ",", " no", "."]),
        ("in 2024 x_y", ["in", " 2024", " x", "_", "y"]),
        ("他们来了", ["他们", "来", "了"]),
    ],
)
def test_word_is(text: str, expected: list[str]) -> None:
    assert pieces(TOKENIZERS["word"], text) == expected


@pytest.fixture
def no_rjieba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memlm.runtime.is_installed", lambda package: package != "rjieba")
    monkeypatch.setitem(sys.modules, "rjieba", None)


@pytest.mark.usefixtures("no_rjieba")
def test_english_words_need_no_dictionary() -> None:
    assert pieces(TOKENIZERS["word"], "the cat, café") == ["the", " cat", ",", " café"]


@pytest.mark.usefixtures("no_rjieba")
def test_chinese_words_name_the_missing_package() -> None:
    with pytest.raises(MissingExtraError) as caught:
        TOKENIZERS["word"].encode("the 猫")
    assert caught.value.values == {"package": "rjieba", "extra": "words"}


# -- on disk ------------------------------------------------------------------------------------


@every_kind
def test_tokenizer_comes_back_from_its_file(tmp_path: Path, kind: str) -> None:
    tokenizer = TOKENIZERS[kind]
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer.to_json()), "utf-8")
    loaded = load_tokenizer(tmp_path / "tokenizer.json")
    text = "".join(LEARNED) + "斑马 zebra"
    assert loaded.encode(text).ids.tolist() == tokenizer.encode(text).ids.tolist()
    assert (loaded.name, loaded.labels, loaded.vocabulary_size) == (
        tokenizer.name,
        tokenizer.labels,
        tokenizer.vocabulary_size,
    )


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{}",
        '{"kind": "char", "name": "char", "labels": []}',
        '{"kind": "magic", "name": "m", "labels": [], "symbols": []}',
        '{"kind": "char", "name": "char", "labels": [], "symbols": 5}',
        '{"kind": "char", "name": "char", "labels": [], "symbols": ["ab"]}',
        '{"kind": "bpe", "name": "bpe", "labels": [], "symbols": {"model": 1}}',
        "{",
    ],
)
def test_damaged_tokenizer_is_corrupt(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(CorruptArtefactError):
        load_tokenizer(tmp_path / "tokenizer.json")


@pytest.mark.parametrize("kind", ["word", "whitespace"])
def test_vocabulary_of_very_many_words_is_bounded(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vocabulary, "LIMIT", 100)
    texts = [f"often word{number}" for number in range(1000)]
    tokenizer = learn_tokenizer(kind, texts, size=None, labels=[])
    assert tokenizer.vocabulary_size <= 100 + 2
    assert tokenizer.unknown not in tokenizer.encode("often").ids
