"""`evaluate_task`: what a model says of a file is compared with what stands in it."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest

import memlm
from memlm import CollectConfig, Listener, PrepareConfig
from memlm.errors import ConfigError, InputError, MissingExtraError, NotFoundError
from memlm.train import TrainConfig
from memlm.workflow import measuring
from memlm.workflow.answering import Answerer

TINY = TrainConfig(steps=6, hidden_width=8, embedding_width=8, threads=1, device="cpu")
NUMBERS = {"one": "eins", "two": "zwei", "three": "drei", "four": "vier", "five": "fünf"}
THINGS = {"dog": "Hund", "cat": "Katze", "tree": "Baum", "house": "Haus", "book": "Buch"}
PAIRS = [
    (f"I see {one} {two}.", f"Ich sehe {eins} {zwei}.")
    for one, eins in NUMBERS.items()
    for two, zwei in THINGS.items()
]
LONG = (
    "Nobody knew why the lamp in the old lighthouse went out that night, nor who had been the last "
    "to climb its ninety-nine steps before the storm came in from the west."
)
PAIRS.append(("Why did the lamp go out?", LONG))
NEW = [("You see a dog.", "Du siehst einen Hund."), ("I see four books.", "Ich sehe vier Bücher.")]
REVIEWS = [
    (f"{'good' if number % 3 else 'bad'} film number {number}", "yes" if number % 3 else "no")
    for number in range(40)
]


class Heard(Listener):
    def __init__(self):
        self.notes, self.done = {}, []

    def note(self, code, **values):
        self.notes.setdefault(code, []).append(values)

    def progress(self, stage, done, total):
        self.done.append((stage, done, total))


def write_table(path: Path, header, rows) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture(scope="session")
def learned(tmp_path_factory):
    """Return what makes a model of a task, once."""
    pytest.importorskip("sacrebleu")
    pytest.importorskip("sklearn")
    made = {}

    def make(task):
        if task not in made:
            folder = tmp_path_factory.mktemp(str(task))
            rows = REVIEWS if task in ("classify", None) else PAIRS
            names = ("text", "label") if task in ("classify", None) else ("asked", "wanted")
            columns = {"source_column": names[0], "target_column": names[1]} if task else {}
            memlm.train_model(
                folder / "ws",
                write_table(folder / "train.csv", names, rows),
                collect=CollectConfig(task=task, **columns),
                prepare=PrepareConfig(tokenizer="char"),
                config=TINY,
            )
            made[task] = memlm.load_model(folder / "ws", device="cpu")
        return made[task]

    return make


@pytest.fixture
def table(tmp_path):
    """Return what writes a table of sources and targets."""

    def write(rows, header=("asked", "wanted")):
        return write_table(tmp_path / "test.csv", header, rows)

    return write


TASKS = {
    "translate": ({"bleu", "chrf"}, {"copy", "nearest"}),
    "summarise": ({"rouge_1", "rouge_2", "rouge_l", "chrf"}, {"lead"}),
    "reply": (
        {"perplexity", "nats_per_character", "distinct_1", "distinct_2", "recited_share"},
        {"unigram", "true"},
    ),
}


@pytest.mark.parametrize("task", TASKS)
def test_a_task_has_its_findings_and_baselines(learned, table, task):
    found = memlm.evaluate_task(learned(task), table(NEW))
    names, baselines = TASKS[task]
    assert (found.task, set(found), set(found.baselines)) == (task, names, baselines)
    for name, one in found.items():
        assert one.n == 2
        assert one.low <= one.high
        assert one.baseline in [values.get(name) for values in found.baselines.values()]


def test_labels_have_their_findings_and_baselines(learned, table):
    file = table([("good", "yes"), ("bad", "no"), ("good film", "yes")], ("text", "label"))
    found = memlm.evaluate_task(learned("classify"), file)
    assert set(found) == {"accuracy", "macro_f1", "calibration_error", "log_loss"}
    assert set(found.baselines) == {"majority", "naive_bayes", "logistic_regression"}
    assert found.baselines["majority"]["accuracy"] == pytest.approx(2 / 3)
    assert found.baselines["naive_bayes"]["accuracy"] == 1.0
    assert found["accuracy"].baseline == 1.0
    best = min(values["log_loss"] for values in found.baselines.values())
    assert found["log_loss"].baseline == best


def test_labels_without_a_task_are_told_as_before(learned, table):
    file = table([("good", "yes"), ("bad", "no")], ("text", "label"))
    found = memlm.evaluate_task(learned(None), file)
    assert (found.task, set(found)) == (None, {"accuracy", "macro_f1"})
    assert found["accuracy"].n == 2
    assert found.baselines == {"majority": {name: one.baseline for name, one in found.items()}}


def test_the_same_figures_come_again(learned, table):
    one, two = (dict(memlm.evaluate_task(learned("reply"), table(NEW))) for _ in range(2))
    assert one == two


def test_copying_what_is_wanted_is_a_perfect_baseline(learned, table):
    sentence = "I see no reason to go home."
    found = memlm.evaluate_task(learned("translate"), table([(sentence, sentence)]))
    assert found.baselines["copy"]["bleu"] == pytest.approx(100)
    assert found["bleu"].baseline == pytest.approx(100)


def test_what_the_nearest_example_wants_is_a_baseline(learned, table):
    found = memlm.evaluate_task(learned("translate"), table([PAIRS[7]]))
    assert found.baselines["nearest"]["chrf"] == pytest.approx(100)


def test_sacrebleu_signs_for_its_figures(learned, table):
    assert "tok:13a" in memlm.evaluate_task(learned("translate"), table(NEW)).signatures["bleu"]
    assert set(memlm.evaluate_task(learned("summarise"), table(NEW)).signatures) == {"chrf"}


def test_a_reply_costs_what_is_read_of_it(learned, table):
    model, (source, target) = learned("reply"), NEW[0]
    answerer = Answerer(model, memories=())
    with answerer.ready():
        found = measuring.reply_losses(model, answerer)(source, target)
        asked = answerer.question(source)
    ids = model.tokenizer.encode(target).ids.astype(np.int64)
    stream = np.concatenate([[model.tokenizer.end], asked, ids])
    said, _ = answerer.predictor.read(answerer.predictor.start(1), stream[None, :-1])
    places = np.arange(len(asked), len(stream) - 1)
    plain = -said[0, places, ids].sum()
    charge = sum(
        len(one.encode()) * 8 * math.log(2)
        for one in target
        if model.tokenizer.unknown in model.tokenizer.encode(one).ids
    )
    assert found.nats == pytest.approx(plain + charge, rel=1e-4)
    assert (found.tokens, found.characters) == (len(ids), len(target))


def test_examples_of_training_and_of_holding_out_are_apart(learned):
    model = learned("classify")
    trained, held_out = (
        set(of(model)) for of in (measuring.learned_pairs, measuring.held_out_pairs)
    )
    assert trained
    assert not trained & held_out
    assert trained | held_out == set(REVIEWS)


def test_a_recited_reply_is_counted(learned):
    found = measuring._recited(learned("reply"), [LONG, "Zzyzx qqq!"])
    assert found.value == pytest.approx(len(LONG) / (len(LONG) + 10))


# -- the file -----------------------------------------------------------------------------------


def test_columns_may_be_called_otherwise_than_in_training(learned, table):
    found = memlm.evaluate_task(learned("translate"), table(NEW, ("source", "target")))
    assert found["bleu"].n == 2


def test_columns_can_be_named(learned, table):
    rows = [(target, "?", source) for source, target in NEW]
    config = CollectConfig(source_column="en", target_column="de")
    file = table(rows, ("de", "other", "en"))
    assert memlm.evaluate_task(learned("translate"), file, config=config)["bleu"].n == 2


def test_label_column_names_the_targets_too(learned, table):
    file = table([("1", "good", "yes")], ("row", "words", "mood"))
    config = CollectConfig(text_column="words", label_column="mood")
    found = memlm.evaluate_task(learned("classify"), file, config=config)
    assert found["accuracy"].n == 1


def test_rows_that_are_no_examples_are_left_out_and_said(learned, table):
    rows = [*NEW, ("x", ""), *[("", "y")] * 11]
    heard = Heard()
    found = memlm.evaluate_task(learned("translate"), table(rows), listener=heard)
    assert found["bleu"].n == 2
    assert len(heard.notes["row_left_out"]) == 10
    assert heard.notes["rows_left_out"] == [{"count": 2}]


def test_only_the_first_rows_are_taken(learned, table):
    heard = Heard()
    found = memlm.evaluate_task(
        learned("translate"), table([*NEW, ("", "")]), limit=1, listener=heard
    )
    assert found["bleu"].n == 1
    assert heard.done[-1] == ("answer", 1, 1)
    assert "row_left_out" not in heard.notes


def test_answers_are_written_with_their_nearest_examples(learned, table, tmp_path):
    file = tmp_path / "deep" / "answers.jsonl"
    found = memlm.evaluate_task(learned("translate"), table(NEW), answers=file)
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert found.answers == str(file)
    assert [(row["source"], row["target"]) for row in rows] == NEW
    assert set(rows[1]) == {"source", "target", "answer", "probabilities", "nearest"}
    assert rows[1]["nearest"][0]["asked"].startswith("I see four ")


def test_answers_of_labels_are_written_too(learned, table, tmp_path):
    file = tmp_path / "answers.jsonl"
    memlm.evaluate_task(learned(None), table([("good", "yes")], ("text", "label")), answers=file)
    row = json.loads(file.read_text("utf-8"))
    assert (row["source"], row["target"]) == ("good", "yes")
    assert row["answer"] in row["probabilities"]


def test_a_label_that_training_never_had_is_wrong_and_said(learned, table):
    heard = Heard()
    rows = [("good", "yes"), ("so so", "perhaps")]
    found = memlm.evaluate_task(learned("classify"), table(rows, ("text", "label")), listener=heard)
    assert heard.notes["labels_never_seen"] == [{"count": 1}]
    assert found["accuracy"].value <= 0.5
    assert found["log_loss"].value > -math.log(1e-9) / 2


def test_texts_that_were_learned_are_said(learned, table):
    heard, model = Heard(), learned("translate")
    pairs = list(measuring.learned_pairs(model))[:2]
    memlm.evaluate_task(model, table([*pairs, NEW[0]]), workspace=model.workspace, listener=heard)
    assert heard.notes["learned_texts"] == [{"count": 2, "n": 3}]


@pytest.mark.parametrize(
    ("rows", "header", "code"),
    [
        pytest.param([("", "y")], ("asked", "wanted"), "file_without_examples", id="no example"),
        pytest.param([("a", "b", "c")], ("x", "y", "z"), "task_column_unknown", id="no column"),
    ],
)
def test_a_file_without_examples_is_refused(learned, table, rows, header, code):
    with pytest.raises(InputError) as caught:
        memlm.evaluate_task(learned("translate"), table(rows, header))
    assert caught.value.code == code


def test_a_column_that_was_named_must_be_there(learned, table):
    config = CollectConfig(target_column="german")
    with pytest.raises(InputError) as caught:
        memlm.evaluate_task(learned("translate"), table(NEW), config=config)
    assert caught.value.code == "column_missing"


def test_plain_text_has_no_targets(learned, tmp_path):
    file = tmp_path / "test.txt"
    file.write_text("I see.\n", "utf-8")
    with pytest.raises(InputError) as caught:
        memlm.evaluate_task(learned("translate"), file)
    assert caught.value.code == "file_no_table"


def test_labels_of_which_none_was_learned_are_refused(learned, table):
    with pytest.raises(InputError) as caught:
        memlm.evaluate_task(learned("classify"), table([("good", "9")], ("text", "label")))
    assert caught.value.code == "labels_all_unknown"


def test_another_task_than_the_models_is_refused(learned, table):
    with pytest.raises(ConfigError) as caught:
        memlm.evaluate_task(learned("translate"), table(NEW), config=CollectConfig(task="reply"))
    assert caught.value.code == "task_of_model"


def test_no_rows_are_too_few(learned, table):
    with pytest.raises(ConfigError):
        memlm.evaluate_task(learned("translate"), table(NEW), limit=0)


def test_a_file_that_is_not_there_is_said(learned):
    with pytest.raises(NotFoundError):
        memlm.evaluate_task(learned("translate"), "nowhere.csv")


@pytest.mark.parametrize(("task", "package"), [("translate", "sacrebleu"), ("classify", "sklearn")])
def test_what_measures_is_asked_for_before_anything_is_answered(
    learned, table, monkeypatch, task, package
):
    model, heard = learned(task), Heard()
    monkeypatch.setattr("memlm.runtime.is_installed", lambda name: name != package)
    header = ("text", "label") if task == "classify" else ("asked", "wanted")
    rows = [("good", "yes")] if task == "classify" else NEW
    with pytest.raises(MissingExtraError):
        memlm.evaluate_task(model, table(rows, header), listener=heard)
    assert heard.done == []
