"""Attend: what a model looks at while it reads a text, and a page that shows it.

A network without attention has no such weights; the saliency of its predictions is given instead,
and called so (`models/saliency.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from memlm.errors import ConfigError, InputError
from memlm.language_model import Encoding, Tokenizer
from memlm.memory.counts import CountsModel
from memlm.records import Attention, AttentionKind, AttentionLayer, ReadToken
from memlm.workflow.asking import ensure_model
from memlm.workflow.bringing import in_windows
from memlm.workflow.listener import Listener
from memlm.workflow.models import Model, network_of
from memlm.workflow.opening import AnyWorkspace, as_workspace
from memlm.workflow.showing import write_page

if TYPE_CHECKING:
    from torch import Tensor

    from memlm.models.network import Network

DEFAULT_ATTENDED = 400
LARGEST_ATTENDED = 1000
_UNDECODED = "\ufffd"


def attend_text(
    workspace: AnyWorkspace,
    text: str,
    *,
    model: Model | str | None = None,
    tokens: int = DEFAULT_ATTENDED,
    listener: Listener | None = None,
) -> Attention:
    """Return what a model looked at while it read a text: weights over positions, head by head.

    The text is read after one end-of-document token, as in `score_text`. Of a longer text than
    `tokens`, or than the context of a brought model, the beginning is read, and that is noted. A
    model is trained first where there is none. Raises InputError for a text without tokens, or for
    a brought model that shows no weights.
    """
    hears = listener or Listener()
    check_attended(tokens)
    if not text:
        raise InputError("text_without_tokens")
    if not isinstance(model, Model):
        model = ensure_model(workspace, model, listener=hears)
    most = min(tokens, _context(model) - 1)
    text, encoding = _cut(text, model.tokenizer.encode(text), most, hears)
    if not len(encoding.ids):
        raise InputError("text_without_tokens")
    stream = np.concatenate([[model.tokenizer.end], encoding.ids.astype(np.int64)])
    kind, layers = _attended(model, stream, hears)
    return Attention(
        text=text,
        model=model.name,
        kind=kind,
        tokens=tuple(_read_tokens(model, text, encoding, stream)),
        layers=tuple(layers),
    )


def write_attention_page(
    workspace: AnyWorkspace, found: Attention, *, to: Path | str | None = None
) -> Path:
    """Write the page about `found`, as `attention.html` of the workspace if not told where.

    Returns its path. Raises InputError where no file can lie.
    """
    from memlm.pages.attention import attention_page

    return write_page(
        lambda: attention_page(found.to_rows()),
        to,
        otherwise=lambda: as_workspace(workspace).attention_page,
    )


def check_attended(tokens: int) -> None:
    """Raise ConfigError for a number of tokens that no page could show."""
    if not 1 <= tokens <= LARGEST_ATTENDED:
        raise ConfigError(
            "value_outside", option="--tokens", value=tokens, low=1, high=LARGEST_ATTENDED
        )


def _cut(text: str, encoding: Encoding, most: int, listener: Listener) -> tuple[str, Encoding]:
    """Return the beginning of a text that is `most` tokens long, or less to keep a character."""
    total = len(encoding.ids)
    if total <= most:
        return text, encoding
    end = int(encoding.starts[most])
    kept = int(np.searchsorted(encoding.starts, end)) or most
    listener.note("text_cut", tokens=kept, of=total, most=LARGEST_ATTENDED)
    return text[:end], Encoding(encoding.ids[:kept], encoding.starts[:kept])


def _context(model: Model) -> int:
    """Return how many tokens a model reads in one go."""
    longest = in_windows(model, None)[1]
    return LARGEST_ATTENDED + 1 if longest is None else longest


def _attended(
    model: Model, stream: npt.NDArray[np.int64], listener: Listener
) -> tuple[AttentionKind, list[AttentionLayer]]:
    """Return the weights of all layers that attend, or the saliency of a network without any."""
    if model.is_foreign:
        return "attention", _brought_layers(model, stream)
    network = _network_of(model)
    kind: AttentionKind = "attention" if network.config.attends else "saliency"
    return kind, list(_layers(network, stream, listener))


def _brought_layers(model: Model, stream: npt.NDArray[np.int64]) -> list[AttentionLayer]:
    from memlm.models.huggingface import HuggingFaceModel

    assert isinstance(model.predictor, HuggingFaceModel)
    found = model.predictor.attention_weights(stream)
    if not found:
        kind = model.predictor.network.config.model_type
        raise InputError("attends_without_weights", model=model.name, kind=kind)
    return [
        AttentionLayer(layer=number, block="attention", heads=heads)
        for number, heads in enumerate(found, 1)
    ]


def _network_of(model: Model) -> Network:
    if isinstance(model.predictor, CountsModel):
        raise InputError("attends_without_network", model=model.name)
    return network_of(model)


def _read_tokens(
    model: Model, text: str, encoding: Encoding, stream: npt.NDArray[np.int64]
) -> Iterator[ReadToken]:
    from memlm.predict.score import read_long

    nats = np.concatenate(list(read_long(model.predictor, stream)))
    yield ReadToken(start=0, end=0, text="", log_probability=None)
    for first, stop in _spelt_together(model.tokenizer, text, encoding):
        start = int(encoding.starts[first])
        end = int(encoding.starts[stop]) if stop < len(encoding.ids) else len(text)
        for place in range(first, stop):
            yield ReadToken(
                start=start,
                end=end,
                text=text[start:end],
                log_probability=-float(nats[place]),
                part=place - first + 1,
                parts=stop - first,
            )


def _spelt_together(
    tokenizer: Tokenizer, text: str, encoding: Encoding
) -> Iterator[tuple[int, int]]:
    """Yield (first, stop) of the shortest runs of tokens that spell whole characters."""
    ids, first = [int(token) for token in encoding.ids], 0
    ends = [*encoding.starts[1:], len(text)]
    for place, token in enumerate(ids):
        spelt = tokenizer.decode(ids[first : place + 1])
        is_whole = (
            _UNDECODED not in spelt
            or token == tokenizer.unknown
            or spelt == text[encoding.starts[first] : ends[place]]
            or place == len(ids) - 1
        )
        if is_whole:
            yield first, place + 1
            first = place + 1


def _layers(
    network: Network, stream: npt.NDArray[np.int64], listener: Listener
) -> Iterator[AttentionLayer]:
    import torch

    tokens = torch.from_numpy(stream).to(network.device)
    if not network.config.attends:
        from memlm.models.saliency import saliency

        weights = saliency(
            network, tokens, progress=lambda done, total: listener.progress("attend", done, total)
        )
        yield AttentionLayer(layer=0, block="embedding", heads=_to_numpy(weights[None]))
        return
    found = network.attention_weights(tokens[None], network.start(1))
    for number, (block, heads) in enumerate(zip(network.config.blocks, found, strict=True), 1):
        if heads is not None:
            yield AttentionLayer(layer=number, block=block.kind, heads=_to_numpy(heads[0]))


def _to_numpy(weights: Tensor) -> npt.NDArray[np.float32]:
    return weights.cpu().numpy().astype(np.float32)
