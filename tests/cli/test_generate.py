"""`memlm generate`: its options from the command line, few-shot answers, and what breaks off."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

MEMORY = ("--model", "memory")
ANSWERS = "Where is the moon?\nabove\n\nWhere is the river?\nbelow\n"
QUIZ = "问：月亮在何处\n答：天上\n\n问：小河在何处\n答：地上\n"


@pytest.fixture(scope="module")
def ws_once(tmp_path_factory) -> Path:
    """Return a workspace that can be asked without training."""
    from memlm.cli.app import run

    folder = tmp_path_factory.mktemp("texts")
    (folder / "english.txt").write_text(
        ANSWERS * 20 + "Where is the cat?\non the mat\n\nWho sees the moon?\n" * 20, "utf-8"
    )
    (folder / "chinese.txt").write_text(
        QUIZ * 20 + "问：小猫在何处\n答：床前明月光\n\n" * 20, "utf-8"
    )
    path = tmp_path_factory.mktemp("asked") / "ws"
    assert run(["collect", str(path), str(folder)]) == 0
    assert run(["prepare", str(path), "--tokenizer", "char"]) == 0
    assert run(["generate", str(path), "Where", "--model", "memory", "--tokens", "1"]) == 0
    return path


@pytest.fixture
def write(memlm, ws_once):
    """Return what runs `memlm generate` with the memory alone."""

    def call(*words):
        return memlm("generate", ws_once, *words, *MEMORY)

    return call


# -- options ------------------------------------------------------------------------------------


def test_a_forbidden_word_is_not_written(write):
    words = ("Where is the", "--temperature", "0", "--tokens", "30", "--json")
    assert "moon" in write(*words).json["text"] or "river" in write(*words).json["text"]
    found = write(*words, "--forbid", "moon", "--forbid", "river").json["text"]
    assert "moon" not in found
    assert "river" not in found


def test_only_allowed_words_are_written(write):
    words = (
        "问：",
        "--allow",
        "小猫",
        "--allow",
        "明月",
        "--seed",
        "1",
        "--tokens",
        "12",
        "--json",
    )
    found = write(*words, "--ignore-end").json["text"]
    assert set(found) <= set("小猫明月：？，。 \n?")
    assert "小猫" in found or "明月" in found


def test_beams_print_the_best_text(write):
    words = ("Where is the cat?", "--beams", "4", "--tokens", "11")
    best = write(*words, "--json").json["text"]
    assert best == "\non the mat"
    assert write(*words).out == f"Where is the cat?{best}\n"
    several = write(*words, "--samples", "3", "--json").json["samples"]
    assert several[0]["text"] == best
    assert len({one["text"] for one in several}) == 3


def test_every_option_of_drawing_is_taken(write):
    options = {
        "--min-p": 0.1, "--typical": 0.9, "--repetition-penalty": 1.2, "--presence-penalty": 0.5,
        "--min-tokens": 5, "--top-k": 10**6, "--top-p": 0.95, "--seed": 1, "--tokens": 8,
    }  # fmt: skip
    words = [str(word) for pair in options.items() for word in pair]
    assert write("Where", *words, "--json").json["tokens"] >= 5


def test_words_are_normalised_as_documents_are(write):
    assert write("Where", "--forbid", "e\u0301", "--tokens", "3", "--json").code == 0


# -- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code"),
    [
        pytest.param(("--temperature", "-1"), "value_outside", id="temperature below 0"),
        pytest.param(("--temperature", "nan"), "value_outside", id="temperature no number"),
        pytest.param(("--temperature", "inf"), "value_outside", id="temperature without end"),
        pytest.param(("--temperature", "warm"), "option_value", id="temperature a word"),
        pytest.param(("--top-k", "0"), "value_too_small", id="top-k 0"),
        pytest.param(("--stop", ""), "option_empty", id="stop empty"),
        pytest.param(("--forbid", ""), "option_empty", id="forbid empty"),
        pytest.param(("--allow", ""), "option_empty", id="allow empty"),
        pytest.param(("--allow", "zebra"), "allow_unwritable", id="allow unknown characters"),
        pytest.param(
            ("--allow", "the", "--forbid", "t", "--forbid", " ", "--forbid", "\n", "--forbid", "?",
             "--forbid", "：", "--ignore-end"),
            "everything_forbidden",
            id="everything forbidden",
        ),
        pytest.param(("--forbid", "\ufffd"), "forbid_no_character", id="forbid no character"),
        pytest.param(("--beams", "3", "--temperature", "1"), "options_exclude", id="beams drawn"),
        pytest.param(("--length-penalty", "1"), "option_alone", id="penalty without beams"),
        pytest.param(("--min-tokens", "9", "--tokens", "3"), "value_outside", id="least over most"),
    ],
)  # fmt: skip
def test_bad_options_are_said_in_one_line(write, words, code):
    found = write("Where", *words, "--json")
    assert (found.code, found.error["code"]) == (2, code)
    for language in ("en", "zh"):
        said = write("Where", *words, "--language", language)
        assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)


def test_a_prompt_with_unknown_characters_is_refused_in_one_line(write):
    found = write("Where is Ω?", "--json")
    assert (found.code, found.error["code"]) == (2, "prompt_unknown")
    assert write("Where is Ω?").err.count("\n") == 1


@pytest.mark.parametrize("options", [(), ("--beams", "2"), ("--temperature", "0")], ids=str)
def test_an_empty_prompt_begins_a_document(write, options):
    found = write("", "--tokens", "5", "--ignore-end", *options, "--json").json
    assert (found["prompt"], found["tokens"]) == ("", 5)


def test_a_very_long_prompt_is_read(write):
    found = write("Where is the moon?\nabove\n\n" * 400 + "Where is", "--tokens", "4", "--json")
    assert found.json["tokens"] <= 4


def test_a_prompt_beyond_what_attention_sees_is_told(memlm, collected, fast):
    words = ("--network", "transformer", "--layers", "2", "--attention-window", "16")
    options = [*fast, "--heads", "2", "--tokenizer", "char"]
    assert memlm("train", collected, *words, *options).code == 0
    short = memlm("generate", collected, "the cat", "--tokens", "2", "--no-memory")
    long = memlm("generate", collected, "the cat sees the moon. " * 4, "--tokens", "2")
    assert (short.code, long.code) == (0, 0)
    assert "looks back over 31" in long.err
    assert "looks back" not in short.err


# -- few-shot -----------------------------------------------------------------------------------


@pytest.fixture
def shots(tmp_path):
    """Return what writes a file of examples."""

    def put(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return put


@pytest.mark.parametrize(
    ("text", "asked", "answer"),
    [
        pytest.param(ANSWERS, "Where is the cat?", "on the mat", id="English"),
        pytest.param(QUIZ, "小猫在何处", "床前明月光", id="Chinese"),
    ],
)
def test_only_the_answer_is_printed(write, shots, text, asked, answer):
    path = shots("shots.txt", text)
    words = (asked, "--shots", path, "--temperature", "0")
    assert write(*words).out == f"{answer}\n"
    found = write(*words, "--json").json
    assert (found["prompt"], found["text"], found["ended_by"]) == (asked, answer, "stop")


@pytest.mark.parametrize("name", ["shots.csv", "shots.jsonl"])
def test_tables_of_examples_have_two_columns(write, shots, name):
    rows = [("月亮在何处", "天上"), ("小河在何处", "地上")]
    if name.endswith(".csv"):
        text = "input,output\n" + "".join(f"问：{one},答：{two}\n" for one, two in rows)
    else:
        pairs = ({"input": f"问：{one}", "output": f"答：{two}"} for one, two in rows)
        text = "".join(json.dumps(pair) + "\n" for pair in pairs)
    found = write("小猫在何处", "--shots", shots(name, text), "--temperature", "0", "--json").json
    assert found["text"] == "床前明月光"


def test_a_trace_of_an_answer_is_of_the_answer(write, shots):
    path = shots("shots.txt", ANSWERS)
    words = ("Where is the cat?", "--shots", path, "--temperature", "0", "--trace", "--json")
    found = write(*words).json
    assert found["characters"] == len(found["text"]) == len("on the mat")
    assert [share["start"] for share in found["shares"]] == list(range(10))


@pytest.mark.parametrize(
    ("name", "text", "asked", "code"),
    [
        pytest.param("a.txt", "", "the", "file_empty", id="nothing"),
        pytest.param("a.txt", "a\nb\n\nc\n", "the", "shot_without_output", id="no output"),
        pytest.param("a.csv", "input,output\na,b\nc,\n", "the", "shot_without_output", id="a gap"),
        pytest.param("a.csv", "input,answer\na,b\n", "the", "column_missing", id="no such column"),
        pytest.param("a.csv", "ask,output\na,b\n", "the", "column_missing", id="nothing to ask"),
        pytest.param("a.jsonl", '{"input": 3, "output": "b"}\n', "the", "shot_bad", id="no text"),
        pytest.param("a.txt", ANSWERS, "", "shots_without_prompt", id="nothing asked"),
    ],
)
def test_bad_examples_are_said_in_one_line(write, shots, name, text, asked, code):
    path = shots(name, text)
    found = write(asked, "--shots", path, "--json")
    assert (found.code, found.error["code"]) == (2, code)
    assert write(asked, "--shots", path).err.count("\n") == 1


def test_symbols_of_the_examples_that_are_unknown_are_said_of_their_file(write, shots):
    found = write("Where", "--shots", shots("mine.txt", "Where is Ω?\n☃\n"), "--json").error
    assert found["code"] == "shots_unknown"
    assert "mine.txt: “Ω ☃”" in found["message"]


def test_a_file_of_examples_that_is_missing_is_named(write, tmp_path):
    assert write("the", "--shots", tmp_path / "none.txt", "--json").code == 2


# -- what breaks off ----------------------------------------------------------------------------


def _long(ws: Path) -> list[str]:
    # So few that nothing is compiled for them, so many that they take seconds.
    words = ["generate", str(ws), "Where", "--tokens", "30000", "--ignore-end", *MEMORY]
    return [sys.executable, "-m", "memlm", *words]


def _read_some(file: int, size: int) -> bytes:
    found, until = b"", time.monotonic() + 60
    while len(found) < size and time.monotonic() < until:
        found += os.read(file, 4096)
    return found


def test_an_interrupted_stream_ends_its_line_and_says_one(ws_once):
    near, far = pty.openpty()
    with subprocess.Popen(
        _long(ws_once), stdin=far, stdout=far, stderr=far, start_new_session=True
    ) as process:
        os.close(far)
        found = _read_some(near, 200)
        process.send_signal(signal.SIGINT)
        try:
            while more := os.read(near, 4096):
                found += more
        except OSError:  # the terminal is closed when its last program has ended
            pass
    os.close(near)
    assert process.returncode == 130
    *_, last = found.decode("utf-8").rstrip("\r\n").rpartition("\n")
    assert "memlm: Stopped by SIGINT; what was printed or kept by then stays." in last
    assert last.index("memlm: ") <= len("\x1b[31m")  # it stands on a line of its own
    assert "Traceback" not in found.decode("utf-8")
    hidden, shown = found.rfind(b"\x1b[?25l"), found.rfind(b"\x1b[?25h")
    assert hidden <= shown  # the cursor is back, wherever it was hidden
    assert last.endswith("\x1b[0m")  # and so are the colours


def test_a_stream_that_nobody_reads_ends_in_silence(ws_once):
    with subprocess.Popen(
        _long(ws_once), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert _read_some(process.stdout.fileno(), 100).startswith(b"Where")
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 128 + 13
