"""A few tokens of one text, compiled: all blocks of a network in one call.

Blocks differ in kind and size, which compiled code wants to know beforehand; so all their weights
lie behind each other, and a table of numbers says where whose begin (`step_fused.py`). What is
computed is what the other `step_*.py` have in numpy. Compiled code is kept on disk beside this
file.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit
from numba.extending import register_jitable

from memlm.models.step_fused import (
    ATTENDS,
    FEED_FORWARD,
    HEADS,
    INPUTS,
    IS_RESIDUAL,
    KIND,
    LSTM,
    ROWS,
    STATE,
    VECTORS,
    WEIGHTS,
    WIDTH,
    WINDOW,
)
from memlm.models.step_products import QUICK, Floats, Number, Weights, add_products

Laid = tuple[Weights, Floats, Floats]
"""All weights, the scales of all their rows, and all vectors: one dimension each."""
Numbers = npt.NDArray[np.int64]
_LARGEST_TANH = np.float32(7.90531110763549805)


@register_jitable(fastmath=QUICK)
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


@register_jitable(fastmath=QUICK)
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


@register_jitable(fastmath=QUICK)
def norm_scale(values: Floats) -> Number:
    """Return what brings values (D,) to a root mean square of 1."""
    total = np.float32(0)
    for value in values:
        total += value * value
    return np.float32(1) / np.sqrt(total / np.float32(len(values)) + np.float32(1e-6))


@register_jitable(fastmath=QUICK)
def turn_head(values: Floats, scale: Floats, cosine: Floats, sine: Floats, found: Floats) -> None:
    """Write a head's query or key (d,), normed, scaled and turned."""
    unit, half = norm_scale(values), len(cosine)
    for pair in range(half):
        first = values[pair] * unit * scale[pair]
        second = values[half + pair] * unit * scale[half + pair]
        found[pair] = first * cosine[pair] - second * sine[pair]
        found[half + pair] = second * cosine[pair] + first * sine[pair]


@register_jitable(fastmath=QUICK)
def gather(
    query: Floats,
    begin: int,
    past: tuple[Floats, Floats],
    first: int,
    scores: Floats,
    found: Floats,
) -> None:
    """Write what a query (d,) gathers (d,) from as many places as there are `scores`.

    Keys and values lie place by place within each dimension, those of a head from `begin` on, so
    that many places are done at once.
    """
    keys, values = past
    positions, last = len(scores), first + len(scores)
    scores[:] = np.float32(0)
    for place in range(0, len(query), 2):  # an even number: rotary positions turn pairs
        one, two = query[place], query[place + 1]
        some, more = keys[begin + place, first:last], keys[begin + place + 1, first:last]
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
        gathered, row = np.float32(0), values[begin + place, first:last]
        for at in range(positions):
            gathered += scores[at] * row[at]
        found[place] = gathered * share


@register_jitable(fastmath=QUICK)
def add_matrix(
    laid: Laid, begin: int, first_row: int, rows: int, values: Floats, found: Floats
) -> tuple[int, int]:
    """Add a matrix times values (T, M) to `found` (T, N); return where the one behind it lies."""
    end, last_row = begin + rows * values.shape[1], first_row + rows
    matrix = laid[0][begin:end].reshape(rows, values.shape[1])
    add_products(matrix, laid[1][first_row:last_row], values, found)
    return end, last_row


@register_jitable(fastmath=QUICK)
def normed(stream: Floats) -> Floats:
    """Return vectors (T, D) at a root mean square of 1."""
    found = np.empty_like(stream)
    for at in range(len(stream)):
        unit = norm_scale(stream[at])
        for place in range(stream.shape[1]):
            found[at, place] = stream[at, place] * unit
    return found


@register_jitable(fastmath=QUICK)
def attend_heads(
    parts: Floats,
    block: Numbers,
    vectors: Floats,
    turns: tuple[Floats, Floats],
    past: tuple[Floats, Floats],
    places: tuple[int, int],
    gathered: Floats,
) -> None:
    """Write what each head gathers, of queries, keys and values (T, 3 D), to `gathered` (T, D)."""
    width, size, begin = block[WIDTH], block[WIDTH] // block[HEADS], block[VECTORS]
    scales = vectors[begin : begin + size], vectors[begin + size : begin + 2 * size]
    keys, values = past
    query, key = np.empty(size, np.float32), np.empty(size, np.float32)
    scores = np.empty(places[1] + len(parts), np.float32)
    for start in range(0, width, size):
        own = block[STATE] + start
        for at in range(len(parts)):
            place, row = places[1] + at, parts[at]
            cosine, sine = turns[0][at], turns[1][at]
            turn_head(row[start : start + size], scales[0], cosine, sine, query)
            turn_head(row[width + start : width + start + size], scales[1], cosine, sine, key)
            for number in range(size):
                keys[own + number, place] = key[number]
                values[own + number, place] = row[2 * width + start + number]
            first = max(places[0], place + 1 - block[WINDOW])
            seen = scores[: place + 1 - first]
            gather(query, own, past, first, seen, gathered[at, start : start + size])


@register_jitable(fastmath=QUICK)
def attend(
    stream: Floats,
    block: Numbers,
    laid: Laid,
    turns: tuple[Floats, Floats],
    past: tuple[Floats, Floats],
    places: tuple[int, int],
) -> None:
    """Add to the stream (T, D) what attention gathers, and what a feed-forward layer makes."""
    count, width, wide = len(stream), block[WIDTH], block[FEED_FORWARD]
    parts, gathered = np.zeros((count, 3 * width), np.float32), np.empty_like(stream)
    at, row = add_matrix(laid, block[WEIGHTS], block[ROWS], 3 * width, normed(stream), parts)
    attend_heads(parts, block, laid[2], turns, past, places, gathered)
    at, row = add_matrix(laid, at, row, width, gathered, stream)
    if not wide:
        return
    opened, half = np.zeros((count, 2 * wide), np.float32), np.float32(0.5)
    passed = np.empty((count, wide), np.float32)
    at, row = add_matrix(laid, at, row, 2 * wide, normed(stream), opened)
    for token in range(count):
        for place in range(wide):
            gate = half * opened[token, place]
            passed[token, place] = (gate * tanh(gate) + gate) * opened[token, wide + place]
    add_matrix(laid, at, row, width, passed, stream)


@register_jitable(fastmath=QUICK)
def step_lstm(gates: Floats, hidden: Floats, cell: Floats) -> None:
    """Write hidden and cell state, (H,) each, over those before."""
    width, half = len(hidden), np.float32(0.5)
    for unit in range(width):
        enters = half * tanh(gates[unit]) + half
        stays = half * tanh(gates[width + unit]) + half
        shows = half * tanh(gates[2 * width + unit]) + half
        now = stays * cell[unit] + enters * tanh(gates[3 * width + unit])
        cell[unit] = now
        hidden[unit] = shows * tanh(now)


@register_jitable(fastmath=QUICK)
def step_gru(gates: Floats, own: Floats, bias: Floats, hidden: Floats) -> None:
    """Write the hidden state (H,) over that before, which brings `own` (3 H,) to the gates."""
    width, half = len(hidden), np.float32(0.5)
    for unit in range(width):
        reset = half * tanh(gates[unit] + own[unit]) + half
        stays = half * tanh(gates[width + unit] + own[width + unit]) + half
        new = tanh(gates[2 * width + unit] + reset * (own[2 * width + unit] + bias[unit]))
        hidden[unit] = new + stays * (hidden[unit] - new)


@register_jitable(fastmath=QUICK)
def recur(stream: Floats, products: Floats, block: Numbers, laid: Laid, state: Floats) -> Floats:
    """Return the outputs (T, H) of an LSTM or GRU block; its part of the state is written over."""
    count, width, is_lstm = len(stream), block[WIDTH], block[KIND] == LSTM
    rows, begin, own_state = (4 if is_lstm else 3) * width, block[VECTORS], block[STATE]
    gates, own = np.empty((count, rows), np.float32), np.empty((1, rows), np.float32)
    at, row = block[WEIGHTS] + rows * block[INPUTS], block[ROWS] + rows
    if products.shape[1]:
        gates[:] = products
    else:
        gates[:] = laid[2][begin : begin + rows]
        add_matrix(laid, block[WEIGHTS], block[ROWS], rows, stream, gates)
    bias = laid[2][begin + rows : begin + rows + width]
    hidden = state[own_state : own_state + width]
    found = np.empty((count, width), np.float32)
    for token in range(count):
        before = hidden.reshape(1, width)
        if is_lstm:
            add_matrix(laid, at, row, rows, before, gates[token : token + 1])
            step_lstm(gates[token], hidden, state[own_state + width : own_state + 2 * width])
        else:
            own[:] = np.float32(0)
            add_matrix(laid, at, row, rows, before, own)
            step_gru(gates[token], own[0], bias, hidden)
        for unit in range(width):
            found[token, unit] = hidden[unit]
            if block[IS_RESIDUAL]:
                found[token, unit] += stream[token, unit]
    return found


@njit(cache=True, nogil=True, fastmath=QUICK)
def read_blocks(
    stream: Floats,
    products: Floats,
    blocks: Numbers,
    laid: Laid,
    turns: tuple[Floats, Floats],
    past: tuple[Floats, Floats],
    places: tuple[int, int],
    state: Floats,
    last_scale: Floats,
) -> Floats:
    """Return what the output is given (T, H), of what the first block is given (T, I).

    `blocks` is the table of all blocks, `products` (T, G) what the tokens bring to the gates of the
    first, empty if that is not known. The past has room for T places more than `places`, the first
    that may be seen and the one that comes next; it and the recurrent `state` (R,) are written to.
    `last_scale` (H,) is that of the last norm, empty without one.
    """
    stream = stream.copy()
    nothing = products[:, :0].copy()
    for number in range(len(blocks)):
        block = blocks[number]
        if block[KIND] == ATTENDS:
            attend(stream, block, laid, turns, past, places)
        else:
            stream = recur(stream, products if number == 0 else nothing, block, laid, state)
    if not len(last_scale):
        return stream
    found = normed(stream)
    for at in range(len(found)):
        for place in range(len(last_scale)):
            found[at, place] *= last_scale[place]
    return found


@njit(cache=True, nogil=True)
def multiply(weights: Weights, scales: Floats, values: Floats, found: Floats) -> None:
    """Add weights (N, M) times values (T, M) to `found` (T, N)."""
    add_products(weights, scales, values, found)


@njit(cache=True, nogil=True, fastmath=QUICK)
def score(weights: Weights, scales: Floats, hidden: Floats, bias: Floats, found: Floats) -> None:
    """Write log-probabilities (T, V) of every token after hidden (T, H); bias (T or 1, V)."""
    found[:] = bias
    add_products(weights, scales, hidden, found)
    for at in range(len(found)):
        scores = found[at]
        top: Number = scores[0]
        total = 0.0
        for value in scores:
            top = max(top, value)
        for value in scores:
            total += np.exp(value - top)
        top += np.float32(np.log(total))
        for token in range(len(scores)):
            scores[token] -= top
