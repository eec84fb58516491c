"""What is a memory worth beside a network? The best share of a plain mixture, on held-out text.

    p(w) = (1 - share) * network(w) + share * memory(w)

found by halving the range in which the slope of the likelihood, which only falls, becomes 0. Where
the memory knows nothing (its row is all 0) the network is alone. The blend that is used in the end
is fitted elsewhere and can do more.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

_HALVINGS = 16
_LARGEST_SHARE = 0.999  # some share is the network's, whatever this text says


def best_share(
    network: Numbers, memory: npt.NDArray[np.floating], knows: npt.NDArray[np.bool_] | None = None
) -> tuple[float, Numbers]:
    """Return the best share of a memory, 0 if it only harms, and each token's cost in nats, (N,).

    `network` and `memory` (N,) are the probabilities that each gave to the tokens that came;
    `knows` (N,) says where the memory had a row at all (everywhere, if not given).
    """
    answered = np.ones(len(network), dtype=bool) if knows is None else knows
    own, other = network[answered], memory[answered].astype(np.float64)
    low, high = 0.0, _LARGEST_SHARE if _slope(own, other, 0.0) > 0 else 0.0
    for _ in range(_HALVINGS if high else 0):
        middle = (low + high) / 2
        low, high = (middle, high) if _slope(own, other, middle) > 0 else (low, middle)
    nats = -np.log(network)
    nats[answered] = -np.log((1 - high) * own + high * other)
    return high, nats


def _slope(own: Numbers, other: Numbers, share: float) -> float:
    return float(((other - own) / ((1 - share) * own + share * other)).sum())
