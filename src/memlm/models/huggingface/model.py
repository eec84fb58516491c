"""A causal language model of the Hugging Face kind as a `LanguageModel`.

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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from memlm.language_model import Hidden, LogProbabilities, Tokens
from memlm.models.huggingface.cache import copied_cache, is_recurrent
from memlm.models.huggingface.library import quietly

_CACHES = ("cache", "past_key_values", "cache_params")
"""What versions of the library call what a model carries from token to token."""
_NEVER_ENDS = 1e-6
"""Probability that a text ends, by a model that has no token for it."""
_SAME, _ABOUT_THE_SAME = 3e-4, 0.05
"""Share of the largest logit that may lie between reading in one go and in parts: exact, bf16."""


@dataclass(frozen=True)
class Beginning:
    """Which tokens begin and end a text; `end` is outside the vocabulary where there is none."""

    begin: int | None
    end: int


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
            way: Literal["blocks", "steps"] = "steps" if is_recurrent(cache) else "blocks"
            parts, _, _ = self._go_on(tokens[:, 3:], copied_cache(cache), way)
            chosen = copied_cache(
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
            with torch.no_grad(), quietly():
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
        cache = None if state.cache is None else copied_cache(state.cache, self._to_device(chosen))
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
            with torch.no_grad(), quietly():
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
        cache = None if state.cache is None else copied_cache(state.cache)
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
        with quietly():
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
