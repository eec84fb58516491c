"""The peer: nanoGPT's recipe for a laptop's CPU, as plain PyTorch. Run: this file.

    python benchmarks/peer_gpt.py [--steps N] [--threads N] [--score test|held-out]
        [--text NAME] [--data FOLDER]

Four layers, four heads, width 128, context 64, batches of 12, 2000 steps, AdamW from 1e-3 to 1e-4,
no dropout (README of karpathy/nanoGPT, "I only have a macbook"). It learns the first 90 % of
tinyshakespeare, War and Peace (`en`) or 红楼梦 (`zh`), by characters, and is scored on the last
10 %; with `--score held-out` it learns nine tenths of that first part and is scored on the rest of
it. One JSON line: nats a character and seconds.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from texts import data_beside_checkout, read_text
from torch import Tensor, nn
from torch.nn import functional

_SEED = 1337


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """nanoGPT's CPU recipe for characters."""

    layers: int = 4
    heads: int = 4
    width: int = 128
    context: int = 64
    batch_size: int = 12
    steps: int = 2000
    warmup_steps: int = 100
    learning_rate: float = 1e-3
    last_learning_rate: float = 1e-4
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.99)
    clip: float = 1.0


class Block(nn.Module):
    """Causal self-attention and a perceptron four times as wide, each behind a layer norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width, bias=False)
        self.queries_keys_values = nn.Linear(width, 3 * width, bias=False)
        self.mix = nn.Linear(width, width, bias=False)
        self.perceptron_norm = nn.LayerNorm(width, bias=False)
        self.widen = nn.Linear(width, 4 * width, bias=False)
        self.narrow = nn.Linear(4 * width, width, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return (B, T, D) for (B, T, D)."""
        batch, length, width = hidden.shape
        joined = self.queries_keys_values(self.attention_norm(hidden))  # (B, T, 3 D)
        query, key, value = (
            part.view(batch, length, self.heads, -1).transpose(1, 2)  # (B, H, T, D / H)
            for part in joined.split(width, dim=2)
        )
        seen = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        hidden = hidden + self.mix(seen.transpose(1, 2).reshape(batch, length, width))
        wide = functional.gelu(self.widen(self.perceptron_norm(hidden)))
        mixed: Tensor = hidden + self.narrow(wide)
        return mixed


class CharacterGPT(nn.Module):
    """A GPT-2 of characters, its embedding tied to its output."""

    def __init__(self, symbols: int, recipe: Recipe) -> None:
        super().__init__()
        self.embed = nn.Embedding(symbols, recipe.width)
        self.positions = nn.Embedding(recipe.context, recipe.width)
        self.blocks = nn.Sequential(
            *(Block(recipe.width, recipe.heads) for _ in range(recipe.layers))
        )
        self.norm = nn.LayerNorm(recipe.width, bias=False)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                ends_a_branch = name.endswith(("mix.weight", "narrow.weight"))
                scale = math.sqrt(2 * recipe.layers) if ends_a_branch else 1.0
                nn.init.normal_(weight, std=0.02 / scale)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits (B, T, V) for tokens (B, T)."""
        places = torch.arange(tokens.shape[1])
        hidden = self.blocks(self.embed(tokens) + self.positions(places))
        logits: Tensor = self.norm(hidden) @ self.embed.weight.T
        return logits


def train(text: Tensor, symbols: int, recipe: Recipe) -> CharacterGPT:
    """Learn random windows of the text."""
    generator = torch.Generator().manual_seed(_SEED)
    torch.manual_seed(_SEED)
    model = CharacterGPT(symbols, recipe)
    matrices: dict[str, Any] = {"params": [w for w in model.parameters() if w.dim() == 2]}
    norms: dict[str, Any] = {"params": [w for w in model.parameters() if w.dim() == 1]}
    optimizer = torch.optim.AdamW(
        [matrices | {"weight_decay": recipe.weight_decay}, norms | {"weight_decay": 0.0}],
        lr=recipe.learning_rate,
        betas=recipe.betas,
    )
    offsets = torch.arange(recipe.context + 1)
    for step in range(recipe.steps):
        for group in optimizer.param_groups:
            group["lr"] = _learning_rate(step, recipe)
        last = len(text) - recipe.context
        starts = torch.randint(last, (recipe.batch_size, 1), generator=generator)
        windows = text[starts + offsets]  # (B, T + 1)
        loss = _nats(model, windows).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
    return model


def _learning_rate(step: int, recipe: Recipe) -> float:
    if step < recipe.warmup_steps:
        return recipe.learning_rate * (step + 1) / (recipe.warmup_steps + 1)
    share = (step - recipe.warmup_steps) / (recipe.steps - recipe.warmup_steps)
    height = (1 + math.cos(math.pi * share)) / 2
    return recipe.last_learning_rate + height * (recipe.learning_rate - recipe.last_learning_rate)


def _nats(model: CharacterGPT, windows: Tensor) -> Tensor:
    logits: Tensor = model(windows[:, :-1])  # (B, T, V)
    targets = windows[:, 1:].flatten()
    nats = functional.cross_entropy(logits.flatten(0, 1), targets, reduction="none")
    return nats.view(len(windows), -1)


@torch.no_grad()
def score(model: CharacterGPT, text: Tensor, context: int, *, fresh: int) -> float:
    """Return nats a character, each window adding `fresh` characters after the context before."""
    model.eval()
    starts = torch.arange(0, len(text) - context - 1, fresh)
    windows = text[starts[:, None] + torch.arange(context + 1)]  # (B, T + 1)
    nats = [_nats(model, part)[:, -fresh:] for part in torch.split(windows, 256)]
    return float(torch.cat(nats).mean())


def main() -> None:
    """Train once and print one line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, default=data_beside_checkout())
    parser.add_argument("--text", choices=["shakespeare", "en", "zh"], default="shakespeare")
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--score", choices=["test", "held-out"], default="test")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    text = read_text(options.text, options.data)
    codes = {symbol: code for code, symbol in enumerate(sorted(set(text)))}
    tokens = torch.tensor([codes[symbol] for symbol in text])
    if options.score == "held-out":
        tokens = tokens[: len(tokens) * 9 // 10]
    cut = len(tokens) * 9 // 10
    recipe = Recipe(steps=options.steps)
    started, started_cpu = time.perf_counter(), time.process_time()
    model = train(tokens[:cut], len(codes), recipe)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - started_cpu
    line = {
        "peer": "nanoGPT, CPU recipe",
        "text": options.text,
        "scored": options.score,
        "steps": recipe.steps,
        "characters": recipe.steps * recipe.batch_size * recipe.context,
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu_seconds, 2),
        "threads": options.threads,
        # As nanoGPT's own estimate: each window predicts from its own beginning on.
        "nats_per_character": score(model, tokens[cut:], recipe.context, fresh=recipe.context),
        # At least half of the context is always there.
        "nats_with_context": score(model, tokens[cut:], recipe.context, fresh=recipe.context // 2),
    }
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
