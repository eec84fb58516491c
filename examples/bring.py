"""Bring a model of the Hugging Face kind: score with it, blend it with a memory, trace its text.

A tiny GPT-2 is made here, on one chapter, so that nothing is fetched; any folder does in its place.

python examples/bring.py my-workspace [folder-of-a-model]
"""

import sys
from pathlib import Path

import memlm

TEXTS = Path(memlm.__file__).parent / "demo_text" / "alice"


def make_model(folder: Path, text: str, *, steps: int = 60) -> None:
    """Train a tiny GPT-2 and its tokenizer on a text, and save both as transformers does."""
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(
        [text], vocab_size=512, special_tokens=["<|endoftext|>"], show_progress=False
    )
    shape = {"n_positions": 64, "n_embd": 48, "n_layer": 2, "n_head": 2}
    config = GPT2Config(vocab_size=512, bos_token_id=0, eos_token_id=0, **shape)
    model = GPT2LMHeadModel(config).train()
    tokens = torch.tensor(tokenizer.encode(text).ids)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        starts = torch.randint(len(tokens) - 64, (8,))
        batch = torch.stack([tokens[start : start + 64] for start in starts])
        model(input_ids=batch, labels=batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))


def main(workspace: str, *given: str) -> None:
    chapters = sorted(TEXTS.glob("*.txt"))
    folder = Path(given[0] if given else f"{workspace}-model")
    if not given:
        make_model(folder, chapters[0].read_text(encoding="utf-8"))

    memlm.collect_documents(workspace, *chapters[1:6])
    model = memlm.load_model(workspace, str(folder))
    text = chapters[0].read_text(encoding="utf-8")[:2000]
    for name, memories in (("weights alone", ()), ("with memory", None)):
        found = memlm.score_text(model, text, memories=memories)
        print(f"{name}: {found.nats_per_character:.3f} nats per character ({found.protocol})")
    written = memlm.generate_text(
        model, "Alice ", config=memlm.GenerateConfig(tokens=40, seed=1), trace_in=workspace
    )[0]
    print(written.prompt + written.text)
    for span in written.trace.spans[:5]:
        print(f"{span.kind}: {span.text!r} in {span.sources[0].source if span.sources else '—'}")


if __name__ == "__main__":
    main(*sys.argv[1:])
