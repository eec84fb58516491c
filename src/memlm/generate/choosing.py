"""From what a person says about writing to what is done to each distribution, in this order:

what may not come, penalties, temperature, then what is kept of the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memlm.errors import InputError
from memlm.generate.allowing import AllowWords
from memlm.generate.config import GenerateConfig
from memlm.generate.forbidding import ForbidWords
from memlm.generate.penalties import PresencePenalty, RepetitionPenalty
from memlm.generate.pieces import Pieces
from memlm.generate.transforms import (
    Forbid,
    LogWeights,
    MinP,
    Temperature,
    TopK,
    TopP,
    Transform,
    Typical,
)
from memlm.language_model import LogProbabilities, Tokenizer, Tokens


@dataclass(frozen=True)
class Choice:
    """What the next token of each text is chosen from."""

    never: Forbid
    """What is no text; something of the vocabulary is left."""
    limits: Sequence[Transform]
    """What else may not come: of this nothing may be left."""
    weighing: Sequence[Transform]
    """What makes of that which remains the distribution to draw from."""

    def weights(
        self, found: LogProbabilities, so_far: Tokens
    ) -> tuple[LogWeights, npt.NDArray[np.bool_]]:
        """Return the log-weights of the next token (B, V), and which texts (B,) have none left.

        Those have no weights that mean anything.
        """
        weights = self.never(found.astype(np.float64), so_far)
        is_stuck = np.zeros(len(weights), dtype=np.bool_)
        if self.limits:
            for transform in self.limits:
                weights = transform(weights, so_far)
            is_stuck = np.isneginf(weights.max(axis=1))
            if is_stuck.any():
                weights = np.where(is_stuck[:, None], 0.0, weights)
        for transform in self.weighing:
            weights = transform(weights, so_far)
        return weights, is_stuck


def choose_transforms(
    tokenizer: Tokenizer,
    config: GenerateConfig,
    prompt: str,
    prompt_ids: Tokens,
    *,
    begun: str = "",
) -> Choice:
    """Return what a person's options come to for a text that goes on from a prompt.

    `begun` is what of that text is there already, the end of `prompt_ids` and not of `prompt`.
    Raises InputError if nothing of the vocabulary is left, or if it lacks an allowed word.
    """
    begin = len(prompt_ids)
    limits: list[Transform] = []
    if config.min_tokens:
        # The token that ends a document is itself written after these.
        limits.append(Forbid([tokenizer.end], until=begin + config.min_tokens))
    if config.forbid or config.allow:
        pieces = Pieces(tokenizer)
        if config.forbid:
            limits.append(ForbidWords(config.forbid, pieces))
        if config.allow:
            allow = AllowWords(
                config.allow, pieces, end=tokenizer.end, prompt=prompt, begun=begun, begin=begin
            )
            allow.check()
            limits.append(allow)
    never = Forbid(_never_written(tokenizer, config))
    return Choice(never, limits, [*_penalties(config, begin), *_shapes(config)])


def _never_written(tokenizer: Tokenizer, config: GenerateConfig) -> list[int]:
    never = {*tokenizer.labels.values(), *tokenizer.blanks}
    if tokenizer.unknown is not None:
        never.add(tokenizer.unknown)
    if config.ignore_end:
        never.add(tokenizer.end)
    if len(never) == tokenizer.vocabulary_size:
        raise InputError("nothing_to_write")
    return sorted(never)


def _penalties(config: GenerateConfig, begin: int) -> list[Transform]:
    found: list[Transform] = []
    if config.repetition_penalty != 1:
        found.append(RepetitionPenalty(config.repetition_penalty))
    if config.presence_penalty:
        found.append(PresencePenalty(config.presence_penalty, begin))
    return found


def _shapes(config: GenerateConfig) -> list[Transform]:
    if config.beams is not None:  # a search compares probabilities as they are
        return []
    found: list[Transform] = [Temperature(config.temperature)]
    if config.top_k is not None:
        found.append(TopK(config.top_k))
    if config.top_p is not None:
        found.append(TopP(config.top_p))
    if config.min_p is not None:
        found.append(MinP(config.min_p))
    if config.typical is not None:
        found.append(Typical(config.typical))
    return found
