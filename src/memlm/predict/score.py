"""How well does a model predict this text? In nats per character, bits per byte, and per token.

Frozen: the weights do not change. Long context: the state is carried from the first token, which is
read after an end-of-document token, to the last. With a window of N tokens each token is predicted
from the N/2 to N before it, window by window, and counted once. Adaptive: a model that learns from
what it has scored (`train/adapt.py`) reads the long context; it never learns from a token first.

A symbol that the vocabulary lacks costs -log p(unknown) + 8 ln 2 for each of its UTF-8 bytes:
spelling it out, at a byte's full price. There are no free unknowns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from memlm.errors import ConfigError, InputError
from memlm.language_model import LanguageModel, ShowsHidden, Tokenizer, unknown_bytes
from memlm.records import Score

_LARGEST_BLOCK_VALUES = 1 << 24
_LONGEST_BLOCK = 1024
_WINDOWS_AT_ONCE = 32
_MOST_TOKENS_AT_ONCE = 1 << 22
_INTERVAL_BLOCKS = 20
NATS_PER_UNKNOWN_BYTE = 8 * math.log(2)


def score_text(
    model: LanguageModel,
    tokenizer: Tokenizer,
    text: str,
    *,
    window: int | None = None,
    is_adaptive: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Score:
    """Return how well `model` predicts `text`, with a 95 % interval over blocks of it.

    `is_adaptive` says that the model learns while it reads. Raises InputError for a text without
    tokens, ConfigError for a window below 2, or one for an adaptive model.
    """
    check_protocol(window, is_adaptive=is_adaptive)
    encoding = tokenizer.encode(text)
    if not len(encoding.ids):
        raise InputError("text_without_tokens")
    ids = encoding.ids.astype(np.int64)
    charged = unknown_bytes(tokenizer, text, encoding)
    stream = np.concatenate([[tokenizer.end], ids])
    reader = read_long(model, stream) if window is None else _read_windows(model, stream, window)
    nats = np.concatenate(list(_counted(reader, len(ids), progress)))
    nats += charged * NATS_PER_UNKNOWN_BYTE
    per_character = nats.sum() / len(text)
    margin = _margin(nats, encoding.starts, len(text))
    size = len(text.encode("utf-8"))
    uniform = math.log(model.vocabulary_size) * len(ids)
    baseline = (uniform + charged.sum() * NATS_PER_UNKNOWN_BYTE) / len(text)
    return Score(
        nats_per_character=float(per_character),
        low=float(per_character - margin),
        high=float(per_character + margin),
        bits_per_byte=float(nats.sum() / math.log(2) / size),
        perplexity_per_token=float(np.exp(min(700.0, nats.mean()))),
        tokens=len(ids),
        characters=len(text),
        bytes=size,
        unknown=int((charged > 0).sum()),
        unknown_bytes=int(charged.sum()),
        baseline_nats_per_character=float(baseline),
        protocol=_protocol(window, is_adaptive=is_adaptive),
        window=window,
    )


def check_protocol(window: int | None, *, is_adaptive: bool) -> None:
    """Raise ConfigError for a window without room for a context, or with a model that learns."""
    if window is None:
        return
    if window < 2:
        raise ConfigError("value_too_small", option="--window", value=window, least=2)
    if is_adaptive:  # windows overlap: a model would have learned what it predicts
        raise ConfigError("options_exclude", one="--window", other="--adapt")


def _protocol(window: int | None, *, is_adaptive: bool) -> str:
    if is_adaptive:
        return "adaptive, score first, then learn"
    return "frozen, long context" if window is None else f"frozen, window {window}"


def _counted(
    parts: Iterator[npt.NDArray[np.float64]], total: int, progress: Callable[[int, int], None]
) -> Iterator[npt.NDArray[np.float64]]:
    """Yield the parts, and say how many of all tokens they have been."""
    done = 0
    for part in parts:
        done += len(part)
        progress(done, total)
        yield part


def read_long(
    model: LanguageModel, stream: npt.NDArray[np.int64]
) -> Iterator[npt.NDArray[np.float64]]:
    """Yield in blocks what each token of a stream but the first costs, in nats."""
    block = max(1, min(_LONGEST_BLOCK, _LARGEST_BLOCK_VALUES // model.vocabulary_size))
    state = model.start(1)
    for start in range(0, len(stream) - 1, block):
        inputs = stream[start : min(start + block, len(stream) - 1)]
        found, state = model.read(state, inputs[None])
        yield _nats(found[0], stream[start + 1 : start + 1 + len(inputs)])


def _read_windows(
    model: LanguageModel, stream: npt.NDArray[np.int64], window: int
) -> Iterator[npt.NDArray[np.float64]]:
    """Yield the losses of windows that overlap by half; the first half is context only."""
    total, stride = len(stream) - 1, window - window // 2
    starts = list(range(0, max(1, total - window // 2), stride))
    width = min(window, total)
    at_once = _at_once(width, model.vocabulary_size)
    for group in _groups(starts, at_once):
        inputs, targets = (np.full((len(group), width), stream[0]) for _ in range(2))
        for row, start in enumerate(group):
            stop = min(start + window, total)
            inputs[row, : stop - start] = stream[start:stop]
            targets[row, : stop - start] = stream[start + 1 : stop + 1]
        skipped = 0 if group[0] == 0 else window // 2
        nats = _read_rows(model, inputs, targets, skipped)
        for row, start in enumerate(group):
            yield nats[row, skipped : min(start + window, total) - start]


def _groups(starts: list[int], at_once: int) -> Iterator[list[int]]:
    """Yield which windows are read side by side; the first counts all of its tokens, and is alone.

    Of the others the first half is context, of which no probability is needed.
    """
    yield starts[:1]
    for first in range(1, len(starts), at_once):
        yield starts[first : first + at_once]


def _at_once(width: int, vocabulary_size: int) -> int:
    """Return how many windows are read side by side."""
    by_values = _LARGEST_BLOCK_VALUES // (min(width, _LONGEST_BLOCK) * vocabulary_size)
    return max(1, min(_WINDOWS_AT_ONCE, by_values, _MOST_TOKENS_AT_ONCE // width))


def _read_rows(
    model: LanguageModel,
    inputs: npt.NDArray[np.int64],
    targets: npt.NDArray[np.int64],
    skipped: int,
) -> npt.NDArray[np.float64]:
    """Return what each target costs, (B, T), reading the rows from their beginning in blocks.

    The first `skipped` of each row need no cost, and may have none.
    """
    nats = np.zeros(inputs.shape)
    state, (rows, width) = model.start(len(inputs)), inputs.shape
    block = max(1, min(_LONGEST_BLOCK, _LARGEST_BLOCK_VALUES // (rows * model.vocabulary_size)))
    begun = 0
    if skipped and isinstance(model, ShowsHidden):  # what the output says of a context is not asked
        begun = min(skipped, width)
        _, state = model.hidden_states(state, inputs[:, :begun])
    for start in range(begun, width, block):
        place = slice(start, min(start + block, width))
        found, state = model.read(state, inputs[:, place])
        picked = np.take_along_axis(found, targets[:, place, None], axis=2)[..., 0]
        nats[:, place] = -picked.astype(np.float64)
    return nats


def _nats(
    log_probabilities: npt.NDArray[np.float32], targets: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    return -log_probabilities[np.arange(len(targets)), targets].astype(np.float64)


def _margin(nats: npt.NDArray[np.float64], starts: npt.NDArray[np.int64], length: int) -> float:
    """Return half the 95 % interval of the mean per character, over contiguous blocks."""
    blocks = min(_INTERVAL_BLOCKS, len(nats))
    if blocks < 2:
        return math.inf
    edges = np.linspace(0, len(nats), blocks + 1).astype(int)
    ends = np.append(starts, length)[edges]
    means = np.add.reduceat(nats, edges[:-1]) / np.maximum(1, np.diff(ends))
    student = 2.09 + 12.0 / blocks**2  # close above Student's t from 5 blocks on
    return float(student * means.std(ddof=1) / math.sqrt(blocks))
