"""A stack of transformer blocks in the layout of Qwen3, which many programs load as it is.

Ours is Qwen3's block with as many heads for keys as for queries. What Qwen3 has no place for, and
`qwen3_lacks` finds: labels, an adaptive softmax, a bias of the output, blocks of another kind, of
several widths, heads or windows. The matrix that brings vectors of tokens to the width of the
blocks becomes part of the embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from memlm.models.config import LONGEST_PAST, NetworkConfig

Weights = Mapping[str, npt.NDArray[np.float32]]
_NORM_EPSILON, _ROTARY_BASE = 1e-6, 10_000.0
_BLOCK = {
    "attend.attention_norm.weight": "input_layernorm.weight",
    "attend.attention.query.weight": "self_attn.q_proj.weight",
    "attend.attention.key.weight": "self_attn.k_proj.weight",
    "attend.attention.value.weight": "self_attn.v_proj.weight",
    "attend.attention.output.weight": "self_attn.o_proj.weight",
    "attend.attention.query_norm.weight": "self_attn.q_norm.weight",
    "attend.attention.key_norm.weight": "self_attn.k_norm.weight",
    "feed_forward_norm.weight": "post_attention_layernorm.weight",
    "gate.weight": "mlp.gate_proj.weight",
    "up.weight": "mlp.up_proj.weight",
    "down.weight": "mlp.down_proj.weight",
}


def qwen3_lacks(config: NetworkConfig) -> str | None:
    """Return what of a network Qwen3 has no place for: a word of `lacks.` in messages, or None."""
    shapes = {(block.kind, block.width, block.heads, block.window) for block in config.blocks}
    lacking = {
        "blocks": any(block.kind != "transformer" for block in config.blocks),
        "labels": bool(config.label_tokens),
        "clusters": bool(config.cutoffs),
        "bias": config.has_output_bias,
        "shapes": len(shapes) > 1,
    }
    return next((name for name, is_lacking in lacking.items() if is_lacking), None)


def qwen3_config(config: NetworkConfig) -> dict[str, Any]:  # Any: JSON values
    """Return the `config.json` of a network that Qwen3 has a place for."""
    block, layers = config.blocks[0], len(config.blocks)
    window = block.window or LONGEST_PAST
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "dtype": "float32",
        "vocab_size": config.vocabulary_size,
        "hidden_size": block.width,
        "intermediate_size": block.feed_forward_width,
        "num_hidden_layers": layers,
        "num_attention_heads": block.heads,
        "num_key_value_heads": block.heads,
        "head_dim": block.width // block.heads,
        "hidden_act": "silu",
        "rms_norm_eps": _NORM_EPSILON,
        # Longer texts are read too, each position seeing the window before it.
        "max_position_embeddings": max(window, LONGEST_PAST),
        "rope_parameters": {"rope_type": "default", "rope_theta": _ROTARY_BASE},
        "rope_theta": _ROTARY_BASE,
        "use_sliding_window": True,
        "sliding_window": window,
        "max_window_layers": 0,
        "layer_types": ["sliding_attention"] * layers,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "tie_word_embeddings": config.is_tied,
        "use_cache": True,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 0,
    }


def qwen3_weights(config: NetworkConfig, weights: Weights) -> dict[str, npt.NDArray[np.float32]]:
    """Return the weights of the same network under Qwen3's names."""
    embedding = weights["embed.weight"]
    if config.has_entrance:
        entered = embedding.astype(np.float64) @ weights["enter.weight"].T.astype(np.float64)
        embedding = entered.astype(np.float32)
    found = {
        "model.embed_tokens.weight": embedding,
        "model.norm.weight": weights["last_norm.weight"],
    }
    if not config.is_tied:
        found["lm_head.weight"] = weights["output.weight"]
    for number in range(len(config.blocks)):
        for ours, theirs in _BLOCK.items():
            found[f"model.layers.{number}.{theirs}"] = weights[f"blocks.{number}.{ours}"]
    return found


def qwen3_name(name: str) -> str:
    """Return what Qwen3 calls a weight of a block of ours.

    >>> qwen3_name("blocks.2.up.weight")
    'model.layers.2.mlp.up_proj.weight'
    """
    _, number, inside = name.split(".", 2)
    return f"model.layers.{number}.{_BLOCK[inside]}"
