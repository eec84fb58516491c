"""How often is the label right? Accuracy and macro F1, each beside what guessing would reach."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from memlm.records import Finding
from memlm.runtime import stream_seed

_RESAMPLES = 1000
_NORMAL_95 = 1.959964


def evaluate_labels(
    true: Sequence[str], predicted: Sequence[str], *, majority: str, seed: int = 0
) -> dict[str, Finding]:
    """Return accuracy (Wilson's interval) and macro F1 (bootstrap over the texts).

    The baseline gives every text the label `majority`, the commonest in training. Macro F1 is the
    mean over the labels that occur in `true`.
    """
    labels = sorted({*true, *predicted, majority})
    number = {label: place for place, label in enumerate(labels)}
    truth = np.array([number[label] for label in true])
    guess = np.array([number[label] for label in predicted])
    constant = np.full(len(truth), number[majority])
    correct = int((truth == guess).sum())
    low, high = wilson_interval(correct, len(truth))
    random = np.random.Generator(np.random.Philox(stream_seed(seed, "bootstrap")))
    resampled = [
        _macro_f1(truth[rows], guess[rows], len(labels))
        for rows in (random.integers(len(truth), size=len(truth)) for _ in range(_RESAMPLES))
    ]
    f1_low, f1_high = np.quantile(resampled, [0.025, 0.975])
    return {
        "accuracy": Finding(
            value=correct / len(truth),
            low=low,
            high=high,
            n=len(truth),
            baseline=float((truth == constant).mean()),
            unit="of texts",
        ),
        "macro_f1": Finding(
            value=_macro_f1(truth, guess, len(labels)),
            low=float(f1_low),
            high=float(f1_high),
            n=len(truth),
            baseline=_macro_f1(truth, constant, len(labels)),
            unit="mean over labels",
        ),
    }


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927)."""
    z2 = _NORMAL_95**2
    centre = (successes + z2 / 2) / (n + z2)
    spread = _NORMAL_95 / (n + z2) * math.sqrt(successes * (n - successes) / n + z2 / 4)
    return max(0.0, centre - spread), min(1.0, centre + spread)


def _macro_f1(truth: npt.NDArray[np.int64], guess: npt.NDArray[np.int64], num_labels: int) -> float:
    true_counts = np.bincount(truth, minlength=num_labels)
    guess_counts = np.bincount(guess, minlength=num_labels)
    hits = np.bincount(truth[truth == guess], minlength=num_labels)
    occurs = true_counts > 0
    return float(np.mean(2 * hits[occurs] / (true_counts[occurs] + guess_counts[occurs])))


def majority_label(counts: Counter[str]) -> str:
    """Return the commonest label; among equals the first by name."""
    return min(counts, key=lambda label: (-counts[label], label))
