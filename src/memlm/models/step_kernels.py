"""One token of one text, compiled: what the `step_` files do in numpy.

The products are done where the weights lie, so that a layer is one call. Compiled code is kept on
disk beside this file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit, types
from numba.extending import overload, register_jitable

Floats = npt.NDArray[np.float32]
Number = Any  # Any: numpy's hints let no two of its scalars be compared
"""A number of single precision."""
Weights = npt.NDArray[np.float32 | np.int8]
# Sums may be taken in another order, without which nothing is vectorised; infinities stay.
_QUICK = {"reassoc", "contract", "nsz", "arcp"}
_LARGEST_TANH = np.float32(7.90531110763549805)


def add_to_product(
    weights: Weights, scales: Floats, values: Floats, bias: Floats, found: Floats
) -> None:
    """Write weights (N, M) times values (M,), plus bias (N,), to `found` (N,)."""
    raise NotImplementedError  # what is compiled in its place depends on the weights' type


@overload(add_to_product, jit_options={"fastmath": _QUICK}, inline="never")
def _choose_product(
    weights: Weights, scales: Floats, values: Floats, bias: Floats, found: Floats
) -> Callable[..., None]:
    # What numba gives here is types, under the names and hints that the chosen one has.
    return _float_product if weights.dtype == types.float32 else _whole_product


def _float_product(
    weights: Weights, scales: Floats, values: Floats, bias: Floats, found: Floats
) -> None:
    for row in range(len(weights)):
        total = np.float32(0)
        for column in range(len(values)):
            total += weights[row, column] * values[column]
        found[row] = total + bias[row]


def _whole_product(
    weights: Weights, scales: Floats, values: Floats, bias: Floats, found: Floats
) -> None:
    """As whole numbers: values in the largest 16 bits whose sum of products fits 32."""
    most, largest = np.float32(0), np.float32(min(32767, (2**31 - 1) // (127 * len(values))))
    for value in values:
        most = max(most, abs(value))
    unit = most / largest if most > 0 else np.float32(1)
    steps = np.empty(len(values), np.int16)
    for column in range(len(values)):
        steps[column] = np.int16(np.rint(values[column] / unit))
    for row in range(len(weights)):
        total = np.int32(0)
        for column in range(len(values)):
            total += np.int32(weights[row, column]) * np.int32(steps[column])
        # numba adds in 64 bits; that 32 are wanted lets the sum be done in them.
        found[row] = np.float32(np.int32(total)) * (scales[row] * unit) + bias[row]


@njit(cache=True, nogil=True, fastmath=_QUICK)
def add_product(
    weights: Weights, scales: Floats, values: Floats, bias: Floats, found: Floats
) -> None:
    """Write weights (N, M) times values (M,), plus bias (N,), to `found` (N,)."""
    add_to_product(weights, scales, values, bias, found)


@register_jitable(fastmath=_QUICK)
def tanh(value: Number) -> Number:
    """Return tanh to a few units in the last place: a quotient of polynomials, as in Eigen.

    Unlike the library's it can be computed for sixteen values at once.
    """
    x: Number = min(max(value, -_LARGEST_TANH), _LARGEST_TANH)
    s = x * x
    p = s * np.float32(-2.76076847742355e-16) + np.float32(2.00018790482477e-13)
    p = s * p + np.float32(-8.60467152213735e-11)
    p = s * p + np.float32(5.12229709037114e-08)
    p = s * p + np.float32(1.48572235717979e-05)
    p = s * p + np.float32(6.37261928875436e-04)
    p = s * p + np.float32(4.89352455891786e-03)
    q = s * np.float32(1.19825839466702e-06) + np.float32(1.18534705686654e-04)
    q = s * q + np.float32(2.26843463243900e-03)
    q = s * q + np.float32(4.89352518554385e-03)
    return x * p / q


@njit(cache=True, nogil=True, fastmath=_QUICK)
def lstm_step(
    weights: Weights,
    scales: Floats,
    products: Floats,
    before: tuple[Floats, Floats],
    after: tuple[Floats, Floats],
) -> None:
    """Write hidden and cell state, (H,) each, after an input with these products (4 H,)."""
    hidden, cell = before
    hidden_after, cell_after = after
    width, half = len(hidden), np.float32(0.5)
    gates = np.empty(4 * width, np.float32)
    add_to_product(weights, scales, hidden, products, gates)
    for unit in range(width):
        enters = half * tanh(gates[unit]) + half
        stays = half * tanh(gates[width + unit]) + half
        shows = half * tanh(gates[2 * width + unit]) + half
        now = stays * cell[unit] + enters * tanh(gates[3 * width + unit])
        cell_after[unit] = now
        hidden_after[unit] = shows * tanh(now)


@njit(cache=True, nogil=True, fastmath=_QUICK)
def gru_step(
    weights: Weights,
    scales: Floats,
    products: Floats,
    bias: Floats,
    hidden: Floats,
    hidden_after: Floats,
) -> None:
    """Write the hidden state (H,) after an input with these products (3 H,)."""
    width, half = len(hidden), np.float32(0.5)
    own, nothing = np.empty(3 * width, np.float32), np.zeros(3 * width, np.float32)
    add_to_product(weights, scales, hidden, nothing, own)
    for unit in range(width):
        reset = half * tanh(products[unit] + own[unit]) + half
        stays = half * tanh(products[width + unit] + own[width + unit]) + half
        new = tanh(products[2 * width + unit] + reset * (own[2 * width + unit] + bias[unit]))
        hidden_after[unit] = new + stays * (hidden[unit] - new)


@njit(cache=True, nogil=True, fastmath=_QUICK)
def score(weights: Weights, scales: Floats, hidden: Floats, bias: Floats, found: Floats) -> None:
    """Write the log-probabilities (V,) of every token after hidden (H,)."""
    add_to_product(weights, scales, hidden, bias, found)
    top: Number = found[0]
    total = 0.0
    for value in found:
        top = max(top, value)
    for value in found:
        total += np.exp(value - top)
    top += np.float32(np.log(total))
    for token in range(len(found)):
        found[token] -= top


@register_jitable(fastmath=_QUICK)
def exponential(value: Number) -> Number:
    """Return e^value for values from -87 to 0, to a few units in the last place.

    2^n e^r with |r| < ln 2 / 2: unlike the library's it can be computed for many values at once.
    """
    value = max(value, np.float32(-87.0))
    turns = np.rint(value * np.float32(1.44269504))
    r = value - turns * np.float32(0.693359375)
    r = r - turns * np.float32(-2.12194440e-4)
    p = r * np.float32(1.9875691500e-4) + np.float32(1.3981999507e-3)
    p = r * p + np.float32(8.3334519073e-3)
    p = r * p + np.float32(4.1665795894e-2)
    p = r * p + np.float32(1.6666665459e-1)
    p = r * p + np.float32(0.5)
    p = r * r * p + r + np.float32(1)
    return p * np.int32((np.int32(turns) + np.int32(127)) << np.int32(23)).view(np.float32)


@register_jitable(fastmath=_QUICK)
def norm_scale(values: Floats) -> Number:
    """Return what brings values (D,) to a root mean square of 1."""
    total = np.float32(0)
    for value in values:
        total += value * value
    return np.float32(1) / np.sqrt(total / np.float32(len(values)) + np.float32(1e-6))


@register_jitable(fastmath=_QUICK)
def turn_head(values: Floats, scale: Floats, cosine: Floats, sine: Floats, found: Floats) -> None:
    """Write a head's query or key (d,), normed, scaled and turned."""
    unit, half = norm_scale(values), len(cosine)
    for pair in range(half):
        first = values[pair] * unit * scale[pair]
        second = values[half + pair] * unit * scale[half + pair]
        found[pair] = first * cosine[pair] - second * sine[pair]
        found[half + pair] = second * cosine[pair] + first * sine[pair]


@register_jitable(fastmath=_QUICK)
def gather(
    query: Floats, head: int, past: tuple[Floats, Floats], first: int, scores: Floats, found: Floats
) -> None:
    """Write what a query (d,) gathers (d,) from as many places as there are `scores`.

    Keys and values lie place by place within each dimension, so that many places are done at once.
    """
    keys, values = past
    positions, last = len(scores), first + len(scores)
    scores[:] = np.float32(0)
    for place in range(0, len(query), 2):  # an even number: rotary positions turn pairs
        one, two = query[place], query[place + 1]
        some, more = keys[head, place, first:last], keys[head, place + 1, first:last]
        for at in range(positions):
            scores[at] += one * some[at] + two * more[at]
    top: Number = scores[0]
    total: Number = np.float32(0)
    for at in range(positions):
        top = max(top, scores[at])
    for at in range(positions):
        scores[at] = exponential(scores[at] - top)
        total += scores[at]
    share = np.float32(1) / total
    for place in range(len(query)):
        gathered, row = np.float32(0), values[head, place, first:last]
        for at in range(positions):
            gathered += scores[at] * row[at]
        found[place] = gathered * share


@njit(cache=True, nogil=True, fastmath=_QUICK)
def attend_step(
    stream: Floats,
    inward: tuple[Weights, Floats],
    outward: tuple[Weights, Floats],
    turn: tuple[Floats, Floats, Floats, Floats],
    past: tuple[Floats, Floats],
    first: int,
    last: int,
) -> None:
    """Add to the stream (D,) what attention gathers from places `first` to `last` of the past.

    The token's own key and value are written to the last of them. `turn` is the scale of queries
    and keys, and the cosine and sine of the position.
    """
    width = len(stream)
    keys, values = past
    head_width = keys.shape[1]
    unit, normed, parts = norm_scale(stream), np.empty_like(stream), np.empty(3 * width, np.float32)
    for place in range(width):
        normed[place] = stream[place] * unit
    add_to_product(inward[0], inward[1], normed, np.zeros(3 * width, np.float32), parts)
    query, scores = np.empty(head_width, np.float32), np.empty(last - first, np.float32)
    key, gathered = np.empty(head_width, np.float32), np.empty(width, np.float32)
    for head in range(keys.shape[0]):
        start, stop = head * head_width, (head + 1) * head_width
        turn_head(parts[start:stop], turn[0], turn[2], turn[3], query)
        turn_head(parts[width + start : width + stop], turn[1], turn[2], turn[3], key)
        for place in range(head_width):
            keys[head, place, last - 1] = key[place]
            values[head, place, last - 1] = parts[2 * width + start + place]
        gather(query, head, past, first, scores, gathered[start:stop])
    add_to_product(outward[0], outward[1], gathered, stream, stream)


@njit(cache=True, nogil=True, fastmath=_QUICK)
def feed_forward_step(
    stream: Floats, opening: tuple[Weights, Floats], closing: tuple[Weights, Floats]
) -> None:
    """Add to the stream (D,) what a gated feed-forward layer makes of it."""
    unit, normed, half = norm_scale(stream), np.empty_like(stream), np.float32(0.5)
    for place in range(len(stream)):
        normed[place] = stream[place] * unit
    width = len(opening[0]) // 2
    opened = np.empty(2 * width, np.float32)
    add_to_product(opening[0], opening[1], normed, np.zeros(2 * width, np.float32), opened)
    for place in range(width):
        gate = half * opened[place]
        opened[place] = (gate * tanh(gate) + gate) * opened[width + place]
    add_to_product(closing[0], closing[1], opened[:width], stream, stream)
