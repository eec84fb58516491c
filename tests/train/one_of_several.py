"""What one of several processes does in a test: `one_of_several.py JSON`, [[what, given], ...].

A program of its own, since a fork of a test that has threads may hang.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from memlm.errors import InputError, MemlmError
from memlm.prepare import TokenStore
from memlm.train import TrainConfig
from memlm.train.batches import TokenStream
from memlm.train.distributed import Processes, joined_processes
from memlm.train.loop import train_steps
from memlm.train.plan import TrainPlan
from memlm.train.run import TrainingRun, join_run, resume_run, start_run
from memlm.train.training import Training
from memlm.train.validation import HeldOutText

CPU = torch.device("cpu")
TEXT = np.array([1, 2, 3, 4, 5, 6, 7, 8, 9, 10] * 40)
UNITS = np.array([(0, 400, 400, 400, 0)], dtype=np.dtype(
    [(name, "<i8") for name in ("token_start", "token_end", "characters", "bytes", "unknown_bytes")]
))  # fmt: skip


def stream_of(plan: TrainPlan) -> TokenStream:
    size = {"batch_size": plan.batch_size, "sequence_length": plan.sequence_length}
    return TokenStream(TEXT, UNITS, **size, seed=plan.seed)


def held_out_text() -> HeldOutText:
    return HeldOutText(TEXT, UNITS, most_tokens=60, special=(0,), end=0)


def digest(weights: dict[str, torch.Tensor]) -> str:
    found = hashlib.sha256()
    for name, value in sorted(weights.items()):
        found.update(name.encode() + value.numpy().tobytes())
    return found.hexdigest()


def error_of(work: Callable[[], object]) -> dict[str, Any]:
    try:
        work()
    except MemlmError as error:
        return error.to_json() | {"is_told": error.is_told}
    raise AssertionError("nothing was raised")


def pieces(processes: Processes, given: Any) -> dict[str, Any]:
    rank = processes.rank
    mine = processes.lanes(5)
    whole = torch.arange(30.0).reshape(2, 5, 3)
    network = torch.nn.Module()
    for name in ("both", "one", "none"):
        network.register_parameter(name, torch.nn.Parameter(torch.zeros(2)))
    network.both.grad = torch.tensor([1.0, 10.0]) * (rank + 1)
    if rank == 1:
        network.one.grad = torch.tensor([3.0, 4.0])
    loss = processes.sum_gradients(network, torch.tensor(0.25 * (rank + 1)))

    def fail_in(number: int) -> None:
        if rank == number:
            raise InputError("column_missing", path=Path("a.csv"), column="灯", found=["b"])

    return {
        "lanes": [mine.start, mine.stop],
        "agreed": [processes.agree(wish) for wish in (False, rank == 1, rank == 0, True)],
        "gathered": processes.gather({"text": "灯" * rank, "loss": 0.1 + rank, "none": None}),
        "broadcast": processes.broadcast("first" if rank == 0 else "second"),
        "state": processes.gather_lanes(whole[:, mine], 5).equal(whole),
        "empty state": list(processes.gather_lanes(torch.zeros(1, mine.stop - mine.start, 0), 5)
                            .shape),
        "loss": loss.item(),
        "gradients": [
            None if value.grad is None else value.grad.tolist() for value in network.parameters()
        ],
        "error of the second": error_of(lambda: processes.together(lambda: fail_in(1))),
        "error of the first": error_of(lambda: processes.first_does(lambda: fail_in(0))),
        "too many": error_of(lambda: processes.check_lanes(1)),
        "other devices": error_of(lambda: processes.check_devices("cpu" if rank else "meta")),
        "one GPU": error_of(lambda: processes.choose_device("cuda:0")),
        "after all": processes.broadcast(rank),
    }  # fmt: skip


def steps(processes: Processes, given: dict[str, Any]) -> dict[str, Any]:
    """Train by each of the given plans."""
    found = {}
    for name, fields in given.items():
        plan = TrainPlan.from_json(fields, path="given")
        training = Training(plan, device=CPU, processes=processes)
        held_out = held_out_text() if processes.is_first else None
        taken = list(train_steps(training, stream_of(plan), held_out))
        found[name] = {
            "losses": [step.loss for step in taken],
            "held out": [step.held_out_loss for step in taken],
            "weights": digest(training.network.weights()),
            "result": digest(training.result()),
            "best": training.best_step,
            "dropout": hashlib.sha256(training.random.numpy().tobytes()).hexdigest(),
        }
    return found


def decisions(processes: Processes, given: dict[str, Any]) -> dict[str, Any]:
    """End by a wish of one, by a clock of one, by a number that is none in one."""
    plan, timed = (TrainPlan.from_json(given[name], path="given") for name in ("plan", "timed"))
    stopped = Training(plan, device=CPU, processes=processes)
    should_stop = lambda: processes.rank == 1 and stopped.step == 4  # noqa: E731
    list(train_steps(stopped, stream_of(plan), None, should_stop=should_stop))

    clock = iter(np.arange(0, 1e6, 0.02 if processes.is_first else 0.5))
    measured = Training(timed, device=CPU, processes=processes)
    list(train_steps(measured, stream_of(timed), None, now=lambda: float(next(clock))))

    lost = Training(plan, device=CPU, processes=processes)

    def diverge() -> None:
        for step in train_steps(lost, stream_of(plan), None):
            if step.step == 3 and processes.rank == 1:
                lost.carried = tuple(
                    part * math.nan if part.is_floating_point() else part for part in lost.carried
                )

    return {
        "stopped": stopped.step,
        "measured": [measured.plan.steps, measured.step],
        "diverged": error_of(diverge),
        "after": lost.step,
    }


def runs(processes: Processes, given: dict[str, Any]) -> dict[str, Any]:
    """Begin or resume a run in a folder, and end it or be stopped after a step."""
    folder, store = Path(given["folder"]), TokenStore(Path(given["store"]))
    config = TrainConfig(**given["config"])

    def begin() -> TrainingRun | None:
        if not processes.is_first:
            return None
        if given["resumes"]:
            shutil.copytree(given["resumes"], folder)
            return resume_run(folder, store, config, processes=processes)
        made_from = {"documents": "0" * 32, "tokenizer": "char"}
        return start_run(folder, store, config, made_from=made_from, processes=processes)

    first = processes.together(begin)
    begun = processes.broadcast(first and first.begun())
    run = first or join_run(folder, store, config, begun=begun, processes=processes)
    changes, stop = run.machine_changes, given["stop"]
    for _ in run.steps(should_stop=lambda: run.training.step == stop):
        pass
    report = run.finish(stopped_by="SIGTERM" if run.training.step == stop else None)
    return {"steps": report.steps, "report": report.__dict__, "changes": changes}


def disagreement(processes: Processes, given: dict[str, Any]) -> dict[str, Any]:
    """Join a run whose tokens are others here."""
    folder, store = Path(given["folder"]), TokenStore(Path(given["store"]))
    plan = given["plan"]
    begun = {"tokens": "0" * 64, "plan": plan, "step": 0}
    join = lambda: join_run(folder, store, TrainConfig(), begun=begun, processes=processes)  # noqa: E731
    return error_of(join)


def lone_end(processes: Processes, given: Any) -> dict[str, Any]:
    """Wait for one that has ended without a word."""
    if processes.rank == 1:
        sys.stdout.write("[{}]\n")
        sys.stdout.flush()
        os._exit(0)
    return error_of(lambda: [processes.agree(False) for _ in range(1_000)])


def main() -> None:
    torch.set_num_threads(1)
    with joined_processes("cpu") as processes:
        found = [globals()[what](processes, given) for what, given in json.loads(sys.argv[1])]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
