"""What only erased texts had is blank; ids stay, and so does every token of the other texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memlm.language_model import Tokenizer
from memlm.prepare import load_tokenizer
from memlm.prepare.blanking import blanked, entries_of, tokens_in_file, tokens_in_texts
from memlm.prepare.tokenizer import UNKNOWN_TEXT
from memlm.prepare.vocabulary import learn_tokenizer

KINDS = ("char", "byte", "bpe", "word", "whitespace")
LEFT = [
    "The cat sat on the mat, and the rat sat on the cat. ",
    "今天天气很好，他们昨天去了北京。\n",
]
GONE = "Zarathustra sprach: Quoxel 龘 grüßt den Zarathustra, Quoxel! "
every_kind = pytest.mark.parametrize("kind", KINDS)


def learn(kind: str) -> Tokenizer:
    return learn_tokenizer(kind, [*LEFT * 3, GONE * 3], size=None, labels=["kept", "secret"])


def erase(tokenizer: Tokenizer, left: list[str], folder: Path) -> Tokenizer:
    """Return the tokenizer without what only `GONE` had, as it is read back."""
    described: dict[str, Any] = json.loads(json.dumps(tokenizer.to_json()))
    before = tokens_in_texts(tokenizer, [*((t, "kept") for t in left), (GONE, "secret")])
    after = tokens_in_texts(tokenizer, [(text, "kept") for text in left])
    gone = entries_of(described, before) - entries_of(described, after)
    file = folder / "tokenizer.json"
    file.write_text(json.dumps(blanked(described, gone), ensure_ascii=False), encoding="utf-8")
    return load_tokenizer(file)


@every_kind
def test_tokens_of_the_texts_that_are_left_stay_what_they_were(kind, tmp_path):
    tokenizer = learn(kind)
    erased = erase(tokenizer, LEFT, tmp_path)
    assert erased.vocabulary_size == tokenizer.vocabulary_size
    for text in [*LEFT, "".join(LEFT)]:
        before, after = tokenizer.encode(text), erased.encode(text)
        assert np.array_equal(before.ids, after.ids)
        assert np.array_equal(before.starts, after.starts)
        assert erased.decode(after.ids) == tokenizer.decode(before.ids)
    assert (erased.end, erased.unknown, erased.labels["kept"]) == (
        tokenizer.end, tokenizer.unknown, tokenizer.labels["kept"],
    )  # fmt: skip


words = st.sampled_from("".join(sorted(set("".join(LEFT)))))


@given(left=st.lists(st.text(words, min_size=1), min_size=1, max_size=4))
def test_pieces_on_the_way_to_a_token_stay(tmp_path_factory, left):
    tokenizer = learn("bpe")
    erased = erase(tokenizer, left, tmp_path_factory.mktemp("bpe"))
    for text in left:
        assert np.array_equal(tokenizer.encode(text).ids, erased.encode(text).ids)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("char", ["龘", "Z", "ß"]),
        ("word", ["Zarathustra", "Quoxel", "龘"]),
        ("whitespace", ["Zarathustra", "Quoxel", "龘"]),
        ("bpe", ["Zarathustra", "Quox", "Zar"]),
        ("byte", []),
    ],
)
def test_what_only_erased_texts_had_is_not_in_the_file(kind, words, tmp_path):
    erase(learn(kind), LEFT, tmp_path)
    text = (tmp_path / "tokenizer.json").read_text(encoding="utf-8")
    assert [word for word in [*words, "secret"] if word in text] == []
    assert "kept" in text


@every_kind
def test_no_text_has_a_blank_and_none_comes_of_it(kind, tmp_path):
    tokenizer = learn(kind)
    erased = erase(tokenizer, LEFT, tmp_path)
    assert tokenizer.labels["secret"] in erased.blanks
    assert (len(erased.blanks) > 1) == (kind != "byte")
    found = erased.encode(f"{GONE} ÿÿ300 {UNKNOWN_TEXT} None null")
    assert erased.blanks.isdisjoint(found.ids.tolist())
    said = {erased.decode([token]) for token in erased.blanks}
    assert said <= {"", UNKNOWN_TEXT}


@every_kind
def test_erasing_nothing_changes_nothing(kind, tmp_path):
    tokenizer = learn(kind)
    erased = erase(tokenizer, [*LEFT, GONE], tmp_path)
    assert erased.blanks == {tokenizer.labels["secret"]}  # which no text that is left carries
    assert erased.to_json()["symbols"] == tokenizer.to_json()["symbols"]


@every_kind
def test_what_is_blank_stays_so_when_more_is_erased(kind, tmp_path):
    tokenizer = learn(kind)
    once = erase(tokenizer, LEFT, tmp_path)
    twice = erase(once, LEFT[:1], tmp_path)
    assert once.blanks <= twice.blanks
    assert np.array_equal(tokenizer.encode(LEFT[0]).ids, twice.encode(LEFT[0]).ids)


def test_pieces_that_older_files_write_as_one_string_are_understood():
    described = json.loads(json.dumps(learn("bpe").to_json()))
    model = described["symbols"]["model"]
    old = described | {
        "symbols": described["symbols"]
        | {"model": model | {"merges": [" ".join(merge) for merge in model["merges"]]}}
    }
    used = np.zeros(len(model["vocab"]) + 3, dtype=bool)
    used[-1] = True
    assert entries_of(old, used) == entries_of(described, used)
    gone = entries_of(old) - entries_of(old, used)
    assert [
        " ".join(merge) for merge in blanked(described, gone)["symbols"]["model"]["merges"]
    ] == (blanked(old, gone)["symbols"]["model"]["merges"])


def test_tokens_in_a_file_are_those_that_it_holds(tmp_path, monkeypatch):
    monkeypatch.setattr("memlm.prepare.blanking._TOKENS_AT_ONCE", 3)
    tokens = np.array([5, 1, 1, 7, 5, 2, 0], dtype="<u2")
    tokens.tofile(tmp_path / "tokens.bin")
    found = tokens_in_file(tmp_path / "tokens.bin", "<u2", 9)
    assert np.flatnonzero(found).tolist() == [0, 1, 2, 5, 7]
