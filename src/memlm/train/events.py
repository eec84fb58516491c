"""Event files for TensorBoard, for whoever wants to watch many trainings side by side.

They lie in models/<name>/tensorboard/ and need the extra `tensorboard`; see them with
`tensorboard --logdir WORKSPACE/models`. They hold numbers only. Unlike `steps.jsonl` they know the
clock: speed and memory are in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from memlm.runtime import peak_gpu_bytes, peak_memory_bytes
from memlm.storage import machine_errors
from memlm.train.log import is_logged
from memlm.train.loop import Step
from memlm.train.run import TrainingRun

EVENTS = "tensorboard"
_SECONDS_BETWEEN_FLUSHES = 10


@contextmanager
def event_files(run: TrainingRun) -> Iterator[Callable[[Step], None]]:
    """Hand out what writes a step; of what a resumed training does again, TensorBoard forgets."""
    from torch.utils.tensorboard import SummaryWriter

    folder, done = run.folder / EVENTS, run.training.step
    has_curves = folder.exists()  # of steps that may be done again, the first among them
    with machine_errors(folder):
        writer = SummaryWriter(
            str(folder),
            purge_step=done + 1 if has_curves else None,
            flush_secs=_SECONDS_BETWEEN_FLUSHES,
        )

    def write(step: Step) -> None:
        if is_logged(step, run.plan):
            with machine_errors(folder):
                for name, value in _scalars(run, step).items():
                    writer.add_scalar(name, value, step.step)

    try:
        yield write
    finally:
        with machine_errors(folder):
            writer.close()


def _scalars(run: TrainingRun, step: Step) -> dict[str, float]:
    found = {
        "nats_per_character/train": run.per_character(step.loss),
        "nats_per_character/held_out": step.held_out_loss,
        "learning_rate": step.learning_rate,
        "tokens_per_second": run.plan.tokens_read(step.step) / max(step.seconds, 1e-9),
        "peak_bytes/process": peak_memory_bytes(),
        "peak_bytes/gpu": peak_gpu_bytes(run.training.device),
    }
    return {name: value for name, value in found.items() if value is not None}
