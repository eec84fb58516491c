"""What a person sees of a training while it runs."""

from __future__ import annotations

import re

import pytest

from memlm.cli.console import err, size


@pytest.fixture
def terminal(monkeypatch):
    """Let memlm take what captures its messages for a narrow terminal."""
    monkeypatch.setattr(err, "is_interactive", True)
    monkeypatch.setattr(err, "_force_terminal", True)
    monkeypatch.setattr(err, "_color_system", None)
    monkeypatch.setattr(err, "_width", 80)


def lines_of(found, words):
    return [line for line in found.err.splitlines() if words in line]


def test_losses_come_per_character_with_speed_and_memory(memlm, trained, fast):
    found = memlm("train", trained, *fast, "--language", "en")
    (last,) = lines_of(found, "Training 8/8")
    assert re.search(
        r"loss \d\.\d{3}, held-out sample \d\.\d{3} nats/character  [\d,]+ tokens/s  "
        r"memory [\d,.]+ [MG]B$",
        last,
    )


def test_time_that_is_left_is_said_until_the_end(memlm, trained, fast):
    found = memlm("train", trained, *fast, "--language", "en")
    *before, last = lines_of(found, "Training ")[1:]
    assert before
    assert all(re.search(r"\d:\d\d left$", line) for line in before)
    assert "left" not in last


def test_progress_is_spoken_of_in_chinese(memlm, trained, fast):
    found = memlm("train", trained, *fast, "--language", "zh")
    assert re.search(
        r"损失 \d\.\d{3}，留出样本 \d\.\d{3} 纳特/字符 .*内存 [\d,.]+ [MG]B", found.err
    )


def test_samples_are_shown_on_one_line_each(memlm, trained, fast):
    found = memlm("train", trained, *fast, "--language", "en")
    samples = lines_of(found, "It writes: “")
    assert len(samples) == 7  # one a step of so few, but for the last
    assert all(line.endswith("”") and len(line) <= 220 for line in samples)


def test_samples_are_shown_where_nothing_is_held_out(memlm, trained, fast):
    options = ("--fresh", "--held-out-share", "0")
    assert memlm("prepare", trained, *options).code == 0
    found = memlm("train", trained, *fast, "--language", "en")
    assert lines_of(found, "It writes: “")
    assert all(" nats/character" in line for line in lines_of(found, "/8  loss"))
    assert "held-out sample" not in found.err


@pytest.mark.usefixtures("terminal")
def test_nothing_is_cut_off_on_a_narrow_terminal(memlm, trained, fast):
    found = memlm("train", trained, *fast, "--language", "en")
    shown = " ".join(found.err.split())
    assert re.search(r"nats/character [\d,]+ tokens/s memory [\d,.]+ [MG]B", shown)
    assert "It writes: “" in shown
    assert "…" not in found.err


@pytest.mark.parametrize(
    ("size_bytes", "said"),
    [(0, "0.0 MB"), (1_500_000, "1.5 MB"), (999_000_000, "999.0 MB"), (2_340_000_000, "2.3 GB")],
)
def test_size_is_for_people(size_bytes, said):
    assert size(size_bytes) == said
