"""There and back: our networks, exported, and scored by memlm, by memlm as strangers, by lm-eval.

    python benchmarks/taken_away.py TEXT [--steps 200] [--lm-eval PYTHON]

An LSTM, a GRU and a transformer are trained on the text but its end, exported with `--to
huggingface`, and brought back with `--model FOLDER`. The end of the text, which none has seen, is
scored, and a text is written with the same seed by both. `--lm-eval` names a Python that has
lm-eval, torch and transformers; it scores the same folder with a task of one text. One JSON line a
network.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import memlm
from memlm.train import TrainConfig

_TASK = """
task: one_text
dataset_path: json
dataset_kwargs: {{data_files: {{test: {text}}}}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
metric_list: [{{metric: bits_per_byte}}]
"""


def by_lm_eval(python: str, model: Path, text: str, place: Path) -> float:
    """Return the bits per byte that lm-eval finds for a text."""
    place.mkdir()
    (place / "text.json").write_text(json.dumps({"text": text}) + "\n", encoding="utf-8")
    (place / "one_text.yaml").write_text(_TASK.format(text=place / "text.json"), encoding="utf-8")
    arguments = f"pretrained={model},trust_remote_code=True,add_bos_token=False,max_length=8192"
    command = [python, "-m", "lm_eval", "--model", "hf", "--model_args", arguments, "--tasks"]
    command += ["one_text", "--include_path", str(place), "--device", "cpu", "--batch_size", "1"]
    done = subprocess.run(
        [*command, "--output_path", str(place / "out")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(next((place / "out").rglob("results_*.json")).read_text(encoding="utf-8"))
    return float(found["results"]["one_text"]["bits_per_byte,none"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", type=Path)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--characters", type=int, default=3000)
    parser.add_argument("--lm-eval", metavar="PYTHON")
    chosen = parser.parse_args()
    text = chosen.text.read_text(encoding="utf-8")
    learned, unseen = text[: -chosen.characters], text[-chosen.characters :]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "learned.txt").write_text(learned, encoding="utf-8")
        for network in ("lstm", "gru", "transformer"):
            config = TrainConfig(network=network, steps=chosen.steps)
            report = memlm.train_model(place / "ws", place / "learned.txt", config=config)
            taken = place / f"taken-{network}"
            memlm.export_model(place / "ws", taken, model=report.model)
            ours = memlm.load_model(place / "ws", report.model)
            back = memlm.load_model(place / "ws", str(taken))
            scores = [memlm.score_text(model, unseen, memories=()) for model in (ours, back)]
            asked = memlm.GenerateConfig(tokens=300, seed=1)
            written = [
                memlm.generate_text(model, unseen[:20], config=asked, memories=())[0].text
                for model in (ours, back)
            ]
            figures: dict[str, object] = {
                "network": network,
                "nats_per_character": [round(score.nats_per_character, 7) for score in scores],
                "bits_per_byte": [round(score.bits_per_byte, 8) for score in scores],
                "same_text_written": written[0] == written[1],
            }
            if chosen.lm_eval:
                found = by_lm_eval(chosen.lm_eval, taken, unseen, place / f"eval-{network}")
                figures["lm_eval_bits_per_byte"] = round(found, 8)
            print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
