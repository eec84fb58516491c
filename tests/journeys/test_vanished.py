"""What is gone from its place: reported, kept until it is asked away, and then gone everywhere."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from memlm import DocumentStore, PrepareConfig, prepare_documents
from memlm.cli.app import run
from memlm.errors import ResourceError

FAST = (
    "--steps", "4", "--hidden-width", "8", "--embedding-width", "8", "--threads", "1",
    "--device", "cpu",
)  # fmt: skip
SECRET = "zyxwvqk jjqzx 秘密 wqxzj"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of six small files, one of which has words that no other has."""
    folder = tmp_path / "notes"
    (folder / "deep").mkdir(parents=True)
    for number in range(4):
        text = f"note {number}: the rain falls on the old town, and the cat sees the moon\n" * 3
        (folder / f"{number}.txt").write_text(text, encoding="utf-8")
    # With something that cleaning takes out, so that it is written once more.
    text = f"so {SECRET} it was{chr(10) * 9}indeed\n"
    (folder / "deep" / "secret.txt").write_text(text, encoding="utf-8")
    (folder / "deep" / "other.txt").write_text("another dog follows a cat home\n" * 3)
    return folder


def rank_forms(ws: Path, text: str) -> list[bytes]:
    """Return `text` as each segment of the index writes it: by its symbols' ranks."""
    forms = []
    for path in (ws / "index" / "characters").glob("*/alphabet.bin"):
        ranks = {int(code) - 1: rank for rank, code in enumerate(np.fromfile(path, dtype="<u4"))}
        if all(ord(character) in ranks for character in text):
            width = 1 if len(ranks) < 256 else 2
            symbols = [ranks[ord(character)] for character in text]
            forms.append(np.array(symbols, dtype=f">u{width}").tobytes())
    return forms


def places_of(ws: Path, text: str, *ranks: bytes) -> list[str]:
    """Return the files of a workspace that hold a text, in any form that memlm writes."""
    forms = [text.encode(name) for name in ("utf-8", "utf-16-le", "utf-32-le")]
    forms += [*ranks, *rank_forms(ws, text)]
    return [
        path.relative_to(ws).as_posix()
        for path in sorted(ws.rglob("*"))
        if path.is_file() and any(form in path.read_bytes() for form in forms)
    ]


def _held_in_tokens(ws: Path, text: str) -> list[str]:
    """Return the token stores that decode to something with `text` in it."""
    from memlm.prepare import TokenStore

    found = []
    for path in sorted((ws / "prepared").glob("*/store.json")):
        store = TokenStore(path.parent)
        if text in store.tokenizer.decode(store.tokens.tolist()):
            found.append(path.parent.name)
    return found


def test_vanished_file_is_reported_and_stays(memlm, folder, tmp_path):
    ws = tmp_path / "ws"
    memlm("collect", ws, folder)
    (folder / "deep" / "secret.txt").unlink()
    found = memlm("collect", ws, folder)
    assert found["vanished"] == [{"source": "notes/deep/secret.txt", "documents": 1}]
    assert found["documents_removed"] == 0
    assert memlm("info", ws)["documents"]["documents"] == 6


def test_pruned_text_is_in_no_file_of_the_workspace(memlm, folder, tmp_path):
    ws = tmp_path / "ws"
    memlm("collect", ws, folder)
    for kind in ("char", "byte"):
        prepare_documents(ws, config=PrepareConfig(tokenizer=kind, held_out_share=0))
    memlm("trace", ws, "--text", "the cat")
    memlm("info", ws, "--statistics")
    ranks = rank_forms(ws, SECRET)
    assert len(ranks) == 1
    held = [Path(name).name for name in places_of(ws, SECRET)]
    assert held == ["texts.bin", "documents.sqlite", "symbols.bin"]
    named = {Path(name).name for name in places_of(ws, SECRET[:7])}
    assert named >= {"statistics.html", "statistics.json", *held}
    assert _held_in_tokens(ws, SECRET) == ["byte", "char"]
    assert memlm("trace", ws, "--text", SECRET)["recited_share"] > 0.9
    before = {path.name for path in (ws / "index" / "characters").glob("segment-*")}

    (folder / "deep" / "secret.txt").unlink()
    found = memlm("collect", ws, folder, "--prune")
    assert (found["documents_removed"], found["documents_unchanged"]) == (1, 5)
    assert places_of(ws, SECRET, *ranks) == []
    assert places_of(ws, SECRET[:7]) == places_of(ws, "秘密") == []
    assert _held_in_tokens(ws, SECRET[:8]) == []
    after = {path.name for path in (ws / "index" / "characters").glob("segment-*")}
    assert after
    assert not before & after
    info = memlm("info", ws)
    assert not any(part["stale"] for part in [info["index"], *info["prepared"]])
    assert [part["tokenizer"] for part in info["prepared"]] == ["byte", "char"]
    assert memlm("trace", ws, "--text", SECRET)["recited_share"] == 0


def test_cleaned_text_that_a_crash_left_is_erased_too(memlm, folder, tmp_path):
    ws = tmp_path / "ws"
    memlm("collect", ws, folder)
    memlm("prepare", ws, "--tokenizer", "char")
    shutil.rmtree(ws / "prepared")  # as if killed before there were any tokens
    (ws / "cleaned" / "cleaned.json").unlink()  # it is written last
    (folder / "deep" / "secret.txt").unlink()
    memlm("collect", ws, folder, "--prune")
    assert places_of(ws, SECRET[:7]) == []


def test_page_about_a_text_that_may_be_a_document_goes_with_the_removed(memlm, folder, tmp_path):
    ws = tmp_path / "ws"
    memlm("train", ws, folder, *FAST)
    memlm("attend", ws, f"so {SECRET} it was")
    assert (ws / "attention.html").exists()
    (folder / "deep" / "secret.txt").unlink()
    memlm("collect", ws, folder, "--prune")
    assert not (ws / "attention.html").exists()


def test_statistics_of_documents_that_all_stay_are_kept(memlm, folder, tmp_path):
    ws = tmp_path / "ws"
    memlm("collect", ws, folder)
    memlm("info", ws, "--statistics")
    memlm("collect", ws, folder, "--prune")
    assert (ws / "statistics.html").exists()


def test_text_that_an_earlier_run_removed_is_erased_by_the_next_prune(memlm, folder, tmp_path):
    ws = tmp_path / "ws"
    memlm("collect", ws, folder)
    memlm("prepare", ws, "--tokenizer", "char")
    memlm("trace", ws, "--text", "the cat")
    with DocumentStore(ws / "documents.sqlite") as store:  # as if killed before the rest was done
        root = store.find_root(folder, is_folder=True)
        store.remove_files(root, ["deep/secret.txt"])
    (folder / "deep" / "secret.txt").unlink()
    memlm("collect", ws, folder, "--prune")
    assert places_of(ws, SECRET) == []
    assert _held_in_tokens(ws, SECRET) == []


def test_what_was_prepared_with_other_options_is_still_the_choice_after_pruning(
    memlm, folder, tmp_path
):
    ws = tmp_path / "ws"
    memlm("collect", ws, folder)
    memlm("prepare", ws, "--tokenizer", "char")
    memlm("prepare", ws, "--tokenizer", "byte")
    (folder / "0.txt").unlink()
    memlm("collect", ws, folder, "--prune")
    assert memlm("prepare", ws)["tokenizer"] == "byte"


def test_pruning_one_source_leaves_the_others_alone(memlm, folder, tmp_path):
    ws, other = tmp_path / "ws", tmp_path / "other"
    shutil.copytree(folder, other)
    with (other / "0.txt").open("a") as file:
        file.write("and something else")
    memlm("collect", ws, folder, other)
    (folder / "0.txt").unlink()
    (other / "1.txt").unlink()
    found = memlm("collect", ws, folder, "--prune")
    assert found["documents_removed"] == 1
    assert [entry["source"] for entry in found["vanished"]] == ["notes/0.txt"]
    assert memlm("info", ws)["documents"]["documents"] == 11


def test_what_vanished_is_named_and_said_to_stay_unless_it_is_pruned(folder, tmp_path, capsys):
    words = ["collect", str(tmp_path / "ws"), str(folder), "--language", "en"]
    assert run(words) == 0
    (folder / "0.txt").unlink()
    capsys.readouterr()
    assert run(words) == 0
    _, said = capsys.readouterr()
    assert "1 file collected from notes is no longer there: notes/0.txt\n" in said
    assert "What came of it stays: 1 document (--prune removes it)" in said
    assert run([*words, "--prune"]) == 0
    assert "stays" not in capsys.readouterr().err


def test_of_many_that_vanished_five_are_named(tmp_path, capsys):
    notes = tmp_path / "notes"
    notes.mkdir()
    for number in range(20):
        (notes / f"{number:02}.txt").write_text(f"text {number}")
    words = ["collect", str(tmp_path / "ws"), str(notes), "--language", "en"]
    assert run(words) == 0
    for number in range(7):
        (notes / f"{number:02}.txt").unlink()
    capsys.readouterr()
    assert run(words) == 0
    said = capsys.readouterr().err
    assert "notes/04.txt and 2 more (--json lists all)" in said
    assert "05.txt" not in said


def test_part_of_a_folder_prunes_that_part_only(memlm, folder, tmp_path):
    ws = tmp_path / "ws"
    memlm("collect", ws, folder)
    (folder / "0.txt").unlink()
    (folder / "deep" / "other.txt").unlink()
    found = memlm("collect", ws, folder / "deep", "--prune")
    assert [entry["source"] for entry in found["vanished"]] == ["notes/deep/other.txt"]
    assert memlm("info", ws)["documents"]["documents"] == 5


def test_more_than_half_is_asked_for_first(memlm, folder, tmp_path):
    ws = tmp_path / "ws"
    memlm("collect", ws, folder)
    shutil.rmtree(folder / "deep")
    for number in range(2):
        (folder / f"{number}.txt").unlink()
    refused = memlm("collect", ws, folder, "--prune", code=2)
    assert refused["error"]["code"] == "prune_needs_yes"
    assert "--yes" in refused["error"]["hint"]
    assert memlm("info", ws)["documents"]["documents"] == 6
    assert memlm("collect", ws, folder, "--prune", "--yes")["documents_removed"] == 4


@pytest.mark.parametrize(("answer", "left"), [("y\n", 1), ("n\n", 6), ("\n", 6)])
def test_answer_at_the_terminal_decides(memlm, folder, tmp_path, monkeypatch, answer, left):
    ws = tmp_path / "ws"
    memlm("collect", ws, folder)
    shutil.rmtree(folder / "deep")
    for number in range(3):
        (folder / f"{number}.txt").unlink()

    class Terminal:
        def isatty(self) -> bool:
            return True

        def readline(self) -> str:
            return answer

    monkeypatch.setattr(sys, "stdin", Terminal())
    assert run(["collect", str(ws), str(folder), "--prune"]) == 0
    assert memlm("info", ws)["documents"]["documents"] == left


def test_source_that_is_gone_is_removed_only_when_that_is_said(memlm, folder, tmp_path):
    ws = tmp_path / "ws"
    memlm("collect", ws, folder)
    memlm("prepare", ws, "--tokenizer", "char")
    memlm("trace", ws, "--text", "the cat")
    shutil.rmtree(folder)
    refused = memlm("collect", ws, folder, code=2)
    assert refused["error"]["code"] == "source_vanished"
    assert "--prune" in refused["error"]["hint"]
    assert memlm("collect", ws, folder, "--prune", code=2)["error"]["code"] == "prune_needs_yes"
    found = memlm("collect", ws, folder, "--prune", "--yes")
    assert (found["documents_removed"], found["characters"]) == (6, 0)
    assert places_of(ws, SECRET) == places_of(ws, "the rain falls") == []
    assert not list((ws / "index").rglob("segment-*"))
    assert not list((ws / "prepared").glob("*"))


def test_folder_beside_one_of_a_longer_name_is_counted_by_itself(memlm, folder, tmp_path):
    ws = tmp_path / "ws"
    shutil.copytree(folder, folder / "deeper")
    memlm("collect", ws, folder)
    shutil.rmtree(folder / "deep")  # all of it, and less than half of what begins with `deep`
    refused = memlm("collect", ws, folder / "deep", "--prune", code=2)
    assert refused["error"]["code"] == "prune_needs_yes"
    assert "2 of 2" in refused["error"]["message"]


class Killed(BaseException):
    """The end of a process, as far as what lies on the disk is concerned."""


FULL = ResourceError("cannot_write", path="x", reason="no space")


@pytest.mark.parametrize("error", [Killed(), FULL], ids=["killed", "disk full"])
@pytest.mark.parametrize("place", ["DocumentStore.write_compact", "workflow.erasing.clean"])
def test_pruning_that_broke_off_is_finished_by_the_same_command(
    memlm, folder, tmp_path, monkeypatch, place, error
):
    ws = tmp_path / "ws"
    memlm("collect", ws, folder)
    memlm("prepare", ws, "--tokenizer", "char")
    memlm("trace", ws, "--text", "the cat")
    (folder / "deep" / "secret.txt").rename(tmp_path / "deep.txt")
    words = ("collect", ws, folder / "deep" / "secret.txt", "--prune", "--yes")

    def fail(*_, **__):
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(f"memlm.{place}", fail)
        with pytest.raises(Killed) if isinstance(error, Killed) else nullcontext():
            memlm(*words, code=4)
    assert places_of(ws, SECRET) != []
    assert memlm(*words)["documents_removed"] == 0
    assert places_of(ws, SECRET) == []
    assert _held_in_tokens(ws, SECRET[:8]) == []
    assert memlm(*words, code=2)["error"]["code"] == "source_missing"


@pytest.mark.parametrize("words", [("prepare",), ("collect", "corpus")], ids=["prepare", "collect"])
def test_pruning_that_broke_off_is_finished_by_what_writes_next(
    memlm, folder, tmp_path, monkeypatch, words
):
    ws = tmp_path / "ws"
    memlm("collect", ws, folder)
    for kind in ("char", "byte"):
        prepare_documents(ws, config=PrepareConfig(tokenizer=kind, held_out_share=0))
    (folder / "deep" / "secret.txt").unlink()

    def fail(*_, **__):
        raise Killed

    with monkeypatch.context() as broken:
        broken.setattr("memlm.DocumentStore.write_compact", fail)
        with pytest.raises(Killed):
            memlm("collect", ws, folder, "--prune")
    assert _held_in_tokens(ws, SECRET) == ["byte", "char"]
    memlm(words[0], ws, *[folder / "0.txt" for _ in words[1:]])
    assert _held_in_tokens(ws, SECRET) == places_of(ws, SECRET) == []


def test_source_that_never_was_is_not_found_with_prune_either(memlm, folder, tmp_path):
    memlm("collect", tmp_path / "ws", folder)
    words = ("collect", tmp_path / "ws", tmp_path / "typo", "--prune", "--yes")
    assert memlm(*words, code=2)["error"]["code"] == "source_missing"


def test_part_of_a_folder_that_is_gone_can_be_removed(memlm, folder, tmp_path):
    ws = tmp_path / "ws"
    memlm("collect", ws, folder)
    shutil.rmtree(folder / "deep")
    found = memlm("collect", ws, folder / "deep", "--prune", "--yes")
    assert found["documents_removed"] == 2
    assert memlm("info", ws)["documents"]["documents"] == 4


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may open all")
def test_folder_that_may_not_be_opened_has_not_vanished(memlm, folder, tmp_path):
    ws = tmp_path / "ws"
    memlm("collect", ws, folder)
    (folder / "deep").chmod(0)
    try:
        found = memlm("collect", ws, folder, "--prune", "--yes")
    finally:
        (folder / "deep").chmod(0o700)
    assert (found["documents_removed"], found["vanished"]) == (0, [])


def test_folder_that_could_not_be_listed_has_not_vanished(memlm, folder, tmp_path, monkeypatch):
    ws = tmp_path / "ws"
    memlm("collect", ws, folder)
    real = os.scandir

    def closed(path):
        if str(path).endswith("deep"):
            raise PermissionError
        return real(path)

    monkeypatch.setattr("memlm.collect.sources.os.scandir", closed)
    found = memlm("collect", ws, folder, "--prune", "--yes")
    assert (found["documents_removed"], found["vanished"]) == (0, [])


@pytest.mark.parametrize("source", [".", "deep"])
def test_source_that_may_not_be_listed_has_not_vanished(
    memlm, folder, tmp_path, monkeypatch, source
):
    ws = tmp_path / "ws"
    memlm("collect", ws, folder)
    real = os.scandir

    def closed(path):
        if str(path) == str(folder / source):
            raise PermissionError
        return real(path)

    monkeypatch.setattr("memlm.collect.sources.os.scandir", closed)
    found = memlm("collect", ws, folder / source, "--prune", "--yes")
    assert (found["documents_removed"], found["vanished"]) == (0, [])


def test_rejected_file_that_is_gone_is_rejected_no_more(memlm, folder, tmp_path):
    ws = tmp_path / "ws"
    (folder / "empty.txt").write_text("")
    assert memlm("collect", ws, folder)["documents_rejected"] == 1
    (folder / "empty.txt").unlink()
    assert memlm("collect", ws, folder)["documents_rejected"] == 0
    assert (ws / "rejected.jsonl").read_text() == ""


def test_only_file_that_was_rejected_is_rejected_no_more_once_it_is_gone(memlm, folder, tmp_path):
    ws, empty = tmp_path / "ws", tmp_path / "empty.txt"
    empty.write_text("")
    assert memlm("collect", ws, empty)["documents_rejected"] == 1
    empty.unlink()
    assert memlm("collect", ws, empty, code=2)["error"]["code"] == "source_vanished"
    memlm("collect", ws, empty, "--prune")
    assert memlm("collect", ws, folder)["documents_rejected"] == 0
    assert (ws / "rejected.jsonl").read_text() == ""


def test_model_is_marked_as_trained_on_what_was_removed(
    memlm, folder, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("memlm.cli.console.out._width", 200)
    ws = tmp_path / "ws"
    memlm("train", ws, folder, *FAST, "--held-out-share", "0")
    assert [model["removed_documents"] for model in memlm("info", ws)["models"]] == [0]
    weights = (ws / "models" / "lstm-1" / "model.safetensors").read_bytes()
    (folder / "deep" / "secret.txt").unlink()
    (folder / "0.txt").unlink()
    memlm("collect", ws, folder, "--prune")
    assert [model["removed_documents"] for model in memlm("info", ws)["models"]] == [2]
    assert run(["info", str(ws), "--language", "en"]) == 0
    assert "trained on 2 removed documents" in capsys.readouterr().out
    assert (ws / "models" / "lstm-1" / "model.safetensors").read_bytes() == weights


def test_documents_that_come_back_are_removed_no_more(memlm, folder, tmp_path):
    ws = tmp_path / "ws"
    memlm("train", ws, folder, *FAST, "--held-out-share", "0")
    kept = (folder / "0.txt").read_bytes()
    (folder / "0.txt").unlink()
    memlm("collect", ws, folder, "--prune")
    (folder / "0.txt").write_bytes(kept)
    memlm("collect", ws, folder)
    assert [model["removed_documents"] for model in memlm("info", ws)["models"]] == [0]
