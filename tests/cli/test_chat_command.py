"""`memlm chat`: through a pipe, and at a terminal."""

from __future__ import annotations

import io
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from memlm import PrepareConfig, collect_documents, prepare_documents
from memlm.cli.chat_terminal import rows_of

pty = pytest.importorskip("pty", reason="this system has no pseudo-terminals")
termios = pytest.importorskip("termios")

TEXTS = [
    "The cat sees the moon over the old town, and a dog follows it home at dusk.\n\n",
    "The old town sleeps under the rain, and nobody hears the river by the mill.\n\n",
    "床前明月光，疑是地上霜。举头望明月，低头思故乡。\n",
]
ANSWER = "the moon over the old town, and a dog follows it home at dusk."
_UNTIL_IT_WAITS = 1.0
"""Seconds from the sign of the prompt until readline waits: a signal before is heard at a key."""
USUAL = ("--model", "memory", "--temperature", "0", "--tokens", "120")


@pytest.fixture(scope="module")
def ws_once(tmp_path_factory):
    path = tmp_path_factory.mktemp("chat") / "ws"
    collect_documents(path, texts=TEXTS)
    prepare_documents(path, config=PrepareConfig(tokenizer="byte"))
    return path


@pytest.fixture
def ws(ws_once, tmp_path):
    return shutil.copytree(ws_once, tmp_path / "ws")


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LC_")}
    return kept | {"LANG": "C.UTF-8", "TERM": "xterm-256color", "COLUMNS": "", "LINES": ""} | more


@pytest.fixture
def piped(memlm, ws, monkeypatch):
    """Return what holds a conversation with what comes through a pipe."""

    def call(said: str | bytes, *words: object, options=USUAL):
        data = said if isinstance(said, bytes) else said.encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        return memlm("chat", ws, *options, *words)

    return call


# -- through a pipe -----------------------------------------------------------------------------


def test_each_line_is_a_turn_and_nothing_else_is_on_standard_output(ws):
    done = subprocess.run(
        [sys.executable, "-m", "memlm", "chat", str(ws), *USUAL],
        input="The cat sees\n举头\n".encode(),
        capture_output=True,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode() == f"{ANSWER}\n\n望明月，低头思故乡。\n"
    assert b"recited 100%" in done.stderr


def test_plain_says_nothing_of_where_it_comes_from(piped):
    assert "recited" not in piped("The cat sees\n", "--plain").err


def test_one_object_has_all_turns(piped):
    done = piped("The cat sees\n/undo\n/temperature 0\nThe old town\n/nope\n", "--json")
    found = done.json
    assert done.code == 2
    assert [turn["line"] for turn in found["turns"]] == ["The old town"]
    (turn,) = found["turns"]
    assert turn["shares"] == {"counts": 1.0}
    assert turn["recited_share"] + turn["recombined_share"] + turn["new_share"] == 1
    assert [one["code"] for one in found["refused"]] == ["chat_command_unknown"]
    assert found["model"] == "memory"


def test_a_conversation_is_named_and_goes_on(piped, ws):
    piped("The cat sees\n", "--name", "tea")
    assert (ws / "chats" / "tea.json").exists()
    found = piped("/undo\n/undo\n", "--name", "tea", "--json").json
    assert found["chat"] == "tea"
    assert not (ws / "chats" / "tea.json").exists()


def test_a_line_that_begins_with_a_slash_can_be_said(piped):
    found = piped("//etc\n", "--json").json
    assert found["turns"][0]["line"] == "/etc"


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("/undoo", "Did you mean /undo?"),
        ("/memory", "/memory on or /memory off"),
        ("/memory perhaps", "/memory on or /memory off"),
        ("/memory off", "--model NAME"),
        ("/remember", "/remember FILE"),
        ("/remember nowhere.txt", "nowhere.txt"),
        ("/temperature warm", "/temperature 0.7"),
        ("/temperature -1", "between 0 and 100"),
        ("/quit now", "/quit"),
        ("/", "/help"),
        ("/sources", "no answer yet"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line_and_the_talk_goes_on(piped, said, hint):
    done = piped(f"{said}\nThe cat sees\n", "--plain")
    lines = [line for line in done.err.splitlines() if not line.startswith("Counting")]
    lines = [line for line in lines if not line.startswith("Indexing")]
    assert len(lines) == 1
    assert hint in lines[0]
    assert (done.code, done.out) == (2, f"{ANSWER}\n")


def test_bytes_that_are_no_text_are_refused_and_the_talk_goes_on(piped):
    found = piped(b"\xff\xfe\nThe cat sees\n", "--json").json
    assert [one["code"] for one in found["refused"]] == ["not_in_encoding"]
    assert len(found["turns"]) == 1


def test_half_a_character_is_never_printed(piped):
    options = ("--model", "memory", "--temperature", "0", "--tokens", "4")
    done = piped("举头\n", options=options)
    assert done.out == "望\n"


def test_nothing_said_is_nothing_kept(piped, ws):
    done = piped("")
    assert (done.code, done.out) == (0, "")
    assert not list(ws.glob("chats/*.json"))


def test_a_remembered_file_is_drawn_on_by_the_next_answer(piped, tmp_path):
    (tmp_path / "new.txt").write_text("Grandmother keeps the blue key beneath the oven.\n", "utf-8")
    done = piped(f"/remember {tmp_path / 'new.txt'}\nGrandmother keeps\n")
    assert done.out == "the blue key beneath the oven.\n"
    assert "Remembered: 49 characters of new.txt" in done.err


def test_symbols_of_a_remembered_file_that_the_model_lacks_are_named(
    memlm, trained, tmp_path, monkeypatch
):
    (tmp_path / "new.txt").write_text("the €5 cat, €6 €\n", "utf-8")
    said = f"/remember {tmp_path / 'new.txt'}\n".encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(said)))
    done = memlm("chat", trained, "--tokens", "4")
    assert "6 of its symbols are unknown to the model" in done.err
    assert "“€ 5 , 6”" in done.err


def test_what_is_taken_back_is_shown_as_it_was_said(piped):
    done = piped("“举头\n/undo\n", "--language", "zh")
    assert "已撤回：“举头\n" in done.err


def test_what_weights_of_a_byte_cost_is_in_the_object(memlm, trained, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"the cat\n")))
    words = ("--tokens", "4", "--precision", "int8", "--json")
    found = memlm("chat", trained, *words).json
    assert found["precision"] == memlm("generate", trained, "the", *words).json["precision"]


def test_a_page_has_all_answers(piped, tmp_path):
    done = piped("The cat sees\n举头\n", "--html", tmp_path / "talk.html")
    assert done.code == 0, done.err
    page = (tmp_path / "talk.html").read_text("utf-8")
    assert "follows it home" in page
    assert "低头思故乡" in page


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--pattern", "{you}"), "chat_pattern"),
        (("--samples", "2"), "chat_one_answer"),
        (("--name", "../x"), "chat_name"),
        (("--memory", "dreams"), "memory_unknown"),
        (("--model", "nobody"), "model_missing"),
    ],
)
def test_a_wrong_option_ends_it_before_anything_is_said(piped, words, code):
    options = ("--tokens", "5") if words[0] == "--model" else ("--model", "memory")
    done = piped("The cat\n", *words, "--json", options=options)
    assert done.code == 2
    assert done.error["code"] == code


def test_chinese_is_spoken_where_that_is_wished(piped):
    done = piped("举头\n/help\n", "--language", "zh")
    assert "背诵" in done.err
    assert "撤回上一轮" in done.out


def test_weights_and_memory_take_part_as_is_said(trained, memlm, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"the cat\n/memory off\nthe\n")))
    found = memlm("chat", trained, "--tokens", "8", "--memory", "counts", "--json").json
    with_memory, alone = (turn["shares"] for turn in found["turns"])
    assert list(with_memory) == ["weights", "counts"]
    assert abs(sum(with_memory.values()) - 1) < 1e-6
    assert alone == {"weights": 1.0}
    assert found["model"] == "lstm-1"


def test_a_text_of_a_label_is_wished_for(trained, memlm, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"the\n")))
    done = memlm("chat", trained, "--tokens", "4", "--label", "en", "--no-memory", "--json")
    assert len(done.json["turns"]) == 1
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"the\n")))
    done = memlm("chat", trained, "--tokens", "4", "--label", "fr", "--no-memory", "--json")
    assert [one["code"] for one in done.json["refused"]] == ["label_unknown"]


def test_a_model_whose_documents_are_gone_talks_untraced(trained, memlm, monkeypatch):
    (trained / "documents.sqlite").unlink()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"the cat\n/sources\n")))
    found = memlm("chat", trained, "--tokens", "8", "--json").json
    assert found["turns"][0]["spans"] == []
    assert [one["code"] for one in found["refused"]] == ["chat_untraced"]


# -- at a terminal ------------------------------------------------------------------------------


class Terminal:
    """A pseudo-terminal with `memlm chat` in it."""

    def __init__(self, ws, *words: object, options=USUAL, **more: str) -> None:
        self.master, slave = pty.openpty()
        termios.tcsetwinsize(self.master, (30, 100))
        self.before = termios.tcgetattr(slave)
        self._slave, self.seen = slave, ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "memlm", "chat", *map(str, (ws, *options, *words))],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment(**more),
            start_new_session=True,
            preexec_fn=_take_terminal,
        )

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def wait_for(self, text: str, *, seconds: float = 60) -> str:
        """Return what came up to a text, and forget it."""
        until, raw = time.monotonic() + seconds, self.seen
        while text not in raw:
            assert time.monotonic() < until, raw
            if select.select([self.master], [], [], 0.1)[0]:
                raw += os.read(self.master, 65536).decode("utf-8", "replace")
        found, _, self.seen = raw.partition(text)
        return found

    def leave(self) -> int:
        code = self.process.wait(timeout=60)
        assert termios.tcgetattr(self._slave)[3] == self.before[3], "the terminal is as it was"
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self._slave)


def _take_terminal() -> None:
    import fcntl

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    # Whoever runs the tests may have told them to outlive their terminal (nohup).
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def terminal(ws) -> Iterator:
    opened = []

    def begin(*words: object, options=USUAL, **more: str) -> Terminal:
        opened.append(Terminal(ws, *words, options=options, **more))
        return opened[-1]

    yield begin
    for one in opened:
        one.close()


def test_a_person_talks_and_leaves_with_everything_kept(terminal, ws):
    talk = terminal("--name", "tea")
    talk.wait_for("> ")
    talk.type("The cat sees\n")
    answer = talk.wait_for("recited 100%")
    assert ANSWER in answer
    assert "\x1b[1;31m" in answer  # recited is bold and red
    talk.wait_for("> ")
    talk.type("\x04")
    talk.wait_for("Kept as tea")
    assert talk.leave() == 0
    assert len(json.loads((ws / "chats" / "tea.json").read_text("utf-8"))["turns"]) == 1
    again = terminal("--name", "tea")
    assert "Going on after turn 1" in again.wait_for("> ")


def test_chinese_is_typed_and_corrected(terminal):
    talk = terminal()
    talk.wait_for("> ")
    talk.type("举霜\x7f头\n")
    assert "望明月，低头思故乡。" in talk.wait_for("recited")


def test_ctrl_c_at_the_prompt_leaves_with_everything_kept(terminal, ws):
    talk = terminal("--name", "tea")
    talk.wait_for("> ")
    talk.type("The cat sees\n")
    talk.wait_for("recited")
    talk.wait_for("> ")
    time.sleep(_UNTIL_IT_WAITS)
    talk.type("\x03")
    talk.wait_for("Kept as tea")
    assert talk.leave() == 130


def test_ctrl_c_stops_an_answer_and_not_the_talk(terminal, ws):
    options = ("--model", "memory", "--tokens", "1000000", "--ignore-end", "--temperature", "3")
    talk = terminal("--pattern", "{you}{model}", "--name", "tea", options=options)
    talk.wait_for("> ")
    talk.type("The cat sees\n")
    talk.wait_for("e", seconds=30)
    time.sleep(0.5)
    talk.type("\x03")
    talk.wait_for("(stopped)")
    talk.wait_for("> ")
    talk.type("/quit\n")
    talk.wait_for("Kept as tea")
    assert talk.leave() == 0
    (turn,) = json.loads((ws / "chats" / "tea.json").read_text("utf-8"))["turns"]
    assert turn["ended_by"] == "interrupt"
    assert turn["tokens"] < 1_000_000


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["SIGTERM", "SIGHUP"])
def test_a_signal_at_the_prompt_ends_it_and_all_is_kept(terminal, ws, number):
    talk = terminal("--name", "tea")
    talk.wait_for("> ")
    talk.type("The cat sees\n")
    talk.wait_for("recited")
    talk.wait_for("> ")
    time.sleep(_UNTIL_IT_WAITS)
    talk.process.send_signal(number)
    code = talk.process.wait(timeout=60)
    assert code == (143 if number == signal.SIGTERM else -signal.SIGHUP)
    assert len(json.loads((ws / "chats" / "tea.json").read_text("utf-8"))["turns"]) == 1


def test_a_signal_in_an_answer_ends_the_talk_with_what_was_written(terminal, ws):
    options = ("--model", "memory", "--tokens", "1000000", "--ignore-end", "--temperature", "3")
    talk = terminal("--pattern", "{you}{model}", "--name", "tea", options=options)
    talk.wait_for("> ")
    talk.type("The cat sees\n")
    talk.wait_for("e", seconds=30)
    time.sleep(0.5)
    talk.process.send_signal(signal.SIGTERM)
    assert talk.process.wait(timeout=60) == 143
    (turn,) = json.loads((ws / "chats" / "tea.json").read_text("utf-8"))["turns"]
    assert turn["ended_by"] == "interrupt"


def test_no_colour_is_shown_where_none_is_wanted(terminal):
    talk = terminal(NO_COLOR="1")
    talk.wait_for("> ")
    talk.type("The cat sees\n")
    assert "31m" not in talk.wait_for("recited 100%")


def test_a_locale_that_is_not_there_does_not_garble_chinese(terminal):
    talk = terminal(LC_ALL="xx_YY.UTF-8", PYTHONUTF8="1")
    talk.wait_for("> ")
    talk.type("举头\n")
    assert "望明月，低头思故乡。" in talk.wait_for("recited")


@pytest.mark.parametrize(
    ("line", "rows"),
    [("", 1), ("abcd", 1), ("abcde", 2), ("月光", 1), ("a月光", 2), ("月光下", 2), ("abc月", 2)],
)
def test_rows_are_counted_as_a_terminal_wraps_them(line, rows):
    assert rows_of(line, 4) == rows
