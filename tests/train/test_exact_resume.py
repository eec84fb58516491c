"""From every step, of every kind of training, it goes on to the very same bytes.

A training is watched from outside: after each step its folder is copied, which is what a crash at
that moment would leave. From each copy it is then resumed.
"""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import torch

from memlm.models.config import NETWORKS
from memlm.train.run import resume_run, start_run

MADE_FROM = {"documents": "0" * 32, "tokenizer": "char"}
OUTCOME = ("model.safetensors", "config.json", "steps.jsonl", "tokenizer.json")
STEPS = 14

KINDS = {
    "plain": {},
    "muon": {"optimizer": "muon"},
    "averaged weights": {"average_weights": 0.3},
    "groups of lanes": {"accumulate": 3},
    "cosine": {"schedule": "cosine"},
    "linear": {"schedule": "linear", "optimizer": "muon"},
    "phases": {
        "phases": "0.3:2x16,0.3:4x16,0.4:4x32",
        "batch_size": None,
        "sequence_length": None,
    },
    "patience": {"patience": 2, "learning_rate": 2.0},
    "two layers": {"layers": 2},
    "bf16": {"precision": "bf16"},
    "all together": {
        "optimizer": "muon",
        "average_weights": 0.2,
        "accumulate": 2,
        "schedule": "cosine",
        "phases": "0.5:3x16,0.5:5x24",
        "batch_size": None,
        "sequence_length": None,
        "patience": 5,
    },
}


@dataclass(frozen=True)
class Watched:
    """What a training came to, and its folder as it was after each step."""

    outcome: dict[str, bytes]
    copies: list[Path]
    best_step: int


def _outcome(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in OUTCOME}


def _finish(run) -> int:
    for _ in run.steps():
        pass
    return run.finish().best_step


@pytest.fixture(scope="session")
def watched(store, small, tmp_path_factory):
    """Return what gives a training of a network and of a kind, watched."""

    @cache
    def watch(network: str, kind: str) -> Watched:
        home = tmp_path_factory.mktemp("watched")
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        config = small(network=network, steps=STEPS, checkpoint_every=1, **KINDS[kind])
        run = start_run(home / "model", store, config, made_from=MADE_FROM)
        copies = []
        for step in run.steps():
            copies.append(Path(shutil.copytree(home / "model", home / f"copy-{step.step}")))
        best_step = run.finish().best_step
        torch.set_num_threads(threads)
        return Watched(_outcome(home / "model"), copies, best_step)

    return watch


EVERY_STEP = range(1, STEPS + 1)
CASES = [
    *[(network, kind, EVERY_STEP) for network in NETWORKS for kind in ("plain", "all together")],
    *[(network, "bf16", (1, 6, 13)) for network in ("gru", "transformer", "mixed")],
    *[("lstm", kind, (1, 6, 13)) for kind in KINDS if kind not in ("plain", "all together")],
]


@pytest.mark.parametrize(
    ("network", "kind", "steps"), CASES, ids=[f"{network}, {kind}" for network, kind, _ in CASES]
)
def test_a_training_goes_on_to_the_same_bytes_from_every_step(
    store, small, watched, tmp_path, network, kind, steps
):
    whole = watched(network, kind)
    config = small(network=network, steps=STEPS, checkpoint_every=1, **KINDS[kind])
    for number, copy in enumerate(whole.copies, start=1):
        if number not in steps:
            continue
        folder = Path(shutil.copytree(copy, tmp_path / f"{number}" / "model"))
        run = resume_run(folder, store, config, strict=True)
        # The last step of all writes no checkpoint: there the model comes.
        assert run.training.step == min(number, len(whole.copies) - (number == STEPS))
        assert _finish(run) == whole.best_step
        assert _outcome(folder) == whole.outcome, number


def test_the_kinds_are_kinds_of_their_own(watched):
    models = {kind: watched("lstm", kind).outcome["model.safetensors"] for kind in KINDS}
    assert len(set(models.values())) == len(KINDS)


def test_the_impatient_training_above_ends_early(watched):
    assert len(watched("lstm", "patience").copies) < STEPS


def test_the_phases_above_begin_anew_within_the_training(store, small, tmp_path):
    config = small(steps=STEPS, **KINDS["phases"])
    run = start_run(tmp_path / "any", store, config, made_from=MADE_FROM)
    assert [phase.steps for phase in run.plan.phases] == [4, 4, 6]


def test_crash_upon_crash_leads_to_the_same_bytes(store, small, watched, tmp_path):
    whole = watched("lstm", "all together")
    config = small(network="lstm", steps=STEPS, checkpoint_every=1, **KINDS["all together"])
    folder = Path(shutil.copytree(whole.copies[2], tmp_path / "model"))
    for until in (5, 6, 11):
        run = resume_run(folder, store, config, strict=True)
        for step in run.steps():
            if step.step == until:
                break
    _finish(resume_run(folder, store, config, strict=True))
    assert _outcome(folder) == whole.outcome


def test_a_training_by_the_clock_goes_on_from_where_its_steps_were_fixed(
    store, small, tmp_path, monkeypatch
):
    """Whoever crashes a moment after the clock has decided has the same number of steps."""
    monkeypatch.setattr("memlm.train.clock._WRONG_SPEED", math.inf)  # on a busy machine as well
    config = small(steps=None, minutes=0.01)
    run = start_run(tmp_path / "model", store, config, made_from=MADE_FROM)
    copies = []
    for step in run.steps():
        if run.plan.steps is not None and len(copies) < 3:
            copies.append(Path(shutil.copytree(tmp_path / "model", tmp_path / f"{step.step}")))
    run.finish()
    assert len(copies) == 3
    for copy in copies:
        resumed = resume_run(copy, store, config, strict=True)
        assert resumed.plan == run.plan
        assert resumed.training.step > 0
        _finish(resumed)
        assert _outcome(copy) == _outcome(tmp_path / "model")
