"""What `memlm prepare` says of what it left out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memlm import collect_documents

LONG = " ".join(f"word{number}" for number in range(60))
Memlm = Callable[..., Any]


@pytest.mark.parametrize("has_copy", [True, False], ids=["near copy", "none"])
def test_near_copies_that_were_dropped_come_with_how_to_keep_them(
    memlm: Memlm, tmp_path: Path, has_copy: bool
) -> None:
    collect_documents(tmp_path / "ws", texts=[LONG, LONG + " more" if has_copy else "another"])
    done = memlm("prepare", tmp_path / "ws")
    assert done.code == 0
    assert ("--without near-duplicates" in done.out) == has_copy


def test_changed_byte_of_cleaned_text_ends_with_exit_code_3(memlm: Memlm, tmp_path: Path) -> None:
    collect_documents(tmp_path / "ws", texts=["a\x07 bell rang over all of the town"])
    assert memlm("prepare", tmp_path / "ws").code == 0
    (path,) = (tmp_path / "ws" / "cleaned").glob("part-*/texts.bin")
    path.write_bytes(path.read_bytes()[::-1])
    done = memlm("prepare", tmp_path / "ws", "--tokenizer", "byte")
    assert done.code == 3
    assert path.name in done.err


@pytest.mark.parametrize(("language", "said"), [("en", "stop words"), ("zh", "停用词")])
def test_stop_words_that_were_taken_out_are_said(memlm, collected, language, said):
    words = ("prepare", collected, "--remove-stop-words")
    done = memlm(*words, "--language", language)
    assert said in done.out
    assert memlm(*words, "--json").json["removed"]["stop_words"] > 0


def test_list_of_repeats_is_named_by_its_path(memlm, tmp_path):
    passage = " ".join(f"word{number}" for number in range(60))
    texts = [f"{passage} {' '.join(f'{name}{n}' for n in range(200))}" for name in ("one", "two")]
    collect_documents(tmp_path / "ws", texts=texts)
    done = memlm("prepare", tmp_path / "ws")
    path = tmp_path / "ws" / "cleaned" / "repeats.jsonl"
    assert str(path) in done.out
    assert path.exists()
