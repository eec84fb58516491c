"""`memlm lookup`: the table, the JSON, standard input, and mistakes."""

from __future__ import annotations

import json

import pytest

KEYS = {"text", "tokenizer", "context", "count", "continuations"}
CONTINUATION = {"text", "probability", "context", "count", "sources"}
SOURCE = {"document_id", "source", "start", "end"}


@pytest.fixture
def known(memlm, tmp_path, monkeypatch):
    """Return a workspace of two documents, and a terminal that is wide enough."""
    monkeypatch.setattr("memlm.cli.console.out._width", 120)
    (tmp_path / "cat.txt").write_text("The cat sees the moon.\nthe cat sleeps.\n" * 3, "utf-8")
    (tmp_path / "月.txt").write_text("举头望明月，低头思故乡。\n" * 3, "utf-8")
    assert memlm("collect", tmp_path / "ws", tmp_path / "cat.txt", tmp_path / "月.txt").code == 0
    prepare = ("prepare", tmp_path / "ws", "--tokenizer", "char", "--held-out-share", "0")
    assert memlm(*prepare).code == 0
    return tmp_path / "ws"


def test_json_has_its_keys(memlm, known, tmp_path):
    found = memlm("lookup", known, "the cat", "--json").json
    assert found.keys() >= KEYS
    assert (found["text"], found["context"], found["count"]) == ("the cat", "the cat", 3)
    assert (found["tokenizer"], len(found["continuations"])) == ("char", 10)
    first = found["continuations"][0]
    assert first.keys() >= CONTINUATION
    assert (first["text"], first["context"], first["count"]) == (" ", "the cat", 3)
    source = first["sources"][0]
    assert source.keys() >= SOURCE
    text = (tmp_path / source["source"]).read_text("utf-8")
    assert text[source["start"] : source["end"]] == "the cat "


def test_table_shows_white_space_the_context_and_the_first_place(memlm, known):
    done = memlm("lookup", known, "the cat", "--limit", "2")
    assert done.code == 0, done.err
    assert "What follows “the cat”, which occurs 3 times:" in done.out
    (line,) = [line for line in done.out.splitlines() if line.startswith("[␣]sleeps.⏎")]
    assert "“the cat”" in line
    assert "cat.txt, 23–31" in line
    assert "%" in line
    assert "All others together: " in done.out


def test_chinese_table_says_it_in_chinese(memlm, known):
    done = memlm("lookup", known, "他望明", "--limit", "1", "--language", "zh", "--json")
    assert done.json["context"] == "望明"
    done = memlm("lookup", known, "望明", "--limit", "1", "--language", "zh")
    assert "“望明” 之后的接续（出现 3 次）" in done.out
    assert "[月]，低头思故乡" in done.out
    assert "月.txt，2–5" in done.out


def test_bytes_show_the_character_that_they_begin(memlm, known):
    memlm("prepare", known, "--tokenizer", "byte")
    done = memlm("lookup", known, "望明", "--limit", "1", "--language", "zh")
    assert "[“月”的一部分]，低头思" in done.out
    assert "[part of 月]，低头思" in memlm("lookup", known, "望明", "--limit", "1").out


def test_end_of_a_text_that_occurs_is_named(memlm, known):
    done = memlm("lookup", known, "the moon the cat")
    assert "The text does not occur as a whole. Its end “the cat” does, 3 times" in done.out


def test_text_comes_from_standard_input(memlm, known, say):
    say("the cat\n")
    assert memlm("lookup", known, "--json").json["text"] == "the cat"
    say("望明")
    assert memlm("lookup", known, "-", "--json").json["context"] == "望明"


def test_nothing_asks_how_documents_begin(memlm, known):
    done = memlm("lookup", known, "")
    assert "How documents begin, of which the memory has 2:" in done.out
    assert "[T]he cat sees" in done.out
    assert "(the beginning)" in done.out
    assert "(anywhere)" in done.out
    zh = memlm("lookup", known, "", "--language", "zh").out
    assert "文档如何开头（记忆中共 2 篇）" in zh


def test_end_of_a_document_is_said(memlm, known):
    text = "低头思故乡。\n举头望明月，低头思故乡。\n"
    assert "(end of the document)" in memlm("lookup", known, text).out


def test_unknown_symbols_are_told(memlm, known):
    done = memlm("lookup", known, "ß the cat", "--json")
    assert "“ß”" in done.err
    assert done.json["context"].endswith("the cat")
    done = memlm("lookup", known, "the ß", "--json")
    assert (done.code, done.error["code"]) == (2, "lookup_unknown")


def test_it_prepares_what_was_only_collected(memlm, collected):
    assert memlm("lookup", collected, "the", "--json").json["count"] > 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        pytest.param(["a", "--limit", "0"], "value_too_small", id="limit"),
        pytest.param(["a", "b"], "words_left_over", id="two texts"),
        pytest.param(["a", "--tokens", "3"], "option_unknown", id="option"),
    ],
)
def test_mistake_of_the_user_is_named(memlm, known, words, code):
    found = memlm("lookup", known, *words, "--json")
    assert (found.code, found.error["code"]) == (2, code)


def test_workspace_without_documents_is_named(memlm, tmp_path):
    found = memlm("lookup", tmp_path / "nowhere", "a", "--json")
    assert found.code == 2
    assert set(json.loads(found.out)["error"]) == {"code", "message", "hint"}
