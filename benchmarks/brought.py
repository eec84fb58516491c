"""A brought model's score: memlm beside a plain transformers loop that reads the same windows.

    python benchmarks/brought.py TEXT [--layers 4 --width 256 --context 256] [--characters N]

A GPT-2 with random weights and a byte-level BPE of 2,000 symbols is made; what it predicts does
not matter here. The loop is the one that is commonly written: a window of W after another, half a
window forward each time, and of each the logits of what was not yet scored. Both read the same
tokens after the same beginning, in turn, several times. One JSON line: the losses, and the ratio of
the medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import memlm


def make_model(folder: Path, text: str, layers: int, width: int, context: int) -> None:
    """Save a GPT-2 that has learned nothing, and a tokenizer of the text."""
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    tokenizer = ByteLevelBPETokenizer()
    special = ["<|endoftext|>"]
    tokenizer.train_from_iterator(
        [text], vocab_size=2000, special_tokens=special, show_progress=False
    )
    shape = {"n_positions": context, "n_embd": width, "n_layer": layers, "n_head": width // 64}
    config = GPT2Config(vocab_size=2000, bos_token_id=0, eos_token_id=0, **shape)
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))


class PlainLoop:
    """The loss per character as a script around transformers finds it."""

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer
        from transformers import AutoModelForCausalLM

        self.model = AutoModelForCausalLM.from_pretrained(folder).eval()
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def score(self, text: str) -> float:
        import torch

        context = self.model.config.n_positions
        ids = torch.tensor([[0, *self.tokenizer.encode(text).ids]])
        nats, scored, last = 0.0, 0, ids.shape[1] - 1
        with torch.inference_mode():
            for start in range(0, last, context // 2):
                stop = min(start + context, last)
                logits = self.model(ids[:, start:stop]).logits[0, scored - start :]
                targets = ids[0, scored + 1 : stop + 1, None]
                nats -= float(logits.log_softmax(-1).gather(1, targets).sum())
                scored = stop
                if scored == last:
                    break
        return nats / len(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", type=Path)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--characters", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    import torch

    torch.set_num_threads(chosen.threads)
    text = chosen.text.read_text(encoding="utf-8")[: chosen.characters]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "text.txt").write_text(text[:1000], encoding="utf-8")
        make_model(place / "gpt2", text, chosen.layers, chosen.width, chosen.context)
        memlm.collect_documents(place / "ws", place / "text.txt")
        model = memlm.load_model(place / "ws", str(place / "gpt2"))
        loop = PlainLoop(place / "gpt2")
        ways = {
            "memlm": lambda: memlm.score_text(model, text, memories=()).nats_per_character,
            "loop": lambda: loop.score(text),
        }
        load, losses = os.getloadavg()[0], {}
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(chosen.repeat + 1):
            for name, score in ways.items():
                started = time.perf_counter()
                losses[name] = score()
                if turn:  # the first warms up
                    seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    figures = {
        "parameters": sum(weight.numel() for weight in loop.model.parameters()),
        "nats_per_character": {name: round(loss, 7) for name, loss in losses.items()},
        "difference": abs(losses["memlm"] - losses["loop"]),
        "seconds": {name: round(median, 3) for name, median in medians.items()},
        "ratio": round(medians["loop"] / medians["memlm"], 3),
        "load_before": load,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
