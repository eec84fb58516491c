"""Event files for TensorBoard."""

from __future__ import annotations

import pytest

from memlm.train.events import event_files
from memlm.train.loop import Step
from memlm.train.run import resume_run, start_run

pytest.importorskip("tensorboard", reason="needs memlm[tensorboard]")

MADE_FROM = {"documents": "0" * 32, "tokenizer": "char"}


def read(folder):
    """Return the scalars of a training as TensorBoard shows them: name -> [(step, value), ...]."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return {
        name: [(event.step, event.value) for event in events.Scalars(name)]
        for name in events.Tags()["scalars"]
    }


def follow(run, *, until=None):
    """Train on, writing events, and return the steps that were taken."""
    with event_files(run) as record:
        taken = []
        for step in run.steps(should_stop=lambda: run.training.step == until):
            record(step)
            taken.append(step)
    return taken


def test_losses_are_those_of_the_steps(store, small, tmp_path):
    run = start_run(tmp_path / "model", store, small(), made_from=MADE_FROM)
    steps = follow(run)
    found = read(tmp_path / "model")
    expected = [(step.step, pytest.approx(run.per_character(step.loss))) for step in steps]
    assert found["nats_per_character/train"] == expected
    assert found["nats_per_character/held_out"] == [
        (step.step, pytest.approx(step.held_out_loss))
        for step in steps
        if step.held_out_loss is not None
    ]
    assert {"learning_rate", "tokens_per_second"} <= found.keys()


def test_what_was_done_before_the_first_checkpoint_is_shown_once(store, small, tmp_path):
    config = small(checkpoint_every=20)
    with event_files(start_run(tmp_path / "model", store, config, made_from=MADE_FROM)) as record:
        for number in range(1, 9):  # another curve than that which follows
            record(Step(number, 9.0, 0.1, float(number), None))
    run = resume_run(tmp_path / "model", store, config)
    assert run.training.step == 0
    steps = follow(run)
    expected = [(step.step, pytest.approx(run.per_character(step.loss))) for step in steps]
    assert read(tmp_path / "model")["nats_per_character/train"] == expected


def test_what_a_crashed_training_does_again_is_shown_once(store, small, tmp_path):
    config = small(checkpoint_every=5)
    follow(start_run(tmp_path / "model", store, config, made_from=MADE_FROM), until=8)
    run = resume_run(tmp_path / "model", store, config)
    assert run.training.step == 5
    follow(run)
    shown = [step for step, _ in read(tmp_path / "model")["nats_per_character/train"]]
    assert shown == list(range(1, 25))
