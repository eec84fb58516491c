"""Tiny models of the Hugging Face kind, made here: random weights, tokenizers of a few words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

TEXT = (
    "Alice was beginning to get very tired of sitting by her sister on the bank. "
    "The lamp was lit, and nobody came; 夜里没有人来。\n"
) * 20
SHAPES: dict[str, dict[str, Any]] = {
    "gpt2": {"n_positions": 32, "n_embd": 16, "n_layer": 2, "n_head": 2},
    "plain": {"n_positions": 32, "n_embd": 16, "n_layer": 2, "n_head": 2},
    "llama": {
        "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 48,
    },
    "qwen3": {
        "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "head_dim": 8,
        "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 40,
    },
    "mamba": {"hidden_size": 16, "state_size": 4, "num_hidden_layers": 2},
}  # fmt: skip


def byte_level_tokenizer() -> Any:  # Any: of the library `tokenizers`
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    found = Tokenizer(models.BPE())
    found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    found.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    found.train_from_iterator([TEXT], trainer)
    return found


def piece_tokenizer() -> Any:  # Any: of the library `tokenizers`
    """Pieces behind `▁`, and bytes for whatever they lack, as Llama 2 has them."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers

    words = ["▁Alice", "▁was", "▁the", "▁lamp", "▁", "a", "e", "t", "h", "l", "i", "c", "s", "n"]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{value:02X}>" for value in range(256)), *words]
    letters = [("a", "t"), ("t", "h"), ("th", "e")]
    tokens += [first + second for first, second in letters]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    found = Tokenizer(
        models.BPE(vocabulary, letters, unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    )
    found.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    found.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    special = [AddedToken(name, special=True, normalized=False) for name in tokens[:3]]
    found.add_special_tokens(special)
    return found


def make_network(kind: str, vocabulary_size: int) -> Any:  # Any: transformers has no types here
    """Return a causal model with large random weights: what it says depends on what it read."""
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    ends = {
        "gpt2": {"bos_token_id": 0, "eos_token_id": 0},
        "plain": {"bos_token_id": None, "eos_token_id": None},
    }.get(kind, {"bos_token_id": 1, "eos_token_id": 2})
    name = "gpt2" if kind == "plain" else kind
    config = CONFIG_MAPPING[name](vocab_size=vocabulary_size, **SHAPES[kind], **ends)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for weights in network.parameters():
                if weights.dim() > 1:
                    weights.normal_(std=0.3)
    return network.eval()


def save_model(folder: Path, kind: str) -> None:
    """Save a tiny model and its tokenizer, as `save_pretrained` does."""
    from transformers.utils import logging

    tokenizer = byte_level_tokenizer() if kind in ("gpt2", "plain") else piece_tokenizer()
    logging.disable_progress_bar()
    try:
        make_network(kind, tokenizer.get_vocab_size() + 3).save_pretrained(folder)
    finally:
        logging.enable_progress_bar()
    tokenizer.save(str(folder / "tokenizer.json"))
