"""What our own trainings have shown, and the network that is chosen by it.

`laws.json` is written by `benchmarks/scaling.py`; its runs are of one core's minutes on a CPU.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

LARGE_VOCABULARY = 1024


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A network, and the measurement that speaks for it."""

    network: str
    losses: dict[str, float]
    """Held-out nats per character of each kind of network, best first."""
    characters: int
    """Of the text that they learned."""
    minutes: float
    """Of one core that they had."""


def text_kind(vocabulary_size: int) -> str:
    """Return the kind of text that a vocabulary is for, as `laws.json` names it."""
    return "many_symbols" if vocabulary_size > LARGE_VOCABULARY else "few_symbols"


def choose_network(*, vocabulary_size: int, characters: int, core_minutes: float) -> Choice:
    """Return what learned best from about as much text of that kind in about as much time."""
    cells: dict[tuple[int, float], dict[str, float]] = defaultdict(dict)
    for run in measured()["runs"]:
        if run["kind"] == text_kind(vocabulary_size):
            cell = cells[run["characters"], run["minutes"]]
            cell[run["network"]] = run["nats_per_character"]

    def distance(cell: tuple[int, float]) -> float:
        text, time = cell[0] / max(1, characters), cell[1] / core_minutes
        return abs(math.log(text)) + abs(math.log(time))

    compared = [cell for cell, losses in cells.items() if len(losses) > 1]
    nearest = min(compared, key=distance)
    losses = dict(sorted(cells[nearest].items(), key=lambda item: item[1]))
    return Choice(
        network=next(iter(losses)), losses=losses, characters=nearest[0], minutes=nearest[1]
    )


@cache
def measured() -> dict[str, Any]:  # Any: JSON
    """Return what `benchmarks/scaling.py` has found."""
    text = files(__package__).joinpath("laws.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found
