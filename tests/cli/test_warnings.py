"""What is said when a command can do what it was asked, but the result means less than it seems."""

from __future__ import annotations

import pytest


def write_rows(path, *rows):
    path.write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    return path


def test_texts_of_the_test_that_were_collected_are_counted(memlm, trained, corpus, tmp_path):
    learned = (corpus / "reviews.csv").read_text("utf-8").splitlines()[1:4]
    table = write_rows(tmp_path / "test.csv", *learned, "the cat was never seen before,en")
    done = memlm("evaluate", trained, table, "--json")
    assert done.code == 0
    # One of the three was held out: the model did not learn from it.
    assert "2 of 4 texts are documents that this model learned from" in done.err


def test_test_that_was_never_collected_is_no_cause_for_a_word(memlm, trained, tmp_path):
    table = write_rows(tmp_path / "test.csv", "the cat was never seen before,en")
    assert "word for word" not in memlm("evaluate", trained, table, "--json").err


def test_text_that_was_collected_is_no_test_of_a_score(memlm, trained, corpus, sample):
    said = "1 of 1 texts are documents that this model learned from"
    assert said in memlm("score", trained, corpus / "notes.txt", "--json").err
    assert said not in memlm("score", trained, sample, "--json").err


def test_label_that_the_model_never_saw_counts_as_wrong_and_is_said(memlm, trained, tmp_path):
    table = write_rows(tmp_path / "test.csv", "the cat,en", "the cat,nan", "the cat,3.5")
    done = memlm("evaluate", trained, table, "--json")
    assert done.code == 0
    assert "2 texts carry a label that the model never saw" in done.err
    assert done.json["accuracy"]["n"] == 3


def test_rows_without_a_label_are_left_out_of_the_test_and_counted(memlm, trained, tmp_path):
    table = write_rows(tmp_path / "test.csv", "the cat,en", "the cat,", "short")
    done = memlm("evaluate", trained, table, "--json")
    assert "1 text has no label" in done.err
    assert "Line 4 was left out" in done.err
    assert done.json["accuracy"]["n"] == 1


@pytest.mark.parametrize("tokenizer", ["char", "byte", "bpe", "word", "whitespace"])
def test_text_of_one_symbol_goes_the_whole_way(memlm, tmp_path, fast, tokenizer):
    (tmp_path / "a.txt").write_text("a" * 3000, encoding="utf-8")
    ws = tmp_path / "ws"
    assert memlm("train", ws, tmp_path / "a.txt", "--tokenizer", tokenizer, *fast).code == 0
    found = memlm("generate", ws, "--tokens", "5", "--seed", "1", "--json")
    assert found.code == 0
    assert found.json["tokens"] >= 1
