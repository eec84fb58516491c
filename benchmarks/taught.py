"""Memory beside a model that was taught: half a book is learned, the other half is predicted.

    python benchmarks/taught.py BOOK.txt [--steps N] [--adapter lora]

A GPT-2 of 4 layers of 128 with random weights is made, with a tokenizer of its own (byte-level BPE
of 2,000 symbols of what is learned), and taught by `memlm train --from` on the first half but its
last fifth, which is held out, until the loss on that has not fallen for three validations. The
second half, which neither the model nor its memory has seen, is scored with and without memory.
One JSON line a memory.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import memlm
from memlm.train import TrainConfig


def make_model(folder: Path, text: str) -> None:
    """Save a GPT-2 that has learned nothing, and its tokenizer."""
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    tokenizer = ByteLevelBPETokenizer()
    special = ["<|endoftext|>"]
    tokenizer.train_from_iterator(
        [text], vocab_size=2000, special_tokens=special, show_progress=False
    )
    shape = {"n_positions": 256, "n_embd": 128, "n_layer": 4, "n_head": 4}
    config = GPT2Config(vocab_size=2000, bos_token_id=0, eos_token_id=0, **shape)
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("book", type=Path)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--adapter", choices=["none", "lora"], default="none")
    parser.add_argument("--threads", type=int)
    chosen = parser.parse_args()
    text = chosen.book.read_text(encoding="utf-8")
    half = len(text) // 2
    third = half * 4 // 5
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "learned.txt").write_text(text[:third], encoding="utf-8")
        (place / "held-out.txt").write_text(text[third:half], encoding="utf-8")
        make_model(place / "gpt2", text[:third])
        config = TrainConfig(
            steps=chosen.steps,
            patience=3,
            learning_rate=1e-3,
            adapter=chosen.adapter,
            threads=chosen.threads,
        )
        report = memlm.train_model(
            place / "ws",
            place / "learned.txt",
            held_out=[place / "held-out.txt"],
            begin_with=str(place / "gpt2"),
            config=config,
        )
        model = memlm.load_model(place / "ws", report.model)
        off = None
        for memories in ((), ("counts",), ("counts", "cache")):
            found = memlm.score_text(model, text[half:], memories=memories)
            off = off or found.perplexity_per_token
            print(
                json.dumps(
                    {
                        "memory": "+".join(memories) or "off",
                        "steps": report.steps,
                        "best_step": report.best_step,
                        "perplexity_per_token": round(found.perplexity_per_token, 2),
                        "lower": round(1 - found.perplexity_per_token / off, 4),
                        "nats_per_character": round(found.nats_per_character, 4),
                        "low": round(found.low, 4),
                        "high": round(found.high, 4),
                        "tokens": found.tokens,
                    }
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
