"""What `memlm generate` says about the model that writes, before it writes."""

from __future__ import annotations

import pytest


@pytest.fixture
def two(memlm, trained, fast):
    """Return a workspace with the models lstm-1 and mine."""
    assert memlm("train", trained, *fast, "--name", "mine").code == 0
    return trained


def test_the_newest_of_several_models_says_that_it_writes(memlm, two):
    said = memlm("generate", two, "the", "--tokens", "2")
    assert "mine writes, the newest of 2 models" in said.err
    assert "mine" not in said.out


def test_nobody_is_told_what_is_known(memlm, two, trained_once):
    named = memlm("generate", two, "the", "--tokens", "2", "--model", "lstm-1").err
    as_json = memlm("generate", two, "the", "--tokens", "2", "--json").err
    alone = memlm("generate", trained_once, "the", "--tokens", "2").err
    assert [said for said in (named, as_json, alone) if "newest" in said] == []


def test_before_an_unasked_training_it_is_said_how_to_do_without(memlm, collected, fast):
    said = memlm("generate", collected, "the", "--tokens", "2", *fast).err.splitlines()[0]
    assert all(words in said for words in ("3 minutes", "--model memory", "Ctrl-C"))


def test_only_a_figure_says_that_documents_have_changed_since(memlm, trained, sample):
    more = sample.with_name("more.txt")
    more.write_text("the river likes a dog.\n", encoding="utf-8")
    assert memlm("collect", trained, more).code == 0
    changed = "have changed since lstm-1 was trained"
    assert changed in memlm("score", trained, sample).err
    assert changed not in memlm("generate", trained, "the", "--tokens", "2").err
