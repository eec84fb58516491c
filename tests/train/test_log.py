"""The log of a training, and the curves drawn of it."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest
import torch

from memlm.errors import DivergedError
from memlm.train.log import draw_curves, forget_words, holds_words
from memlm.train.run import resume_run, start_run

SVG = "{http://www.w3.org/2000/svg}"
MADE_FROM = {"documents": "0" * 32, "tokenizer": "char"}


def entries(folder):
    return [json.loads(line) for line in (folder / "steps.jsonl").read_text("utf-8").splitlines()]


def circles(folder):
    drawn = ET.parse(folder / "curves.svg").getroot()
    titles = (one.find(SVG + "title").text for one in drawn.iter(SVG + "circle"))
    return sorted(titles, key=lambda title: int(title.partition(":")[0]))


def validations(folder):
    found = [(one["step"], one["held_out_nats_per_character"]) for one in entries(folder)]
    return [f"{step:,}: {loss:.3f}" for step, loss in found if loss is not None]


def test_curves_show_every_validation_of_the_log(small, train):
    folder, _ = train(small())
    assert circles(folder) == validations(folder) != []


def test_loss_per_character_is_that_per_token_times_tokens_per_character(store, small, train):
    folder, _ = train(small())
    units = store.units_of("train")
    tokens = (units["token_end"] - units["token_start"]).sum()
    per_character = tokens / units["characters"].sum()
    for entry in entries(folder):
        expected = entry["nats_per_token"] * per_character
        assert entry["nats_per_character"] == pytest.approx(expected)


def test_curves_are_drawn_after_a_stop_and_anew_at_the_end(store, small, tmp_path):
    folder = tmp_path / "model"
    run = start_run(folder, store, small(), made_from=MADE_FROM)
    list(run.steps(should_stop=lambda: run.training.step == 9))
    run.finish(stopped_by="SIGTERM")
    stopped = circles(folder)
    assert stopped == validations(folder) != []
    resumed = resume_run(folder, store, small())
    list(resumed.steps())
    resumed.finish()
    assert circles(folder) == validations(folder)
    assert len(circles(folder)) > len(stopped)


def _break_at(run, step):
    if step == 9:
        with torch.no_grad():
            next(run.training.network.parameters()).fill_(float("nan"))


def test_curves_of_a_training_that_diverged_show_how(store, small, tmp_path):
    run = start_run(tmp_path / "model", store, small(), made_from=MADE_FROM)
    steps = (_break_at(run, step.step) for step in run.steps())
    with pytest.raises(DivergedError):
        list(steps)
    assert circles(tmp_path / "model") == validations(tmp_path / "model") != []


def test_a_training_without_a_step_has_no_curves(store, small, tmp_path):
    run = start_run(tmp_path / "model", store, small(), made_from=MADE_FROM)
    list(run.steps(should_stop=lambda: True))
    run.finish(stopped_by="SIGTERM")
    assert not (tmp_path / "model" / "curves.svg").exists()


def test_a_log_of_an_older_memlm_is_drawn(small, train):
    folder, _ = train(small())
    drawn = circles(folder)
    lines = entries(folder)
    for line in lines:
        del line["nats_per_character"]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "steps.jsonl").write_text(text, "utf-8")
    (folder / "curves.svg").unlink()
    draw_curves(folder, per_character=lambda loss: loss)
    assert circles(folder) == drawn


def test_results_that_are_kept_do_not_repeat_the_name_of_the_model(small, train):
    folder, _ = train(small())
    results = json.loads((folder / "run.json").read_text("utf-8"))["results"]
    assert "parameters" in results
    assert not results.keys() & {"model", "curves"}


def test_words_leave_the_log_and_every_number_stays(small, train):
    folder, _ = train(small())
    assert not holds_words(folder)
    before = entries(folder)
    with_words = [entry | {"sample": "once upon a time", "more": ["x"]} for entry in before]
    lines = [json.dumps(entry) for entry in with_words]
    (folder / "steps.jsonl").write_text("\n".join([*lines, '{"step": 9, "samp']), "utf-8")
    assert holds_words(folder)
    forget_words(folder)
    assert entries(folder) == before
    assert not holds_words(folder)
