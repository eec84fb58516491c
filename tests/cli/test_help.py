"""What `--help` shows first, and what it leaves out."""

from __future__ import annotations

import pytest


def headings(memlm, command: str, language: str = "en") -> list[tuple[str, list[str]]]:
    """Return the headings of a command's help, in order, each with its options."""
    found: list[tuple[str, list[str]]] = []
    for line in memlm(command, "--help", "--language", language).out.splitlines():
        if line.startswith("--") and "  " in line and found:
            found[-1][1].append(line.split()[0])
        elif line and not line.startswith((" ", "-")):
            found.append((line, []))
    return [(name, options) for name, options in found if options and options != ["--help,"]]


@pytest.mark.parametrize("command", ["generate", "chat"])
def test_options_of_every_day_come_first(memlm, command):
    first, *_ = headings(memlm, command)
    assert first[0] == "Options"
    assert {"--tokens", "--temperature", "--seed", "--stop"} <= set(first[1])
    assert len(first[1]) < 10


def test_options_stand_under_the_heading_where_they_belong(memlm):
    found = dict(headings(memlm, "generate"))
    assert found["Model and memory"][:3] == ["--model", "--memory", "--no-memory"]
    assert {"--top-k", "--beams", "--read-ahead"} <= set(found["Decoding"])
    assert {"--network", "--minutes"} <= set(found["Training, where there is no model yet"])
    shown = [option for options in found.values() for option in options]
    assert len(shown) == len(set(shown))


def test_a_conversation_is_not_offered_what_it_refuses(memlm):
    shown = {option for _, options in headings(memlm, "chat") for option in options}
    assert {"--tokens", "--top-p", "--model"} <= shown
    assert shown.isdisjoint({"--samples", "--beams", "--length-penalty", "--read-ahead"})


def test_what_training_is_asked_for_is_not_told_apart_in_train(memlm):
    assert [name for name, _ in headings(memlm, "train")] == ["Options", "Output and messages"]


def test_headings_are_chinese_too(memlm):
    assert [name for name, _ in headings(memlm, "chat", "zh")] == [
        "选项", "模型与记忆", "解码", "输出与提示",
    ]  # fmt: skip
