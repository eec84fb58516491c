"""The split belongs to the workspace: neither another document nor another tokenizer moves it."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from memlm.prepare import TokenStore
from memlm.records import SPLITS


def write_texts(folder: Path, numbers: range) -> None:
    folder.mkdir(exist_ok=True)
    for number in numbers:
        draw = random.Random(number)
        words = ["".join(draw.choices("abcdefgh", k=draw.randint(2, 7))) for _ in range(110)]
        (folder / f"{number:02}.txt").write_text(" ".join(words) + "\n", encoding="utf-8")


def places(workspace: Path, tokenizer: str) -> dict[str, set[tuple[str, int, int]]]:
    """Return the stretches of each side, as (document, start, end)."""
    store = TokenStore(workspace / "prepared" / tokenizer)
    found: dict[str, set[tuple[str, int, int]]] = {split: set() for split in SPLITS}
    for unit in store.units:
        document = store.document_ids[int(unit["document"])]
        place = (document, int(unit["text_start"]), int(unit["text_end"]))
        found[SPLITS[int(unit["split"])]].add(place)
    return found


@pytest.fixture
def sealed(memlm, tmp_path: Path) -> Path:
    """Return a workspace of 18 texts, cut in blocks, some of them sealed."""
    write_texts(tmp_path / "texts", range(18))
    memlm("collect", tmp_path / "ws", tmp_path / "texts")
    memlm("prepare", tmp_path / "ws", "--tokenizer", "char", "--sealed", "0.2")
    assert places(tmp_path / "ws", "char")["sealed"]
    return tmp_path / "ws"


def test_added_documents_leave_what_is_sealed_sealed(memlm, sealed, tmp_path):
    before = places(sealed, "char")
    write_texts(tmp_path / "texts", range(18, 26))
    memlm("collect", sealed, tmp_path / "texts")
    memlm("prepare", sealed)
    after = places(sealed, "char")
    assert all(before[split] <= after[split] for split in ("sealed", "held_out"))


def test_another_tokenizer_has_the_same_sides(memlm, sealed):
    memlm("prepare", sealed, "--tokenizer", "byte")
    assert places(sealed, "byte") == places(sealed, "char")


def test_seal_that_is_opened_is_said(memlm, sealed):
    assert "Nothing is sealed any more" in memlm("prepare", sealed, "--sealed", "0").err


def test_seal_notices_changed_text(memlm, sealed, tmp_path):
    for path in (tmp_path / "texts").iterdir():
        path.write_text(path.read_text("utf-8")[::-1].strip() + "\n", encoding="utf-8")
    memlm("collect", sealed, tmp_path / "texts")
    assert "no longer the one that was put away" in memlm("prepare", sealed).err


def test_seal_does_not_mind_a_symbol_that_is_new_in_another_text(memlm, sealed, tmp_path):
    before = places(sealed, "char")["sealed"]
    (tmp_path / "texts" / "new.txt").write_text("ξένος !", encoding="utf-8")
    memlm("collect", sealed, tmp_path / "texts")
    done = memlm("prepare", sealed)
    assert places(sealed, "char")["sealed"] == before
    assert "sealed part" not in done.err


def test_side_that_stays_empty_is_said(memlm, tmp_path):
    (tmp_path / "rows.csv").write_text("text\n" + "\n".join(f"row {n} of it" for n in range(50)))
    memlm("collect", tmp_path / "ws", tmp_path / "rows.csv")
    words = ["--split-by", "file", "--held-out-share", "0.2", "--tokenizer", "char"]
    assert "No text is held out" in memlm("prepare", tmp_path / "ws", *words).err


def test_given_tokenizer_stays_when_documents_come(memlm, sealed, tmp_path):
    write_texts(tmp_path / "others", range(40, 42))
    memlm("collect", tmp_path / "other", tmp_path / "others")
    memlm("prepare", tmp_path / "other", "--tokenizer", "char")
    given = tmp_path / "other" / "prepared" / "char" / "tokenizer.json"
    name = memlm("prepare", sealed, "--tokenizer", given, "--json").json["tokenizer"]
    assert name.startswith("char-")
    (tmp_path / "texts" / "new.txt").write_text("ξένος", encoding="utf-8")
    memlm("collect", sealed, tmp_path / "texts")
    again = memlm("prepare", sealed, "--json").json
    assert (again["tokenizer"], again["unknown"]) == (name, 5)


def test_tokens_made_before_masking_are_stale(memlm, sealed):
    memlm("prepare", sealed, "--tokenizer", "byte")
    memlm("prepare", sealed, "--tokenizer", "char", "--redact")
    prepared = memlm("info", sealed, "--json").json["prepared"]
    assert {one["tokenizer"]: one["stale"] for one in prepared} == {"char": False, "byte": True}


def test_step_whose_package_was_missing_comes_back_with_it(memlm, sealed, monkeypatch):
    import memlm.prepare.clean_config as module

    monkeypatch.setattr(module, "is_installed", lambda package: package != "ftfy")
    assert "repair" in memlm("prepare", sealed).err
    monkeypatch.undo()
    memlm("prepare", sealed)
    header = json.loads((sealed / "cleaned" / "cleaned.json").read_text("utf-8"))
    assert "repair" not in header["config"]["without"]
