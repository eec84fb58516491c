"""Read ahead: what writes is given guesses by the memory of its documents, where that pays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memlm.language_model import LanguageModel
from memlm.models.stepping import SteppingModel
from memlm.predict.blend import WEIGHTS, BlendedModel
from memlm.workflow.blending import memory_of
from memlm.workflow.listener import Listener
from memlm.workflow.models import Model
from memlm.workflow.own_tokens import is_remembered_as_it_reads

if TYPE_CHECKING:
    from memlm.generate import GenerateConfig
    from memlm.generate.dice import Dice

_FEWEST_TOKENS = 64
"""A shorter text is written before a memory is open."""
_FEWEST_PARAMETERS = 4_000_000
"""Of less a block costs about as much as its tokens one by one (benchmarks/LOG.md)."""


def reading_ahead(
    predictor: LanguageModel, model: Model, config: GenerateConfig, dice: Dice, listener: Listener
) -> LanguageModel:
    """Return what predicts for `model`, its network reading ahead by the dice that draw the text.

    The same predictor where that is not wished or would not be faster: recurrence, several texts at
    once, a search. By default only large networks read ahead, and only what a memory guesses that
    is there and in step with the documents.
    """
    from memlm.generate.reading_ahead import ReadingAhead

    network = model.predictor
    if config.read_ahead == "off" or config.beams is not None or config.samples > 1:
        return predictor
    if not isinstance(network, SteppingModel) or not network.can_rewind:
        return predictor
    if config.read_ahead == "auto":
        is_small = network.config.num_parameters < _FEWEST_PARAMETERS
        if config.tokens < _FEWEST_TOKENS or is_small or network.precision != "float32":
            return predictor
        if not network.will_have_loops(config.tokens) or not is_remembered_as_it_reads(model):
            return predictor
    memory = memory_of(model, listener).model()
    ahead = ReadingAhead(network, memory, dice, temperature=config.temperature)
    if isinstance(predictor, BlendedModel):
        return predictor.with_expert(WEIGHTS, ahead)
    return ahead
