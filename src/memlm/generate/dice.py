"""The chance in a text: what decides each draw, so that who guesses the text can throw the same.

A token is drawn as the first to arrive of exponential clocks, one for each token, that run as fast
as the token is likely: it is the smallest of E / p, with E drawn from Exp(1). Whoever draws from
another distribution by the same E gets the same token as often as the two are alike, at least
(1 - d) / (1 + d) of the time where they differ by d in total variation (the Gumbel-max coupling:
Maddison et al. 2014; as a bound Daliri et al. 2025).
"""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_SOONEST = np.finfo(np.float64).tiny
"""No clock arrives at once, so that what is impossible never ties with it."""


class Dice:
    """Throws, one after the other; those to come can be looked at before."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.Generator(np.random.Philox(seed).jumped())
        self._next: deque[Floats] = deque()

    def throw(self, rows: int, size: int) -> Floats:
        """Return the next throw, (rows, size)."""
        self._look(0, rows, size)
        return self._next.popleft()

    def peek(self, ahead: int, size: int) -> Floats:
        """Return the throw for one row (1, size) that comes after so many others."""
        return self._look(ahead, 1, size)

    def _look(self, ahead: int, rows: int, size: int) -> Floats:
        while len(self._next) <= ahead:
            drawn = self._random.standard_exponential((rows, size))
            drawn += _SOONEST
            self._next.append(drawn)
        found = self._next[ahead]
        assert found.shape == (rows, size), "all throws of a text are alike"
        return found


def first_to_arrive(log_weights: Floats, thrown: Floats) -> npt.NDArray[np.int64]:
    """Return the token (B,) that a throw (B, V) draws from each row of log-weights (B, V).

    They need not sum to 1: who is first stays the same when all run faster.
    """
    late = np.log(thrown)
    found: npt.NDArray[np.int64] = np.subtract(log_weights, late, out=late).argmax(axis=1)
    return found
