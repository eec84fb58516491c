"""Teach a model further: all of its weights, or a small adapter beside them that PEFT loads.

A tiny GPT-2 is made here, so that nothing is fetched; a folder of yours does in its place.

python examples/teach.py my-workspace [folder-of-a-model]
"""

import sys
from pathlib import Path

from bring import make_model

import memlm

TEXTS = Path(memlm.__file__).parent / "demo_text" / "time-machine"

workspace, *given = sys.argv[1:]
folder = Path(given[0] if given else f"{workspace}-model")
if not given:
    make_model(folder, next(TEXTS.glob("*.txt")).read_text(encoding="utf-8"))

chapters = sorted(TEXTS.glob("*.txt"))
text = chapters[0].read_text(encoding="utf-8")[:4000]
memlm.collect_documents(workspace, *chapters[1:])
before = memlm.score_text(memlm.load_model(workspace, str(folder)), text, memories=())
print(f"as it was brought: {before.nats_per_character:.3f} nats per character")
for adapter in ("none", "lora"):
    config = memlm.TrainConfig(steps=60, adapter=adapter, learning_rate=3e-3)
    report = memlm.train_model(workspace, begin_with=str(folder), config=config)
    taught = memlm.load_model(workspace, report.model)
    for name, memories in (("weights alone", ()), ("with memory", None)):
        found = memlm.score_text(taught, text, memories=memories)
        print(f"{report.model}, {name}: {found.nats_per_character:.3f} nats per character")
