"""Train a little on the text that comes with memlm, take the model away, write with transformers.

python examples/take_away.py my-workspace taken
"""

import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import memlm

workspace, folder = sys.argv[1:]
alice = Path(memlm.__file__).parent / "demo_text" / "alice"
memlm.collect_documents(workspace, *sorted(alice.glob("0[1-3]*.txt")))
memlm.prepare_documents(workspace, config=memlm.PrepareConfig(tokenizer="char"))
shape = {"embedding_width": 32, "hidden_width": 64, "sequence_length": 32}
memlm.train_model(workspace, config=memlm.TrainConfig(network="lstm", steps=60, **shape))
report = memlm.export_model(workspace, folder)
print(report.model, report.layout, f"{report.recited_share:.1%} recited")

memlm.register_transformers()  # an LSTM is none of the library's own networks
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder)
prompt = tokenizer(["Alice was ", "The "], padding=True, return_tensors="pt")
torch.manual_seed(0)
for written in model.generate(**prompt, max_new_tokens=60, do_sample=True, top_k=20):
    print("->", tokenizer.decode(written, skip_special_tokens=True))
