"""Causal language models of the Hugging Face kind: the only file that knows `transformers`.

    tokens (B, T) -> AutoModelForCausalLM, with its cache -> log-probabilities (B, T, V)

A model has a context of W tokens. Longer texts are read in windows of W that overlap by half: when
one is full the next begins with its last W // 2 tokens, and each token is predicted once, from at
least as many. Where the windows lie depends on the place in the text alone, not on how it is handed
over. A text begins after the token BOS where the model has one, else after EOS; with neither, its
first token has no context: all are equally likely.
"""

from __future__ import annotations

import copy
import inspect
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from memlm.errors import CorruptArtefactError, InputError
from memlm.language_model import Hidden, LogProbabilities, Tokens
from memlm.messages import render
from memlm.models.exporting.modelling import OWN_KIND, register_transformers
from memlm.models.foreign_config import cleaned_config
from memlm.models.foreign_weights import shown
from memlm.runtime import require_package

# Kernels that the library would fetch from the hub are code; it asks this when it is imported.
os.environ.setdefault("USE_HUB_KERNELS", "0")

USUAL_CONTEXT = 4096
"""Tokens of a window at the most where nobody asked for more: memory grows with it."""
_EARLIER_KEYS = frozenset({"rope_theta", "rope_scaling", "n_ctx", "partial_rotary_factor"})
"""Of configurations that older versions wrote; the library still reads them."""
_ALWAYS_KNOWN = frozenset({"tie_word_embeddings", "vocab_size"})
_CONTEXTS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "n_ctx")
_CACHES = ("cache", "past_key_values", "cache_params")
"""What versions of the library call what a model carries from token to token."""
_NEVER_ENDS = 1e-6
"""Probability that a text ends, by a model that has no token for it."""
_MOST_LISTED = 3
_USUAL_BUFFERS = 1 << 27
"""Bytes that a network may lay out beside its weights, however small it is."""
_SAME, _ABOUT_THE_SAME = 3e-4, 0.05
"""Share of the largest logit that may lie between reading in one go and in parts: exact, bf16."""


@dataclass(frozen=True)
class Beginning:
    """Which tokens begin and end a text; `end` is outside the vocabulary where there is none."""

    begin: int | None
    end: int


@dataclass(frozen=True)
class Loaded:
    """A model, and what is to be said of how it was read."""

    model: HuggingFaceModel
    kind: str
    parameters: int
    dropped: tuple[str, ...]
    """Keys of its configuration that were not passed on."""
    unused: tuple[str, ...]
    """Tensors that its network has no place for."""


@dataclass(frozen=True)
class HuggingFaceState:
    """What a model carries from token to token. No verb changes one that it was given."""

    cache: Any  # Any: transformers has no types here; None before anything was read
    tokens: npt.NDArray[np.int64]
    """(B, n): the last tokens, with which the next window begins; all, if there is no cache."""
    filled: int
    """Tokens in the window."""


class HuggingFaceModel:
    """A causal model as a `LanguageModel` that shows its hidden states: numpy in and out."""

    def __init__(
        self, network: Any, beginning: Beginning, *, context: int | None, longest: int | None
    ) -> None:  # Any: as above
        self.network, self.beginning = network.eval(), beginning
        self.context, self.longest = context, longest
        self.size = int(network.get_output_embeddings().weight.shape[0])
        names = inspect.signature(network.forward).parameters
        self._cache_name = next((name for name in _CACHES if name in names), "")
        self._seen: list[Tensor] = []  # what the output layer was given last
        network.get_output_embeddings().register_forward_pre_hook(self._see)

    @property
    def vocabulary_size(self) -> int:
        return self.size + self.ends_outside

    @property
    def ends_outside(self) -> bool:
        """Whether the end of a text is no token of the model's."""
        return self.beginning.end >= self.size

    @property
    def hidden_size(self) -> int:
        return int(self.network.get_output_embeddings().weight.shape[1])

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return torch.device(self.network.device)

    def in_windows(self, context: int) -> HuggingFaceModel:
        """Return the same model, reading in windows of so many tokens."""
        found = copy.copy(self)
        found.context = context
        return found

    @cached_property
    def continues(self) -> Literal["blocks", "steps", "anew"]:
        """How a text is read on: several tokens at once, one by one, or all of it again.

        Tried out once. Recurrent layers of the library begin anew, and say nothing, where they are
        given several tokens; where nothing gives what reading in one go gives, all is read again.
        """
        tokens = np.arange(7)[None] % self.size
        try:
            whole, _, _ = self._forward(tokens, None)
            _, _, cache = self._forward(tokens[:, :3], None)
            way: Literal["blocks", "steps"] = "steps" if _is_recurrent(cache) else "blocks"
            parts, _, _ = self._go_on(tokens[:, 3:], _copied(cache), way)
            chosen = _copied(
                cache, self._to_device(np.zeros(1, dtype=np.int64))
            )  # the first must not show in it
            again, _, _ = self._go_on(tokens[:, 3:], chosen, way)
        except (AttributeError, IndexError, RuntimeError, TypeError, ValueError):
            return "anew"
        scale = whole.abs().max()
        error = (whole[:, 3:] - torch.cat([parts, again])).abs().max()
        is_exact = self.network.dtype == torch.float32
        return way if bool(error <= (_SAME if is_exact else _ABOUT_THE_SAME) * scale) else "anew"

    @cached_property
    def _shows_all(self) -> bool:
        """Whether what the output layer is given is what the layers beneath it give, unchanged."""
        tokens = np.arange(7)[None] % self.size
        _, expected, _ = self._forward(tokens, None)
        try:
            with torch.no_grad(), _quietly():
                found = self.network.base_model(input_ids=self._to_device(tokens))
            return torch.equal(found.last_hidden_state, expected)
        except (AttributeError, RuntimeError, TypeError, ValueError):
            return False

    def start(self, batch: int) -> HuggingFaceState:
        return HuggingFaceState(None, np.empty((batch, 0), dtype=np.int64), 0)

    def read(
        self, state: HuggingFaceState, tokens: Tokens
    ) -> tuple[LogProbabilities, HuggingFaceState]:
        found, _, after = self._read(state, tokens)
        return found, after

    def read_hidden(
        self, state: HuggingFaceState, tokens: Tokens
    ) -> tuple[LogProbabilities, Hidden, HuggingFaceState]:
        return self._read(state, tokens)

    def advance(
        self, state: HuggingFaceState, tokens: Tokens
    ) -> tuple[LogProbabilities, HuggingFaceState]:
        found, _, after = self._read(state, np.asarray(tokens)[:, None])
        return found[:, 0], after

    def advance_hidden(
        self, state: HuggingFaceState, tokens: Tokens
    ) -> tuple[LogProbabilities, Hidden, HuggingFaceState]:
        found, hidden, after = self._read(state, np.asarray(tokens)[:, None])
        return found[:, 0], hidden[:, 0], after

    def hidden_states(
        self, state: HuggingFaceState, tokens: Tokens
    ) -> tuple[Hidden, HuggingFaceState]:
        seen = []
        for _, hidden, after, _ in self._blocks(state, tokens, with_output=False):
            seen.append(hidden.float().cpu().numpy())
            state = after
        return np.concatenate(seen, axis=1), state

    def select(self, state: HuggingFaceState, rows: Tokens) -> HuggingFaceState:
        chosen = np.asarray(rows, dtype=np.int64)
        cache = None if state.cache is None else _copied(state.cache, self._to_device(chosen))
        return replace(state, cache=cache, tokens=state.tokens[chosen])

    def attention_weights(self, tokens: Tokens) -> list[npt.NDArray[np.float32]]:
        """Return the weights over positions (heads, T, T) of each layer that attends.

        The tokens (T,) are read in one go. Empty where the model has no attention that it shows.
        """
        before = self.network.config._attn_implementation
        if not hasattr(self.network, "set_attn_implementation"):
            return []
        try:
            self.network.set_attn_implementation("eager")  # the only one that shows its weights
            ids = self._to_device(self._begun(np.asarray(tokens, dtype=np.int64)[None], filled=0))
            with torch.no_grad(), _quietly():
                found = self.network(input_ids=ids, use_cache=False, output_attentions=True)
        except (TypeError, ValueError):  # it has no attention to be asked for
            return []
        finally:
            self.network.set_attn_implementation(before)
        layers = getattr(found, "attentions", None) or ()
        return [
            one[0].float().cpu().numpy() for one in layers if one is not None and one.dim() == 4
        ]

    def _read(
        self, state: HuggingFaceState, tokens: Tokens
    ) -> tuple[LogProbabilities, Hidden, HuggingFaceState]:
        """Return log-probabilities (B, T, V), hidden states (B, T, D) and the state."""
        told, seen = [], []
        for logits, hidden, after, block in self._blocks(state, tokens):
            begins = after.filled == block.shape[1]
            told.append(self._log_probabilities(logits, block, begins=begins))
            seen.append(hidden.float().cpu().numpy())
            state = after
        if len(told) == 1:
            return told[0], seen[0], state
        return np.concatenate(told, axis=1), np.concatenate(seen, axis=1), state

    def _blocks(
        self, state: HuggingFaceState, tokens: Tokens, *, with_output: bool = True
    ) -> Iterator[tuple[Tensor, Tensor, HuggingFaceState, npt.NDArray[np.int64]]]:
        """Yield logits, hidden states and the state after each block that has room in a window."""
        rows, done = np.asarray(tokens, dtype=np.int64), 0
        while done < rows.shape[1]:
            state = self._with_room(state)
            room = rows.shape[1] if self.context is None else self.context - state.filled
            block = rows[:, done : done + room]
            logits, hidden, state = self._extend(state, block, with_output=with_output)
            yield logits, hidden, state, block
            done += block.shape[1]

    def _with_room(self, state: HuggingFaceState) -> HuggingFaceState:
        """Return a state in whose window one more token has room."""
        if self.context is None or state.filled < self.context:
            return state
        kept = self.context // 2
        last = state.tokens[:, state.tokens.shape[1] - kept :]
        empty = HuggingFaceState(None, np.empty((len(last), 0), dtype=np.int64), 0)
        if not kept:
            return empty
        # What begins in the middle of a text does not begin with its beginning.
        _, _, after = self._extend(empty, last, is_begun=True, with_output=False)
        return after

    def _extend(
        self,
        state: HuggingFaceState,
        block: npt.NDArray[np.int64],
        *,
        is_begun: bool = False,
        with_output: bool = True,
    ) -> tuple[Tensor, Tensor, HuggingFaceState]:
        """Read tokens that have room in the window: logits, hidden states, and the state.

        The logits are of no use where they are not asked for.
        """
        filled = state.filled if not is_begun else 1
        read = self._begun(block, filled=filled)
        tokens = np.concatenate([state.tokens, read], axis=1)
        if self.continues == "anew":
            logits, hidden, _ = self._forward(tokens, None, with_output=with_output)
            width = block.shape[1]
            after = HuggingFaceState(None, tokens, state.filled + width)
            return logits[:, -width:], hidden[:, -width:], after
        cache = None if state.cache is None else _copied(state.cache)
        logits, hidden, cache = self._go_on(read, cache, self.continues, with_output=with_output)
        kept = 0 if self.context is None else self.context // 2
        last = tokens[:, max(0, tokens.shape[1] - kept) :]
        return logits, hidden, HuggingFaceState(cache, last, state.filled + block.shape[1])

    def _begun(self, block: npt.NDArray[np.int64], *, filled: int) -> npt.NDArray[np.int64]:
        """Return the tokens as the model is given them: an end that begins a text is its BOS."""
        begin, end = self.beginning.begin, self.beginning.end
        read = block.copy()
        if filled == 0 and begin is not None:
            read[:, 0] = np.where(read[:, 0] == end, begin, read[:, 0])
        if self.ends_outside:  # it has no token that says so: the first of all stands there
            read[read == end] = 0
        return read

    def _log_probabilities(
        self, logits: Tensor, block: npt.NDArray[np.int64], *, begins: bool
    ) -> LogProbabilities:
        found: LogProbabilities = F.log_softmax(logits.float(), dim=-1).cpu().numpy()
        if not self.ends_outside:
            return found
        end = np.full((*found.shape[:2], 1), np.log(_NEVER_ENDS), dtype=np.float32)
        found = np.concatenate([found + np.float32(np.log1p(-_NEVER_ENDS)), end], axis=2)
        if begins:  # nothing was read: all are alike
            is_begin = block[:, 0] == self.beginning.end
            found[is_begin, 0, :-1] = np.log((1 - _NEVER_ENDS) / self.size)
        return found

    def _go_on(
        self, tokens: npt.NDArray[np.int64], cache: Any, way: str, *, with_output: bool = True
    ) -> tuple[Tensor, Tensor, Any]:  # Any: a cache, which is changed
        if cache is None or way == "blocks" or tokens.shape[1] == 1:
            return self._forward(tokens, cache, with_output=with_output)
        told, seen = [], []
        for place in range(tokens.shape[1]):
            one = tokens[:, place : place + 1]
            logits, hidden, cache = self._forward(one, cache, with_output=with_output)
            told.append(logits)
            seen.append(hidden)
        return torch.cat(told, dim=1), torch.cat(seen, dim=1), cache

    @torch.no_grad()
    def _forward(
        self, tokens: Tokens, cache: Any, *, with_output: bool = True
    ) -> tuple[Tensor, Tensor, Any]:  # Any: a cache
        given = {} if cache is None else {self._cache_name: cache}
        ids = self._to_device(tokens)
        with _quietly():
            if not with_output and self._shows_all:
                found = self.network.base_model(input_ids=ids, use_cache=True, **given)
                hidden: Tensor = found.last_hidden_state
                return hidden, hidden, getattr(found, self._cache_name, None)
            found = self.network(input_ids=ids, use_cache=True, **given)
        return found.logits, self._seen.pop(), getattr(found, self._cache_name, None)

    def _see(self, module: object, given: Sequence[Tensor]) -> None:
        self._seen[:] = [given[0]]

    def _to_device(self, values: Tokens) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.int64)).to(self.device)


def load_huggingface(
    config: Mapping[str, Any],  # Any: JSON
    weights: Mapping[str, Tensor],
    tokens: tuple[int | None, int | None],
    *,
    device: torch.device,
    precision: str = "float32",
) -> Loaded:
    """Build the network that a cleaned `config.json` describes, around weights read before.

    `tokens` are BOS and EOS where the tokenizer names them; the configuration goes first. Raises
    InputError for a kind that the library does not know, for sizes that its weights do not have,
    and for weights that are missing.
    """
    with _quietly():
        settings, dropped = _settings(config)
        build = _causal_class(settings)
        _check_parameters(build, settings, weights)
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        network, info = _filled(build, settings, weights, dtype)
    _check_complete(info)
    _quiet_settings(network)
    size = int(network.get_output_embeddings().weight.shape[0])
    beginning = _beginning(config, tokens, size)
    longest = _longest(network.config)
    model = HuggingFaceModel(
        network.to(device),
        beginning,
        context=None if longest is None else min(longest, USUAL_CONTEXT),
        longest=longest,
    )
    return Loaded(
        model=model,
        kind=str(config["model_type"]),
        parameters=sum(one.numel() for one in network.parameters()),
        dropped=tuple(dropped),
        unused=tuple(sorted(info["unexpected_keys"])),
    )


def _settings(config: Mapping[str, Any]) -> tuple[Any, list[str]]:  # Any: JSON, its class
    """Return the library's own configuration, and the keys that it was not given."""
    require_package("transformers", extra="hf")
    from dataclasses import fields

    from transformers import CONFIG_MAPPING, PreTrainedConfig

    kind = config["model_type"]
    if kind == OWN_KIND:
        register_transformers()
    if kind not in CONFIG_MAPPING:
        raise InputError("foreign_kind_unknown", kind=shown(kind))
    described = CONFIG_MAPPING[kind]
    shared = {field.name for field in fields(PreTrainedConfig)}
    own = {field.name for field in fields(described)} - shared
    if kind == OWN_KIND:  # whose fields are not the library's
        own |= {"network", "longest_past"}
    known = own | described.attribute_map.keys() | _ALWAYS_KNOWN | _EARLIER_KEYS
    kept, dropped = cleaned_config(config, frozenset(known))
    try:
        return described(**kept), dropped
    except Exception as error:  # its checks raise nothing narrower
        raise _bad("config_refused", error) from error


def _causal_class(settings: Any) -> Any:  # Any: transformers has no types here
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    if type(settings) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise InputError("foreign_not_causal", kind=settings.model_type)
    found = MODEL_FOR_CAUSAL_LM_MAPPING[type(settings)]
    return found[0] if isinstance(found, tuple) else found


def _check_parameters(build: Any, settings: Any, weights: Mapping[str, Tensor]) -> None:
    """Raise InputError where a network would take far more memory than there are weights for."""
    try:
        with torch.device("meta"):  # shapes alone: nothing of their size is laid out
            network = build(settings)
    except Exception as error:  # whatever a configuration makes the library stumble over
        raise _bad("config_refused", error) from error
    wanted = sum(one.numel() for one in network.parameters())
    held = sum(one.numel() for one in weights.values())
    buffers = list(network.buffers())  # masks of all positions by all, in some
    laid_out = sum(one.nbytes for one in buffers)
    # A tied output is laid out twice at first.
    if wanted > 2 * held + (1 << 20) or laid_out > 2 * held + _USUAL_BUFFERS:
        wanted += sum(one.numel() for one in buffers)
        raise InputError("foreign_without_weights", wanted=wanted, held=held)
    if getattr(network.get_output_embeddings(), "weight", None) is None:
        raise InputError("foreign_output", kind=settings.model_type)


def _filled(
    build: Any, settings: Any, weights: Mapping[str, Tensor], dtype: torch.dtype
) -> tuple[Any, dict[str, Any]]:  # Any: as above
    try:
        network, info = build.from_pretrained(
            None, config=settings, state_dict=dict(weights), dtype=dtype, output_loading_info=True
        )
    except (RuntimeError, ValueError, KeyError, AttributeError, OSError) as error:
        raise _bad("weights_refused", error) from error
    return network, info


def _check_complete(info: Mapping[str, Any]) -> None:  # Any: as above
    for kind in ("mismatched_keys", "missing_keys"):
        names = sorted(one[0] if isinstance(one, tuple) else one for one in info[kind])
        if names:
            listed = ", ".join(map(shown, names[:_MOST_LISTED])) + (
                ", …" if names[_MOST_LISTED:] else ""
            )
            raise InputError("foreign_tensors_missing", count=len(names), names=listed)


def _quiet_settings(network: Any) -> None:  # Any: as above
    network.requires_grad_(False)
    network.config.use_cache = True


def _beginning(
    config: Mapping[str, Any], named: tuple[int | None, int | None], size: int
) -> Beginning:  # Any: JSON
    begin, end = (
        _token(config[key], size) if key in config else _token(other, size)
        for key, other in zip(("bos_token_id", "eos_token_id"), named, strict=True)
    )
    if begin is None and end is None:
        return Beginning(None, size)
    first, last = (end if begin is None else begin), (begin if end is None else end)
    assert last is not None
    return Beginning(first, last)


def _token(value: Any, size: int) -> int | None:  # Any: JSON: a number, or several
    if isinstance(value, list):
        value = value[0] if value else None
    return value if type(value) is int and 0 <= value < size else None


def _longest(config: Any) -> int | None:  # Any: as above
    """Return the context that a model was made for; None where there is no limit."""
    if getattr(config, "model_type", "") in ("mamba", "mamba2", "rwkv", "xlstm", "falcon_mamba"):
        return None
    found = (getattr(config, name, None) for name in _CONTEXTS)
    return next((value for value in found if type(value) is int and value > 1), None)


def _is_recurrent(cache: Any) -> bool:  # Any: a cache of transformers
    return any(hasattr(layer, "recurrent_states") for layer in cache.layers)


def _copied(cache: Any, rows: Tensor | None = None) -> Any:  # Any: a cache of transformers
    """Return a cache that can be changed without changing this one; of some rows, if given.

    Layers that attend grow by new tensors, and are shared; recurrent states change where they lie.
    Our own cache puts new tensors into its list. Raises TypeError for one that is not understood.
    """
    from transformers.cache_utils import DynamicCache

    from memlm.models.exporting.modelling.cache_memlm import MemlmCache

    found = copy.copy(cache)
    if isinstance(cache, MemlmCache):
        found.states = list(cache.states)
        if rows is not None:
            found.batch_select_indices(rows)
        return found
    if type(cache) is not DynamicCache:
        raise TypeError("a cache of a kind that is not known")
    found.layers = [_copied_layer(layer, rows) for layer in cache.layers]
    return found


def _copied_layer(layer: Any, rows: Tensor | None) -> Any:  # Any: as above
    from transformers.cache_utils import DynamicLayer

    found, grows = copy.copy(layer), isinstance(layer, DynamicLayer)
    for name, value in vars(layer).items():
        if isinstance(value, dict):
            copied = {key: _copied_tensor(one, rows, shared=False) for key, one in value.items()}
            setattr(found, name, copied)
        elif isinstance(value, Tensor):
            setattr(found, name, _copied_tensor(value, rows, shared=grows))
    return found


def _copied_tensor(value: Any, rows: Tensor | None, *, shared: bool) -> Any:  # Any: as above
    if not isinstance(value, Tensor):
        return value
    if rows is not None and value.dim() > 0 and value.numel():
        return value.index_select(0, rows)
    return value if shared else value.clone()


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep the library's own warnings and progress bars to itself."""
    require_package("transformers", extra="hf")
    from transformers.utils import logging

    before, has_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if has_bars:
            logging.enable_progress_bar()


def _bad(reason: str, error: Exception) -> CorruptArtefactError:
    """Return the error about a file that the library itself refuses, in its own first line."""
    said = shown(str(error).strip().partition("\n")[0]) or type(error).__name__
    return CorruptArtefactError(
        "foreign_file_bad", path="config.json", reason=render(f"foreign.{reason}", said=said)
    )
