"""Penalties: tokens that were there already become less likely.

Both are transforms, as in `transforms.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memlm.generate.transforms import LogWeights
from memlm.language_model import Tokens


@dataclass(frozen=True)
class RepetitionPenalty:
    """p^penalty for the tokens of the prompt and of what was written (Keskar et al. 2019).

    They divide the scores of a network before its softmax by the penalty, which says something else
    when a constant is added to all scores, and rewards where a score is negative. Here the score is
    the log-probability, which a blend or a memory has too; it is never positive, so it is
    multiplied. Comes before any temperature.
    """

    penalty: float

    def __call__(self, log_weights: LogWeights, so_far: Tokens) -> LogWeights:
        return np.where(_occurs(log_weights, so_far), log_weights * self.penalty, log_weights)


@dataclass(frozen=True)
class PresencePenalty:
    """p exp(-penalty) for the tokens that were written, however often; the prompt's do not count.

    What was written begins after `begin` tokens.
    """

    penalty: float
    begin: int = 0

    def __call__(self, log_weights: LogWeights, so_far: Tokens) -> LogWeights:
        return log_weights - self.penalty * _occurs(log_weights, so_far[:, self.begin :])


def _occurs(log_weights: LogWeights, so_far: Tokens) -> npt.NDArray[np.bool_]:
    """Return whether each token (B, V) is among those of its row."""
    found = np.zeros(log_weights.shape, dtype=np.bool_)
    np.put_along_axis(found, so_far.astype(np.int64, copy=False), True, axis=1)
    return found
