"""The promise: an erased document is in no file, and all else is as if it had never been there."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memlm import (
    CollectConfig,
    DocumentStore,
    Listener,
    PrepareConfig,
    TrainConfig,
    Workspace,
    collect_documents,
    erase_documents,
    load_model,
    open_workspace,
    prepare_documents,
    score_text,
    trace_text,
    train_model,
)
from memlm.errors import CorruptArtefactError, NotFoundError
from memlm.prepare import (
    CleanConfig,
    CleanedDocuments,
    TokenStore,
    load_tokenizer,
    write_token_store,
)
from memlm.prepare.byte_alphabet import byte_alphabet
from memlm.prepare.vocabulary import learn_tokenizer
from memlm.storage import verify_folder
from memlm.survey import survey_workspace
from memlm.workflow.blend_fitting import vectors_of
from memlm.workflow.blending import memory_of
from memlm.workspace import find_checkpoints

KINDS = {"char": None, "byte": None, "bpe": 400, "word": None, "whitespace": None}
MARKER = "zyxwvqk jjqzx crosses the Quoxelbridge at dusk, 秘密地走过那座桥"
WORDS = [MARKER, "Quoxelbridge", "quoxelbridge", "秘密地", "geheimlabel", "geheim@example.org"]
LETTER = "龘"
SECRET = f"{MARKER}.\n\n\n\n\nWrite to geheim@example.org; {LETTER} Quoxelbridge! {MARKER}?"
TINY: dict[str, Any] = {
    "network": "lstm", "hidden_width": 8, "embedding_width": 8, "threads": 1, "device": "cpu",
    "steps": 4, "batch_size": 2, "sequence_length": 16,
}  # fmt: skip


def write_corpus(path: Path) -> None:
    """Write a table of 60 rows with labels, some of them English, some Chinese, and one secret."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "text", "label", "note"])
        for number in range(60):
            if number == 31:
                rows.writerow(["secret-2", SECRET, "geheimlabel", f"of {MARKER}"])
            english = (
                f"{number}: the cat sees the moon, and a dog follows it home at dusk.\n\n\n\nBye"
            )
            chinese = f"{number}：床前明月光，疑是地上霜。举头望明月，低头思故乡。"
            rows.writerow([number, chinese if number % 3 else english, "ab"[number % 2], "n"])


def fill(ws: Path, source: Path) -> None:
    """Make everything that a workspace can have of its documents."""
    collect_documents(ws, source, config=CollectConfig())
    for kind, size in KINDS.items():
        config = PrepareConfig(tokenizer=kind, vocabulary_size=size, held_out_share=0.2)
        prepare_documents(ws, config=config, cleaning=CleanConfig(redact=True))
    for kind in ("char", "word", "bpe"):
        size = KINDS[kind]
        prepare = PrepareConfig(tokenizer=kind, vocabulary_size=size)
        train_model(ws, config=TrainConfig(name=f"of-{kind}", **TINY), prepare=prepare)
    for name in ("of-word", "of-bpe"):
        model = load_model(ws, name)
        vectors_of(model, memory_of(model, Listener()), Listener())
    trace_text(ws, "the cat")
    survey_workspace(ws)


class Killed(BaseException):
    """The end of a process, as far as what lies on the disk is concerned."""


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> Path:
    """Return a folder with a table, and a workspace `ws` that holds all that can be made of it."""
    folder = tmp_path_factory.mktemp("erased")
    write_corpus(folder / "rows.csv")
    ws = folder / "ws"
    fill(ws, folder / "rows.csv")
    with pytest.MonkeyPatch.context() as patched:

        def fail(*_: object, **__: object) -> None:
            raise Killed

        patched.setattr("memlm.train.run.TrainingRun.finish", fail)
        config = TrainConfig(name="unfinished", checkpoint_every=2, **TINY)
        with pytest.raises(Killed):
            train_model(ws, config=config, prepare=PrepareConfig(tokenizer="word"))
    log = ws / "models" / "of-char" / "steps.jsonl"
    lines = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    # As another memlm might write it.
    lines[-1]["sample"] = f"so {MARKER}"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    (ws / "attention.html").write_text(f"<p>{MARKER}</p>", encoding="utf-8")
    (ws / "memory" / "counts" / "char").mkdir(parents=True)
    (ws / "memory" / "counts" / "char" / "held.txt").write_text(MARKER, encoding="utf-8")
    work = ws / "prepared" / ".word.work" / "part-1"  # where a crash has left it
    work.mkdir(parents=True)
    (work / "waiting.txt").write_text(MARKER, encoding="utf-8")
    return folder


@pytest.fixture
def ws(filled: Path, tmp_path: Path) -> Workspace:
    """Return a copy of that workspace."""
    return open_workspace(shutil.copytree(filled / "ws", tmp_path / "ws"))


def secret_id(ws: Workspace) -> str:
    with DocumentStore(ws.documents_file) as store:
        return next(document.id for document in store if document.text == SECRET)


# -- looking everywhere --------------------------------------------------------------------------


def text_forms(text: str) -> Iterator[bytes]:
    for encoding in ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        yield text.encode(encoding)
    yield json.dumps(text)[1:-1].encode("ascii")
    alphabet = byte_alphabet()
    yield "".join(alphabet[byte] for byte in text.encode("utf-8")).encode("utf-8")


def number_forms(numbers: list[int]) -> Iterator[bytes]:
    for size in (1, 2, 4, 8):
        if max(numbers) < 1 << (8 * size):
            yield np.array(numbers, dtype=f"<u{size}").tobytes()
            yield np.array(numbers, dtype=f">u{size}").tobytes()


def forms(ws: Workspace) -> dict[str, list[bytes]]:
    """Return everything by which the secret may be written: text, ids of tokens, of the index."""
    found = {word: list(text_forms(word)) for word in WORDS}
    for path in sorted(ws.path.glob("*/*/tokenizer.json")):
        # Without its end, which may be one token with what comes behind it.
        ids = [int(number) for number in load_tokenizer(path).encode(MARKER).ids[:-3]]
        found[f"ids of {path.parent.name}"] = list(number_forms(ids))
    for path in sorted(ws.path.rglob("alphabet.bin")):
        ranks = {int(code) - 1: rank for rank, code in enumerate(np.fromfile(path, dtype="<u4"))}
        found["ranks"] = list(number_forms([ranks[ord(character)] for character in MARKER]))
    return found


def places(ws: Workspace, wanted: dict[str, list[bytes]]) -> dict[str, set[str]]:
    """Return the files that hold something of the secret, each with what."""
    found: dict[str, set[str]] = {}
    short = [LETTER.encode(), json.dumps(LETTER)[1:-1].encode()]
    for path in sorted(path for path in ws.path.rglob("*") if path.is_file()):
        data, name = path.read_bytes(), path.relative_to(ws.path).as_posix()
        held = {what for what, ways in wanted.items() if any(way in data for way in ways)}
        is_text = path.suffix not in (".safetensors", ".bin")
        # The alphabet of the index holds code points one higher.
        wide = [text.encode("utf-32-le") for text in (LETTER, chr(ord(LETTER) + 1))]
        if any(form in data for form in wide) or (is_text and any(form in data for form in short)):
            held.add(LETTER)  # in a file of numbers three bytes may be chance
        if held:
            found[name] = held
    return found


def test_erased_document_is_in_no_file_of_the_workspace(ws):
    wanted, identity = forms(ws), secret_id(ws)
    held = places(ws, wanted)
    named = {Path(name).name for name in held}
    assert named >= {
        "documents.sqlite", "texts.bin", "tokens.bin", "tokenizer.json", "symbols.bin",
        "statistics.json", "statistics.html", "attention.html", "steps.jsonl", "run.json",
        "alphabet.bin", "held.txt", "waiting.txt", "values.bin",
    }  # fmt: skip
    assert held.keys() >= {f"prepared/{name}/tokens.bin" for name in ws.tokenizer_names()}
    assert set().union(*held.values()) >= {*wanted, LETTER} - {"quoxelbridge", "ids of of-char"}

    report = erase_documents(ws, [identity])
    assert places(ws, wanted) == {}
    assert (report.documents, report.characters) == (1, len(SECRET))
    assert report.models == ("of-char", "of-word", "of-bpe", "unfinished")
    assert report.copies == ()
    assert {*report.rewritten} >= {
        "attention.html", "statistics.json", "prepared/word", "models/of-word/tokenizer.json",
        "models/unfinished/tokenizer.json", "models/of-char/steps.jsonl", "index/characters",
        "memory/counts/char",
    }  # fmt: skip


def test_id_of_an_erased_document_is_known_to_its_models_alone(ws):
    """There it says that what the model learned is no longer here."""
    identity = secret_id(ws)
    erase_documents(ws, identity)
    number = int(identity, 16).to_bytes(8, "little")
    held = {
        path.name
        for path in ws.path.rglob("*")
        if path.is_file()
        and (identity.encode() in path.read_bytes() or number in path.read_bytes())
    }
    assert held == {"documents.bin"}


# -- as if it had never been there --------------------------------------------------------------


@pytest.fixture
def never(filled: Path, tmp_path: Path) -> Workspace:
    """Return a workspace of the same table without the secret, which lies where it lay."""
    table = filled / "rows.csv"
    whole = table.read_bytes()
    rows = list(csv.reader(whole.decode("utf-8").splitlines(keepends=True)))
    with table.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(row for row in rows if not row[0].startswith("secret"))
    try:
        collect_documents(tmp_path / "never", table)
    finally:
        table.write_bytes(whole)
    return open_workspace(tmp_path / "never")


def test_tokens_are_those_of_a_fresh_build_with_the_same_tokenizer(ws, never, tmp_path):
    erase_documents(ws, secret_id(ws))
    config = PrepareConfig(tokenizer="char", held_out_share=0.2)
    prepare_documents(never, config=config, cleaning=CleanConfig(redact=True))
    parts = CleanedDocuments(never.cleaned, never.documents_file).parts()
    for name in ws.tokenizer_names():
        (tmp_path / name).mkdir()
        tokenizer = load_tokenizer(ws.prepared(name) / "tokenizer.json")
        write_token_store(tmp_path / name, parts, config, tokenizer=tokenizer)
        for file in ("tokens.bin", "offsets.bin", "units.bin", "documents.txt"):
            expected = (tmp_path / name / file).read_bytes()
            assert (ws.prepared(name) / file).read_bytes() == expected, (name, file)
    dropped = (never.prepared("char") / "dropped.jsonl").read_bytes()
    assert (ws.prepared("word") / "dropped.jsonl").read_bytes() == dropped


def test_tokens_of_the_others_are_the_same_numbers_as_before(ws):
    def tokens(name: str) -> dict[str, bytes]:
        store, found = TokenStore(ws.prepared(name)), {}
        for unit in store.units:
            at = slice(int(unit["token_start"]), int(unit["token_end"]))
            key = store.document_ids[int(unit["document"])]
            found[key] = found.get(key, b"") + store.tokens[at].astype("<u4").tobytes()
        return found

    identity = secret_id(ws)
    before = {name: tokens(name) for name in ws.tokenizer_names()}
    erase_documents(ws, identity)
    for name, held in before.items():
        assert held.pop(identity)
        assert tokens(name) == held


def test_traces_and_statistics_are_those_of_a_fresh_build(ws, never):
    erase_documents(ws, secret_id(ws))
    for text in (MARKER, "and a dog follows it home at dusk", "疑是地上霜。举头望明月", LETTER):
        assert asdict(trace_text(ws, text)) == asdict(trace_text(never, text))
    assert survey_workspace(ws)["characters"] == survey_workspace(never)["characters"]
    with DocumentStore(ws.documents_file) as one, DocumentStore(never.documents_file) as other:
        assert one.digest() == other.digest()
        assert sorted(one.sizes()) == sorted(other.sizes())


def test_nothing_is_stale_afterwards_and_nothing_is_made_again(ws):
    erase_documents(ws, secret_id(ws))
    before = (ws.prepared("word") / "manifest.json").read_bytes()
    report = prepare_documents(ws, config=PrepareConfig(tokenizer="word"))
    assert report.tokenizer == "word"
    assert (ws.prepared("word") / "manifest.json").read_bytes() == before


# -- models -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["char", "word", "bpe"])
def test_model_says_the_same_of_texts_that_stay(ws, kind):
    text = "3: the cat sees the moon, and a dog follows it home"
    before = score_text(load_model(ws, f"of-{kind}"), text)
    weights = (ws.model(f"of-{kind}") / "model.safetensors").read_bytes()
    erase_documents(ws, secret_id(ws))
    assert verify_folder(ws.model(f"of-{kind}"))
    model = load_model(ws, f"of-{kind}")
    assert score_text(model, text) == before
    assert (ws.model(f"of-{kind}") / "model.safetensors").read_bytes() == weights
    store = TokenStore(ws.prepared(kind if kind != "bpe" else "bpe-400"))
    assert model.tokenizer.to_json() == store.tokenizer.to_json()
    assert "geheimlabel" not in model.label_counts
    assert model.label_counts.keys() == model.tokenizer.labels.keys() == {"a", "b"}


def test_model_whose_tokens_were_prepared_anew_since_forgets_as_well(ws):
    """Its vocabulary is another than that of the tokens now."""
    collect_documents(ws, texts=["An aardvark, and a zebra: ñandú!"])
    prepare_documents(ws, config=PrepareConfig(tokenizer="word"))
    wanted = forms(ws)
    text = "the cat sees the moon"
    before = load_model(ws, "of-word").tokenizer.encode(text)
    report = erase_documents(ws, secret_id(ws))
    assert places(ws, wanted) == {}
    assert "models/of-word/tokenizer.json" in report.rewritten
    assert np.array_equal(load_model(ws, "of-word").tokenizer.encode(text).ids, before.ids)


def test_model_without_its_tokens_forgets_as_well(ws):
    shutil.rmtree(ws.path / "prepared")
    shutil.rmtree(ws.cleaned)
    wanted = forms(ws)
    erase_documents(ws, secret_id(ws))
    assert places(ws, wanted) == {}
    assert len(load_model(ws, "of-char").tokenizer.encode("床前明月光").ids) == 5


def test_damaged_model_is_not_made_sound(ws):
    with (ws.model("of-char") / "model.safetensors").open("ab") as file:
        file.write(b"x")
    wanted = forms(ws)
    erase_documents(ws, secret_id(ws))
    assert places(ws, wanted) == {}
    with pytest.raises(CorruptArtefactError):
        load_model(ws, "of-char")


def test_what_cannot_be_read_goes(ws):
    wanted, identity = forms(ws), secret_id(ws)
    (ws.model("of-char") / "tokenizer.json").write_text(f'["{MARKER}', encoding="utf-8")
    (ws.prepared("word") / "tokenizer.json").write_text(f'["{MARKER}', encoding="utf-8")
    (ws.path / "index" / "characters" / "segments.json").write_text("{")
    next(ws.cleaned.glob("part-*/fates.bin")).write_bytes(b"?")
    erase_documents(ws, identity)
    assert places(ws, wanted) == {}
    assert trace_text(ws, MARKER).recited_share == 0
    with pytest.raises(CorruptArtefactError):
        load_model(ws, "of-char")
    assert "word" not in ws.tokenizer_names()


def test_erasing_needs_no_torch(ws):
    words = "import memlm, sys; memlm.erase_documents(*sys.argv[1:]); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", words, str(ws.path), secret_id(ws)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["False"]


def test_start_of_a_training_that_failed_leaves_nothing(ws):
    (ws.path / "models" / "failed").mkdir()
    shutil.copy(ws.prepared("word") / "tokenizer.json", ws.path / "models" / "failed")
    wanted = forms(ws)
    erase_documents(ws, secret_id(ws))
    assert places(ws, wanted) == {}


def test_checkpoints_of_an_unfinished_training_stay(ws):
    found = [path.name for path in find_checkpoints(ws.model("unfinished") / "checkpoints")]
    assert found
    erase_documents(ws, secret_id(ws))
    for path in find_checkpoints(ws.model("unfinished") / "checkpoints"):
        verify_folder(path)
        found.remove(path.name)
    assert found == []


# -- what is said -------------------------------------------------------------------------------


def test_unknown_id_is_named_and_nothing_is_erased(ws):
    with DocumentStore(ws.documents_file) as store:
        before = store.digest()
    with pytest.raises(NotFoundError) as caught:
        erase_documents(ws, [secret_id(ws), "0123456789abcdef"])
    assert caught.value.code == "documents_unknown"
    assert caught.value.values == {"count": 1, "ids": "0123456789abcdef"}
    with DocumentStore(ws.documents_file) as store:
        assert store.digest() == before


def test_document_does_not_come_back_while_its_file_is_the_same(ws, filled):
    erase_documents(ws, secret_id(ws))
    report = collect_documents(ws, filled / "rows.csv")
    assert (report.documents_added, report.documents_unchanged) == (0, 60)


def test_erasing_nothing_changes_nothing(ws):
    before = {p: p.stat().st_mtime_ns for p in ws.path.rglob("*") if p.name != "lock"}
    assert erase_documents(ws, []).rewritten == ()
    changed = {p.name for p, at in before.items() if p.is_file() and p.stat().st_mtime_ns != at}
    assert changed <= {"workspace.json"}


LONG = (
    "The harbour master wrote down every ship that came in before the storm, and none that left, "
)
COPIES = [
    LONG * 3 + "so he said to Mary.",
    LONG * 3 + "so he said to Mary.",
    LONG * 3 + "so he said to Paul.",
    "Something else altogether, about hills and sheep.",
]


@pytest.mark.parametrize("drops", [True, False], ids=["copies go", "copies stay"])
def test_copies_are_named_and_take_the_place(tmp_path, drops):
    ws = open_workspace(tmp_path / "ws", create=True)
    collect_documents(ws, texts=[{"text": text, "id": str(n)} for n, text in enumerate(COPIES)])
    cleaning = CleanConfig(without=() if drops else ("duplicates",))
    config = PrepareConfig(tokenizer="word", held_out_share=0)
    prepare_documents(ws, config=config, cleaning=cleaning)
    with DocumentStore(ws.documents_file) as store:
        ids = [document.id for document in store]
    report = erase_documents(ws, ids[0])
    found = {(copy.document_id, copy.of, copy.is_exact) for copy in report.copies}
    assert found == {(ids[1], ids[0], True), (ids[2], ids[0], False)}
    kept = list(TokenStore(ws.prepared("word")).document_ids)
    assert kept == ([ids[1], ids[3]] if drops else ids[1:])
    erase_documents(ws, ids[1])
    assert list(TokenStore(ws.prepared("word")).document_ids) == ids[2:]


def test_pruning_says_which_models_and_copies_stay(memlm, tmp_path, capsys):
    from memlm.cli.app import run

    folder, ws = tmp_path / "notes", tmp_path / "ws"
    folder.mkdir()
    for number, text in enumerate([MARKER, MARKER, "the cat sees the moon\n" * 20]):
        (folder / f"{number}.txt").write_text(text, encoding="utf-8")
    memlm("train", ws, folder, "--steps", "2", "--hidden-width", "8", "--held-out-share", "0")
    (folder / "0.txt").unlink()
    capsys.readouterr()
    assert run(["collect", str(ws), str(folder), "--prune", "--language", "en"]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "stands in 1 other document, which stays: notes/1.txt" in said
    assert "stays in the weights of lstm-1" in said


def test_text_that_was_replaced_is_erased_by_the_next_prune(memlm, tmp_path):
    """The document is still there, by its id; only its text is another."""
    folder = tmp_path / "notes"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.txt").write_text(f"{number}: the cat sees the moon", encoding="utf-8")
    (folder / "0.txt").write_text(SECRET, encoding="utf-8")
    memlm("collect", tmp_path / "ws", folder)
    ws = open_workspace(tmp_path / "ws")
    prepare_documents(ws, config=PrepareConfig(tokenizer="word", held_out_share=0))
    wanted = forms(ws)
    (folder / "0.txt").write_text("0: the cat sees the moon", encoding="utf-8")
    memlm("collect", ws.path, folder, "--prune")
    assert places(ws, wanted) == {}


@pytest.mark.parametrize("adds", [False, True], ids=["only removed", "others came too"])
def test_vocabulary_that_came_from_a_file_forgets_what_only_the_removed_used(memlm, tmp_path, adds):
    """What it knows beside that, no document here had: it is the file's own."""
    folder, file = tmp_path / "notes", tmp_path / "given.json"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.txt").write_text(f"{number}: the cat sees the moon", encoding="utf-8")
    (folder / "5.txt").write_text(SECRET, encoding="utf-8")
    learned = learn_tokenizer(
        "bpe", [SECRET, "the cat sees the moon, perhaps"] * 9, size=500, labels=[]
    )
    file.write_text(json.dumps(learned.to_json()), encoding="utf-8")
    memlm("collect", tmp_path / "ws", folder)
    memlm("prepare", tmp_path / "ws", "--tokenizer", file, "--held-out-share", "0")
    ws = open_workspace(tmp_path / "ws")
    wanted = forms(ws)
    assert any("tokenizer.json" in name for name in places(ws, wanted))
    (folder / "5.txt").unlink()
    if adds:
        (folder / "6.txt").write_text("6: another cat, a goat and Zürich", encoding="utf-8")
    memlm("collect", ws.path, folder, "--prune")
    assert places(ws, wanted) == {}
    (name,) = ws.tokenizer_names()
    text = (ws.prepared(name) / "tokenizer.json").read_text("utf-8")
    assert "Quox" not in text
    assert "Ġperhaps" in text
    store = TokenStore(ws.prepared(name))
    assert len(store.document_ids) == 5 + adds
    assert store.tokenizer.decode(store.tokens.tolist()).count("the cat sees the moon") == 5


# -- killed in the middle -----------------------------------------------------------------------

FEW_CHANGES = (2, 12, 29, 45, 70, 100)
KILLED = """
import os, pathlib, shutil, signal, sys
import memlm
left = int(sys.argv[3])

def deadly(function):
    def call(*args, **kwargs):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return call

pathlib.Path.replace = deadly(pathlib.Path.replace)
pathlib.Path.rename = deadly(pathlib.Path.rename)
pathlib.Path.unlink = deadly(pathlib.Path.unlink)
shutil.rmtree = deadly(shutil.rmtree)
memlm.erase_documents(sys.argv[1], sys.argv[2])
"""


@pytest.fixture
def kill(ws: Workspace) -> Callable[[int], bool]:
    """Return what erases the secret and is killed at the n-th change to a name; False if past."""
    identity = secret_id(ws)

    def run(change: int) -> bool:
        words = [sys.executable, "-c", KILLED, str(ws.path), identity, str(change)]
        return subprocess.run(words, capture_output=True, check=False).returncode == -9

    return run


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize(
    "change",
    [pytest.param(n, marks=() if n in FEW_CHANGES else pytest.mark.slow) for n in range(1, 140)],
)
def test_killed_erasing_is_finished_by_the_next_command(memlm, ws, kill, change):
    wanted, identity = forms(ws), secret_id(ws)
    assert kill(change) or change > max(FEW_CHANGES)
    memlm("prepare", ws.path, "--tokenizer", "word")
    with DocumentStore(ws.documents_file) as store:
        is_left = store.get(identity) is not None
    if is_left:  # killed before anything was removed: it is still to be asked for
        erase_documents(ws, identity)
    assert places(ws, wanted) == {}
    assert sorted(ws.tokenizer_names()) == ["bpe-400", "byte", "char", "whitespace", "word"]
    for kind in ("char", "word", "bpe"):
        model = load_model(ws, f"of-{kind}")
        store = TokenStore(ws.prepared(kind if kind != "bpe" else "bpe-400"))
        assert model.tokenizer.to_json() == store.tokenizer.to_json()
    assert not ws.settings()["erasing"]
