"""`--json`: one object on standard output, with the keys that outsiders build on."""

from __future__ import annotations

import io
import json
import sys

import pytest

COLLECT = {
    "documents_added", "documents_unchanged", "documents_changed", "documents_removed",
    "documents_rejected", "rejected", "characters",
}  # fmt: skip
PREPARE = {
    "documents", "dropped", "dropped_by_reason", "tokens", "tokenizer", "vocabulary_size",
    "unknown",
}  # fmt: skip
TRAIN = {
    "model", "network", "parameters", "steps", "seconds", "held_out_nats_per_character",
    "held_out_bits_per_byte", "curves",
}  # fmt: skip
SCORE = {
    "nats_per_character", "bits_per_byte", "perplexity_per_token", "tokens", "unknown", "protocol",
}  # fmt: skip
FINDING = {"value", "low", "high", "n", "baseline"}
GENERATE = {"text", "tokens", "tokens_per_second", "spans"}
TRACE = {"characters", "recited_share", "recombined_share", "new_share", "spans"}
SPAN = {"start", "end", "text", "kind", "count", "expected_by_chance", "sources"}
ATTEND = {"model", "kind", "tokens", "layers", "page"}
ATTENDED_TOKEN = {"start", "end", "text", "log_probability"}
SOURCE = {"document_id", "source", "start", "end"}


def _keys(value: object) -> object:
    """Return the keys of a JSON value, and of what lies in it, without the values."""
    if isinstance(value, dict):
        return {name: _keys(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_keys(value[0])] if value else []
    return None


@pytest.fixture
def every_command(trained, corpus, sample, fast):
    """Return the words of every command but `demo`, in an order in which all can run."""
    table = corpus / "reviews.csv"
    return {
        "collect": ["collect", trained, corpus],
        "prepare": ["prepare", trained],
        "train": ["train", trained, *fast],
        "generate": ["generate", trained, "the", "--tokens", "8", "--trace", "--seed", "1"],
        "score": ["score", trained, sample],
        "trace": ["trace", trained, sample],
        "evaluate": ["evaluate", trained, table],
        "attend": ["attend", trained, "the cat"],
        "lookup": ["lookup", trained, "the cat"],
        "info": ["info", trained],
        "models": ["models", trained],
    }


COMMANDS = [
    "collect", "prepare", "train", "generate", "score", "trace", "evaluate", "attend", "lookup",
    "info", "models",
]  # fmt: skip


def test_collect_has_its_keys(memlm, tmp_path, corpus):
    (tmp_path / "odd.bin").write_bytes(bytes(range(256)))
    found = memlm("collect", tmp_path / "ws", corpus, tmp_path / "odd.bin", "--json").json
    assert set(found) >= COLLECT
    assert found["documents_rejected"] == len(found["rejected"]) == 1
    assert set(found["rejected"][0]) >= {"source", "position", "reason"}


def test_prepare_has_its_keys(memlm, collected):
    found = memlm("prepare", collected, "--json").json
    assert set(found) >= PREPARE
    assert set(found["tokens"]) >= {"train", "held_out", "sealed"}
    assert isinstance(found["dropped"], int)


def test_train_has_its_keys(memlm, collected, fast):
    found = memlm("train", collected, *fast, "--json").json
    assert set(found) >= TRAIN
    assert (found["model"], found["network"], found["steps"]) == ("lstm-1", "lstm", 8)


def test_score_has_its_keys(memlm, trained, sample):
    found = memlm("score", trained, sample, "--json").json
    assert set(found) >= SCORE
    assert found["tokens"] > 0


def test_evaluate_has_its_keys(memlm, trained, corpus):
    found = memlm("evaluate", trained, corpus / "reviews.csv", "--json").json
    assert set(found) >= {"accuracy", "macro_f1"}
    assert set(found["accuracy"]) >= FINDING
    assert found["accuracy"]["n"] == 40


def test_generate_has_its_keys(memlm, trained):
    found = memlm("generate", trained, "the cat", "--tokens", 12, "--json").json
    assert set(found) >= GENERATE
    assert isinstance(found["text"], str)


def test_trace_has_its_keys(memlm, trained, corpus):
    found = memlm("trace", trained, corpus / "notes.txt", "--json").json
    assert set(found) >= TRACE
    assert set(found["spans"][0]) >= SPAN
    assert set(found["spans"][0]["sources"][0]) >= SOURCE


def test_attend_has_its_keys(memlm, trained):
    found = memlm("attend", trained, "the cat", "--json").json
    assert set(found) >= ATTEND
    assert (found["model"], found["kind"]) == ("lstm-1", "saliency")
    assert set(found["tokens"][1]) >= ATTENDED_TOKEN
    (layer,) = found["layers"]
    assert set(layer) >= {"layer", "heads"}
    assert [len(row) for row in layer["heads"][0]] == list(range(1, 9))


def test_the_shares_of_a_trace_sum_to_one(memlm, trained, sample):
    found = memlm("trace", trained, sample, "--json").json
    shares = [found[f"{kind}_share"] for kind in ("recited", "recombined", "new")]
    assert sum(shares) == pytest.approx(1)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_prints_one_object_and_nothing_else(memlm, every_command, command):
    found = memlm(*every_command[command], "--json")
    assert found.code == 0
    assert found.json


@pytest.mark.parametrize("command", COMMANDS)
def test_chinese_changes_sentences_but_no_key(memlm, every_command, command):
    words = every_command[command]
    english = memlm(*words, "--json", "--language", "en").json
    assert _keys(memlm(*words, "--json", "--language", "zh").json) == _keys(english)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_something_to_people_too(memlm, every_command, command):
    found = memlm(*every_command[command])
    assert found.code == 0
    assert found.out.strip()
    assert not found.out.startswith("{")


@pytest.mark.parametrize("command", COMMANDS)
def test_people_are_spoken_to_in_chinese_on_request(memlm, every_command, command):
    found = memlm(*every_command[command], "--language", "zh")
    assert found.code == 0
    assert any("\u4e00" <= character <= "\u9fff" for character in found.out + found.err)


@pytest.mark.parametrize("command", ["generate", "score", "evaluate", "attend"])
def test_no_memory_is_accepted(memlm, every_command, command):
    assert memlm(*every_command[command], "--no-memory", "--json").code == 0


def test_common_options_may_stand_before_the_command(memlm, trained):
    found = memlm("--json", "--language", "zh", "info", trained)
    assert found.code == 0
    assert found.json["models"][0]["model"] == "lstm-1"


def test_an_interval_without_ends_is_null(memlm, trained, tmp_path):
    (tmp_path / "one.txt").write_text("a", encoding="utf-8")
    found = memlm("score", trained, tmp_path / "one.txt", "--json").json
    assert (found["low"], found["high"]) == (None, None)


def test_a_console_without_chinese_gets_ascii(memlm, trained, monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    memlm("generate", trained, "月亮", "--tokens", 3, "--json")
    sys.stdout.flush()
    assert json.loads(written.getvalue().decode("ascii"))["prompt"] == "月亮"


# -- errors -------------------------------------------------------------------------------------


def test_an_error_is_one_object_too(memlm, tmp_path):
    found = memlm("collect", tmp_path / "ws", tmp_path / "nowhere", "--json")
    assert found.code == 2
    assert found.error["code"] == "source_missing"
    assert "nowhere" in found.error["message"]


def test_an_error_is_one_line_for_people(memlm, tmp_path):
    found = memlm("collect", tmp_path / "ws", tmp_path / "nowhere")
    assert found.out == ""
    assert found.err.startswith("memlm: ")
    assert len(found.err.splitlines()) == 1


def test_an_error_in_chinese_has_the_same_code(memlm, tmp_path):
    words = ("collect", tmp_path / "ws", tmp_path / "nowhere", "--json", "--language")
    english, chinese = memlm(*words, "en").error, memlm(*words, "zh").error
    assert english["code"] == chinese["code"]
    assert english["message"] != chinese["message"]


def test_the_language_is_that_of_the_system(memlm, tmp_path, monkeypatch):
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert "不存在" in memlm("collect", tmp_path / "ws", tmp_path / "nowhere").err


def test_a_traceback_is_shown_with_debug_only(memlm, tmp_path):
    words = ("collect", tmp_path / "ws", tmp_path / "nowhere")
    assert "Traceback" not in memlm(*words).err
    assert "Traceback" in memlm(*words, "--debug").err
