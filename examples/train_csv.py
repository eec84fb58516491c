"""The article's own project in ten lines: learn from text,label, write for a label, predict labels.

python examples/train_csv.py my-workspace train.csv test.csv
"""

import sys

import memlm

workspace, train_csv, test_csv = sys.argv[1:]
memlm.collect_documents(workspace, train_csv)
memlm.prepare_documents(
    workspace, config=memlm.PrepareConfig(tokenizer="word", vocabulary_size=10_000)
)
shape = {"embedding_width": 100, "hidden_width": 256, "layers": 2, "dropout": 0.5}
memlm.train_model(
    workspace, config=memlm.TrainConfig(**shape, batch_size=64, epochs=10, weight_decay=0.0)
)
model = memlm.load_model(workspace)
for label in model.label_counts:
    written = memlm.generate_text(model, config=memlm.GenerateConfig(label=label, tokens=40))
    print(label, "->", written[0].text)
print(memlm.evaluate_task(model, test_csv)["accuracy"])
