"""`memlm evaluate` of a model that learned a task: a plain table, or one JSON object."""

from __future__ import annotations

import csv

import pytest

ROWS = [(f"{word} day {number}", "yes" if word == "good" else "no")
        for number in range(12) for word in ("good", "bad")]  # fmt: skip
FINDING = {"value", "low", "high", "n", "baseline", "unit"}


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Return a folder with a workspace `ws` that learned to classify, and `test.csv`."""
    pytest.importorskip("sklearn")
    from memlm.collect import CollectConfig
    from memlm.prepare import PrepareConfig
    from memlm.train import TrainConfig
    from memlm.workflow import train_model

    path = tmp_path_factory.mktemp("tasks")
    for name, rows in (("train", ROWS), ("test", [*ROWS[:3], ("so so", "perhaps")])):
        with (path / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *rows])
    train_model(
        path / "ws",
        path / "train.csv",
        collect=CollectConfig(task="classify"),
        prepare=PrepareConfig(tokenizer="char"),
        config=TrainConfig(steps=4, hidden_width=8, embedding_width=8, threads=1, device="cpu"),
    )
    return path


def test_a_task_is_shown_as_a_table(memlm, folder, tmp_path):
    answers = tmp_path / "answers.jsonl"
    done = memlm("evaluate", folder / "ws", folder / "test.csv", "--answers", answers)
    assert done.code == 0, done.err
    first, titles, *rows = done.out.splitlines()
    assert first == "transformer-1 (classify), 4 rows:"
    assert titles.split()[:2] == ["Measure", "Value"]
    assert titles.split()[-2:] == ["Bayes", "Logistic"]
    assert [row.split("  ")[0] for row in rows[:4]] == [
        "accuracy", "macro F1", "calibration error ↓", "log loss, nats ↓",
    ]  # fmt: skip
    assert "1 text carries a label that the model never saw" in done.err
    assert len(answers.read_text("utf-8").splitlines()) == 4


def test_a_task_has_its_keys_in_json(memlm, folder):
    found = memlm("evaluate", folder / "ws", folder / "test.csv", "--limit", 2, "--json").json
    assert set(found["accuracy"]) == FINDING
    assert found["accuracy"]["n"] == 2
    assert set(found["baselines"]) == {"majority", "naive_bayes", "logistic_regression"}
    assert (found["task"], found["model"], found["answers"]) == ("classify", "transformer-1", None)


def test_the_table_is_chinese_too(memlm, folder):
    done = memlm("evaluate", folder / "ws", folder / "test.csv", "--language", "zh")
    assert "准确率" in done.out
    assert "朴素贝叶斯" in done.out


def test_no_place_for_answers_is_said_before_anything_is_answered(memlm, folder):
    done = memlm("evaluate", folder / "ws", folder / "test.csv", "--answers", folder, "--json")
    assert (done.code, done.error["code"]) == (2, "place_taken")
    assert "Answering" not in done.err
