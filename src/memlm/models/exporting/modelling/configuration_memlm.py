"""The configuration of a network that memlm trained: a stack of recurrent and attending blocks."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedConfig


class MemlmConfig(PreTrainedConfig):
    """What `config.json` says; `network` is the description that memlm itself reads."""

    model_type = "memlm"

    def __init__(
        self,
        network: dict[str, Any] | None = None,  # Any: JSON values
        vocab_size: int | None = None,
        longest_past: int = 1024,
        max_position_embeddings: int = 1024,
        use_cache: bool = True,
        **more: Any,  # Any: what every configuration accepts
    ) -> None:
        self.network = network or _SMALLEST
        self.vocab_size = vocab_size or self.network["vocabulary_size"]
        self.hidden_size = self.network["blocks"][-1]["width"]
        self.num_hidden_layers = len(self.network["blocks"])
        self.longest_past = longest_past
        self.max_position_embeddings = max_position_embeddings
        self.use_cache = use_cache
        more["tie_word_embeddings"] = self.network["is_tied"]
        super().__init__(**{"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0} | more)


# What stands for a network where transformers asks for a configuration of nothing in particular.
_SMALLEST: dict[str, Any] = {  # Any: JSON values
    "vocabulary_size": 2,
    "embedding_width": 1,
    "blocks": [{"kind": "gru", "width": 1, "heads": 0, "window": 0, "is_residual": False}],
    "is_tied": False,
    "cutoffs": [],
    "label_tokens": [],
    "has_output_bias": True,
}
