"""A tokenizer of ours as others read it: the same ids, the same text, or a plain refusal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Library

from memlm.errors import InputError
from memlm.language_model import Tokenizer
from memlm.prepare import load_tokenizer
from memlm.prepare.library_tokenizer import END_NAME, library_tokenizer
from memlm.prepare.vocabulary import learn_tokenizer

TEXT = (
    "The lamp was lit. Nobody came, nobody knew why; 12 lamps were lit.\n"
    "夜里没有人来，灯亮着。\n😀 Ünïcode\ttabs  and spaces\n"
)
HARD = [
    pytest.param("The lamp was lit.\n\nNobody came.", id="English"),
    pytest.param("夜里没有人来，灯。", id="Chinese"),
    pytest.param("😀👩\u200d👧 lamp", id="emoji"),
    pytest.param("\n\n \n\tlamp \r\n", id="line ends"),
    pytest.param("Ωmega 龘 lamp zzz", id="unknown symbols"),
    pytest.param(f"lamp {END_NAME} <end><|endoftext|> <label a>", id="names of special tokens"),
]


def as_library(tokenizer: Tokenizer) -> Library:
    library = Library.from_str(json.dumps(library_tokenizer(tokenizer).tokenizer))
    library.encode_special_tokens = True  # what `split_special_tokens` has transformers say
    return library


@pytest.fixture(scope="module", params=["char", "byte", "bpe", "whitespace"])
def ours(request: pytest.FixtureRequest) -> Tokenizer:
    size = 300 if request.param == "bpe" else None
    return learn_tokenizer(request.param, [TEXT], size=size, labels=["a", "so so"])


@pytest.fixture(scope="module")
def theirs(ours: Tokenizer) -> Library:
    return as_library(ours)


@pytest.mark.parametrize("text", HARD)
def test_ids_and_text_are_the_same(ours: Tokenizer, theirs: Library, text: str) -> None:
    ids = ours.encode(text).ids.tolist()
    assert theirs.encode(text, add_special_tokens=False).ids == ids
    assert theirs.decode(ids) == ours.decode(ids)


@given(
    text=st.text(
        alphabet=st.one_of(st.sampled_from(TEXT), st.characters(exclude_categories=["Cs"]))
    )
)
def test_any_text_is_cut_the_same(ours: Tokenizer, theirs: Library, text: str) -> None:
    assert theirs.encode(text, add_special_tokens=False).ids == ours.encode(text).ids.tolist()


@given(data=st.data())
def test_any_ids_are_the_same_text(ours: Tokenizer, theirs: Library, data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.integers(0, ours.vocabulary_size - 1), max_size=20))
    assert theirs.decode(ids) == ours.decode(ids)


def test_a_text_is_opened_as_our_models_read_it(ours: Tokenizer, theirs: Library) -> None:
    assert theirs.encode("lamp").ids == [ours.end, *ours.encode("lamp").ids.tolist()]


def test_blank_entries_are_decoded_as_unknown(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    blank = {"kind": "char", "name": "char", "labels": [None, "b"], "symbols": ["l", None, "m"]}
    path.write_text(json.dumps(blank), encoding="utf-8")
    ours = load_tokenizer(path)
    theirs, ids = as_library(ours), list(range(ours.vocabulary_size))
    assert theirs.decode(ids) == ours.decode(ids) == "\ufffdl\ufffdm"


def test_words_that_a_dictionary_finds_are_refused() -> None:
    ours = learn_tokenizer("word", [TEXT], size=None, labels=[])
    with pytest.raises(InputError) as caught:
        library_tokenizer(ours)
    assert caught.value.code == "tokenizer_unportable"


def test_what_cannot_be_the_same_is_refused() -> None:
    ours = learn_tokenizer("whitespace", [TEXT], size=None, labels=[])
    ours.encode = lambda text: learn_tokenizer("byte", [], size=None, labels=[]).encode(text)  # type: ignore[method-assign]
    with pytest.raises(InputError) as caught:
        library_tokenizer(ours)
    assert caught.value.code == "tokenizer_unportable"
