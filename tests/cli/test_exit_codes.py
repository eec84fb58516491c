"""What each mistake ends with: 2 the user's, 3 a corrupt artefact, 4 the machine, 5 divergence."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import pytest

from memlm.storage import WriterLock


@pytest.fixture
def fails(memlm):
    """Return what runs a command that must fail, and returns its error."""

    def call(code: int, *words: object) -> dict[str, str]:
        found = memlm(*words, "--json")
        assert found.code == code, found.out + found.err
        return found.error

    return call


# -- 2: the user can mend it --------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["collect", "WS", "nowhere.txt"], id="collect"),
        pytest.param(["train", "WS", "nowhere.txt"], id="train"),
        pytest.param(["score", "WS", "nowhere.txt"], id="score"),
        pytest.param(["trace", "WS", "nowhere.txt"], id="trace"),
        pytest.param(["evaluate", "WS", "nowhere.csv"], id="evaluate"),
        pytest.param(["info", "WS", "--config", "nowhere.toml"], id="configuration"),
    ],
)
def test_a_file_that_does_not_exist_is_named(fails, trained, words):
    words = [trained if word == "WS" else word for word in words]
    found = fails(2, *words)
    assert found["code"] == "source_missing"
    assert "nowhere" in found["message"]


def test_a_missing_source_leaves_no_workspace(fails, tmp_path):
    fails(2, "collect", tmp_path / "new", tmp_path / "nowhere")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("command", ["collect", "train"])
@pytest.mark.parametrize("has_folder", [False, True], ids=["new", "empty folder"])
def test_a_wrong_column_leaves_no_new_workspace(fails, corpus, tmp_path, command, has_folder):
    ws = tmp_path / "ws"
    if has_folder:
        ws.mkdir()
    found = fails(2, command, ws, corpus, "--text-column", "nope")
    assert found["code"] == "column_missing"
    assert not ws.exists() or not list(ws.iterdir())


def test_a_wrong_column_leaves_a_workspace_that_was_there(fails, memlm, collected, corpus):
    fails(2, "collect", collected, corpus, "--text-column", "nope")
    assert memlm("collect", collected, corpus, "--json").json["documents_added"] == 0


@pytest.mark.parametrize("command", ["train", "prepare", "trace"])
def test_a_workspace_that_was_given_nothing_has_no_documents(fails, memlm, tmp_path, command):
    (tmp_path / "empty").mkdir()
    found = memlm("collect", tmp_path / "ws", tmp_path / "empty")
    assert (found.code, "empty" in found.err) == (0, True)
    words = ("--text", "a") if command == "trace" else ()
    assert fails(2, command, tmp_path / "ws", *words)["code"] == "no_documents"


@pytest.mark.parametrize("command", ["evaluate", "score"])
def test_a_missing_file_is_noticed_before_a_model_is_trained(fails, collected, command):
    fails(2, command, collected, "nowhere.csv")
    assert not (collected / "models").exists()


def test_empty_input_is_noticed_before_a_model_is_trained(fails, collected, say):
    say("")
    assert fails(2, "score", collected, "-")["code"] == "text_without_tokens"
    assert not (collected / "models").exists()


def test_a_model_that_nobody_asked_for_is_announced_with_what_to_do(memlm, collected, fast):
    said = memlm("generate", collected, "the", "--tokens", "2", *fast).err.splitlines()[0]
    assert "Ctrl-C" in said
    assert f"memlm train {collected}" in said


@pytest.mark.parametrize(
    ("words", "suggested"),
    [
        pytest.param(["generate", "WS", "a", "--tokns", "5"], "--tokens", id="generate"),
        pytest.param(["train", "WS", "--minute", "1"], "--minutes", id="train"),
        pytest.param(["score", "WS", "f", "--windw", "8"], "--window", id="score"),
        pytest.param(["collect", "WS", "f", "--text-colum=x"], "--text-column", id="with a value"),
    ],
)
def test_a_misspelt_option_is_answered_with_the_right_one(fails, trained, words, suggested):
    found = fails(2, *[trained if word == "WS" else word for word in words])
    assert found["code"] == "option_unknown"
    assert suggested in found["hint"]


@pytest.mark.parametrize("option", ["--nosuch", "--xyzzy"])
def test_what_is_like_no_option_is_answered_with_none(fails, trained, option):
    assert fails(2, "generate", trained, "a", option)["hint"].startswith("See memlm generate")


def test_a_misspelt_command_is_answered_with_the_right_one(fails, tmp_path):
    found = fails(2, "trian", tmp_path)
    assert found["code"] == "command_unknown"
    assert "train" in found["hint"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        pytest.param(["generate", "WS", "a", "--tokens", "many"], "option_value", id="no number"),
        pytest.param(["generate", "WS", "a", "--tokens", "0"], "value_outside", id="no tokens"),
        pytest.param(["generate", "WS", "a", "--stop", ""], "option_empty", id="an empty stop"),
        pytest.param(["generate", "WS", "a", "--seed", "-1"], "value_too_small", id="seed"),
        pytest.param(["train", "WS", "--network", "abacus"], "network_unknown", id="network"),
        pytest.param(["train", "WS", "--minutes", "0"], "value_not_positive", id="no minutes"),
        pytest.param(["train", "WS", "--minutes", "nan"], "value_not_positive", id="nan minutes"),
        pytest.param(["train", "WS", "--steps", "1", "--epochs", "1"], "options_exclude", id="2"),
        pytest.param(["train", "WS", "--steps", "1", "--steps", "2"], "option_repeated", id="two"),
        pytest.param(["train", "WS", "--name", "../x"], "model_name", id="name outside"),
        pytest.param(["train", "WS", "--name", "lstm-1"], "model_exists", id="name taken"),
        pytest.param(["train", "WS", "--device", "abacus"], "device_unknown", id="device"),
        pytest.param(["prepare", "WS", "--tokenizer", "axe"], "choice_unknown", id="tokenizer"),
        pytest.param(["prepare", "WS", "--tokenizer", "a.json"], "source_missing", id="no json"),
        pytest.param(["prepare", "WS", "--processes", "0"], "value_too_small", id="processes"),
        pytest.param(["prepare", "WS", "--sealed", "1"], "share_outside", id="all sealed"),
        pytest.param(["prepare", "WS", "--without", "repair", "x"], "words_left_over", id="two"),
        pytest.param(["score", "WS", "FILE", "--window", "1"], "value_too_small", id="window"),
        pytest.param(["score", "WS", "FILE", "--language", "fr"], "choice_unknown", id="fr"),
        pytest.param(["score", "WS", "FILE", "--model", "x"], "model_missing", id="model"),
        pytest.param(["score", "WS", "FILE", "--steps", "0"], "value_too_small", id="unused"),
        pytest.param(["score", "WS"], "argument_missing", id="no file"),
        pytest.param(["score"], "argument_missing", id="no workspace"),
        pytest.param(["train", "WS", "--minutes"], "option_incomplete", id="no value"),
        pytest.param(["models", "WS", "--rename", "a"], "option_incomplete", id="half a pair"),
        pytest.param(["trace", "WS"], "nothing_to_trace", id="nothing to trace"),
        pytest.param(["evaluate", "WS", "FILE"], "file_without_labels", id="no labels"),
        pytest.param(["train", "WS", "--resume"], "nothing_to_resume", id="nothing to resume"),
    ],
)  # fmt: skip
def test_a_wrong_use_ends_with_2_and_its_name(fails, trained, sample, words, code):
    places = {"WS": trained, "FILE": sample}
    assert fails(2, *[places.get(word, word) for word in words])["code"] == code


@pytest.mark.parametrize("device", ["meta", "cpu:3", "cuda:x", "CPU", "xpu", "", "cuda:99"])
@pytest.mark.parametrize("command", ["train", "generate", "score"])
def test_a_device_that_cannot_be_is_refused_before_any_work(
    fails, corpus, collected, sample, command, device
):
    more = {"train": [corpus / "more.jsonl"], "generate": ["the"], "score": [sample]}[command]
    before = (collected / "documents.sqlite").stat().st_mtime_ns
    assert fails(2, command, collected, *more, "--device", device)["code"] == "device_unknown"
    assert (collected / "documents.sqlite").stat().st_mtime_ns == before
    assert not (collected / "models").exists()


def test_a_missing_model_is_answered_with_those_that_exist(fails, trained, sample):
    assert "lstm-1" in fails(2, "score", trained, sample, "--model", "lstm-9")["hint"]


def test_a_wrong_column_is_answered_with_the_columns(fails, corpus, tmp_path):
    words = ("collect", tmp_path / "ws", corpus / "reviews.csv", "--text-column", "body")
    found = fails(2, *words)
    assert found["code"] == "column_missing"
    assert "text" in found["message"]
    assert "label" in found["message"]


def test_a_prompt_with_unknown_characters_is_refused_and_they_are_named(fails, trained):
    found = fails(2, "generate", trained, "the ☃ cat")
    assert found["code"] == "prompt_unknown"
    assert "☃" in found["message"]


def test_a_label_that_no_document_has_is_answered_with_those_that_exist(fails, trained):
    found = fails(2, "generate", trained, "a", "--label", "fr")
    assert found["code"] == "label_unknown"
    assert "en, zh" in found["hint"]


@pytest.mark.parametrize("command", ["train", "generate", "info", "prepare"])
def test_a_workspace_that_does_not_exist_is_said_so(fails, tmp_path, command):
    found = fails(2, command, tmp_path / "nothing")
    assert found["code"] == "workspace_missing"
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("command", ["train", "generate", "prepare"])
def test_a_workspace_without_documents_is_said_so(fails, collected, command):
    (collected / "documents.sqlite").unlink()
    assert fails(2, command, collected)["code"] == "no_documents"


def test_a_workspace_whose_documents_are_all_rejected_cannot_be_trained_on(fails, memlm, tmp_path):
    (tmp_path / "empty.csv").write_text("", encoding="utf-8")
    assert memlm("collect", tmp_path / "ws", tmp_path / "empty.csv").code == 0
    assert fails(2, "train", tmp_path / "ws")["code"] in ("nothing_to_prepare", "no_documents")


@pytest.mark.parametrize("command", ["train", "info"])
def test_a_folder_with_other_things_is_no_workspace(fails, corpus, command):
    before = sorted(corpus.iterdir())
    assert fails(2, command, corpus)["code"] == "workspace_is_another_folder"
    assert sorted(corpus.iterdir()) == before


def test_nothing_is_collected_into_a_folder_with_other_things(fails, corpus):
    assert fails(2, "collect", corpus, corpus)["code"] == "workspace_is_another_folder"


def test_a_workspace_of_a_newer_memlm_is_refused(fails, trained):
    path = trained / "workspace.json"
    settings = json.loads(path.read_text(encoding="utf-8")) | {"schema_version": 99}
    path.write_text(json.dumps(settings), encoding="utf-8")
    assert fails(2, "info", trained)["code"] == "workspace_is_newer"


@pytest.mark.parametrize("command", ["collect", "train", "prepare"])
def test_a_workspace_that_another_process_writes_is_refused(fails, trained, corpus, command):
    lock = WriterLock(trained / "lock")
    lock.acquire()
    try:
        more = [corpus] if command == "collect" else []
        assert fails(2, command, trained, *more)["code"] == "workspace_busy"
    finally:
        lock.release()


def test_an_option_changed_on_resuming_is_refused(fails, memlm, trained, fast, monkeypatch):
    # Stopped before its first step.
    monkeypatch.setattr("memlm.runtime.SignalWatch.name", "SIGTERM")
    assert memlm("train", trained, *fast).code == 143
    monkeypatch.undo()
    found = fails(2, "train", trained, "--resume", "--hidden-width", "9")
    assert found["code"] == "resume_changed"
    assert "8" in found["message"]
    assert "9" in found["message"]


# -- 3: an artefact is corrupt ------------------------------------------------------------------


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "config.json", "tokenizer.json", "manifest.json"]
)
@pytest.mark.parametrize(
    "damage", [_flip, lambda path: path.write_bytes(b"")], ids=["bit", "empty"]
)
def test_a_damaged_model_ends_with_3_and_names_the_file(fails, trained, sample, name, damage):
    damage(trained / "models" / "lstm-1" / name)
    assert name in fails(3, "score", trained, sample)["message"]


def test_a_damaged_token_store_ends_with_3(fails, trained, fast):
    _flip(trained / "prepared" / "char" / "tokens.bin")
    assert "tokens.bin" in fails(3, "train", trained, *fast)["message"]


def test_damaged_settings_end_with_3(fails, trained):
    (trained / "workspace.json").write_text("{", encoding="utf-8")
    assert "workspace.json" in fails(3, "info", trained)["message"]


# -- 4: the machine -----------------------------------------------------------------------------


def test_a_full_disk_ends_with_4(fails, trained, corpus, monkeypatch):
    def full(*given: object, **named: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("memlm.storage.os.fsync", full)
    (corpus_copy := trained.parent / "copy").mkdir()
    (corpus_copy / "new.txt").write_text("a new text", encoding="utf-8")
    assert fails(4, "collect", trained, corpus_copy)["code"] == "cannot_write"


def test_too_little_disk_for_the_training_ends_with_4(fails, trained, fast, monkeypatch):
    usage = shutil.disk_usage(trained)
    monkeypatch.setattr("memlm.runtime.shutil.disk_usage", lambda path: usage._replace(free=10))
    assert fails(4, "train", trained, *fast)["code"] == "disk_full"


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(MemoryError(), id="Python"),
        pytest.param(
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"),
            id="torch",
        ),
    ],
)
def test_too_little_memory_ends_with_4(fails, trained, monkeypatch, error):
    def fail(path: object) -> None:
        raise error

    monkeypatch.setattr("memlm.cli.info.describe_workspace", fail)
    assert fails(4, "info", trained)["code"] == "memory_full"


# -- 5, 1, 130, 143 -----------------------------------------------------------------------------


def test_a_training_that_diverges_ends_with_5(fails, trained, fast):
    found = fails(5, "train", trained, *fast, "--learning-rate", "1e38")
    assert found["code"] == "diverged"
    run = json.loads((trained / "models" / "lstm-2" / "run.json").read_text(encoding="utf-8"))
    assert run["status"] == "diverged"


def test_our_own_mistake_ends_with_1_and_a_log_without_values(fails, trained, monkeypatch):
    def fail(path: object) -> None:
        raise ZeroDivisionError("somebody's secret text")

    monkeypatch.setattr("memlm.cli.info.describe_workspace", fail)
    found = fails(1, "info", trained)
    assert found["code"] == "internal"
    log = Path(next(word for word in found["hint"].replace(",", " ").split() if ".log" in word))
    written = log.read_text(encoding="utf-8")
    log.unlink()
    assert "ZeroDivisionError" in written
    assert "secret" not in written


def test_an_interrupted_command_ends_with_130(fails, trained, monkeypatch):
    def stop(path: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("memlm.cli.info.describe_workspace", stop)
    assert fails(130, "info", trained)["code"] == "interrupted"


def test_a_command_leaves_the_signal_handlers_of_its_process_alone(memlm, trained):
    import signal

    before = signal.getsignal(signal.SIGTERM)
    memlm("info", trained)
    assert signal.getsignal(signal.SIGTERM) is before
