"""The log of a training: `steps.jsonl`, one line for some of its steps, and the curves drawn of it.

Nothing in it depends on the clock, so that a training that was resumed has the same log.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memlm.pages import training_curves
from memlm.storage import new_file

if TYPE_CHECKING:
    from memlm.train.loop import Step
    from memlm.train.plan import TrainPlan

LOG, CURVES = "steps.jsonl", "curves.svg"
_LOGGED_STEPS = 200
_NUMERIC = (int, float)
_NUMBERS = {"step", "nats_per_token", "learning_rate", "held_out_nats_per_character"}


def is_logged(step: Step, plan: TrainPlan) -> bool:
    """Say whether a step is a validation or among the about 200 others that are kept."""
    every = max(1, (plan.steps or 0) // _LOGGED_STEPS)
    return step.held_out_loss is not None or step.step % every == 0


def log_line(step: Step, *, nats_per_character: float) -> str:
    """Return what the log says of a step."""
    entry = {
        "step": step.step,
        "nats_per_token": step.loss,
        "nats_per_character": nats_per_character,
        "learning_rate": step.learning_rate,
        "held_out_nats_per_character": step.held_out_loss,
    }
    return json.dumps(entry) + "\n"


def cut_log(folder: Path, last_step: int) -> None:
    """Take out of the log what came after the checkpoint that a training is taken up from."""
    if not (folder / LOG).exists():
        return
    kept = [json.dumps(entry) + "\n" for entry in read_log(folder) if entry["step"] <= last_step]
    with new_file(folder / LOG) as temporary:
        temporary.write_text("".join(kept), encoding="utf-8")


def read_log(folder: Path) -> Iterator[dict[str, Any]]:  # Any: numbers, or None
    """Yield the entries of the log, without a line that a crash cut short."""
    if not (folder / LOG).exists():
        return
    for line in (folder / LOG).read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.keys() >= _NUMBERS:
            yield entry


def holds_words(folder: Path) -> bool:
    """Say whether anything but numbers stands in the log: samples, as an older memlm may have had.

    What cannot be read may be words, too.
    """
    return (folder / LOG).exists() and (folder / LOG).read_text("utf-8") != _numbers_alone(folder)


def forget_words(folder: Path) -> None:
    """Take everything but numbers out of the log."""
    text = _numbers_alone(folder)
    with new_file(folder / LOG) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _numbers_alone(folder: Path) -> str:
    lines = []
    for entry in read_log(folder):
        numbers = {
            name: value for name, value in entry.items() if value is None or type(value) in _NUMERIC
        }
        lines.append(json.dumps(numbers) + "\n")
    return "".join(lines)


def draw_curves(folder: Path, *, per_character: Callable[[float], float]) -> None:
    """Draw the log as `curves.svg`, its words in the language in force, if any step was taken."""
    learned, held_out, rates = [], [], []
    for entry in read_log(folder):
        step = entry["step"]
        learned.append((step, per_character(entry["nats_per_token"])))
        rates.append((step, entry["learning_rate"]))
        if entry["held_out_nats_per_character"] is not None:
            held_out.append((step, entry["held_out_nats_per_character"]))
    if not learned:
        return
    with new_file(folder / CURVES) as temporary:
        temporary.write_text(training_curves(learned, held_out, rates), encoding="utf-8")
