"""How fast and how well small models learn, beside a peer in the same run.

    python benchmarks/learning.py [quick] [peer-time] [transformer] [--repeat N] [--data FOLDER]

The peer is nanoGPT's recipe for a laptop (`peer_gpt.py`), trained once in a process of its own; its
seconds are those of its steps alone. Ours are the seconds of the whole training, validation
included. All learn the first 90 % of tinyshakespeare and are scored on the last 10 %, frozen: ours
in a long context, the peer as its authors do and with half of its context always there.

    quick        how long we take to the peer's loss, a fixed small recipe, seeds 0, 1, ...
    peer-time    what we reach in the peer's own time, defaults only
    transformer  the same time for a transformer
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import memlm

# Many updates of short stretches first, see LOG.md; one thread is as fast as two there.
QUICK = {
    "steps": 380, "hidden_width": 192, "phases": "0.5:16x12,0.25:16x24,0.25:16x48",
    "learning_rate": 0.014, "threads": 1, "checkpoint_every": 1000,
}  # fmt: skip


def run_peer(data: Path) -> dict[str, float]:
    """Train the peer and return what it prints."""
    program = Path(__file__).with_name("peer_gpt.py")
    done = subprocess.run(
        [sys.executable, program, "--data", data], capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def run_ours(data: Path, config: memlm.TrainConfig) -> dict[str, object]:
    """Train one of ours and score the end of the text once."""
    text = (data / "tinyshakespeare" / "input.txt").read_text(encoding="utf-8")
    cut = len(text) * 9 // 10
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "first.txt"
        source.write_text(text[:cut], encoding="utf-8")
        memlm.collect_documents(Path(folder) / "ws", source)
        memlm.prepare_documents(Path(folder) / "ws")
        report = memlm.train_model(Path(folder) / "ws", config=config)
        score = memlm.score_text(memlm.load_model(Path(folder) / "ws"), text[cut:])
    return {
        "network": report.network,
        "parameters": report.parameters,
        "steps": report.steps,
        "seconds": report.seconds,
        "nats_per_character": round(score.nats_per_character, 4),
        "interval": [round(score.low, 4), round(score.high, 4)],
    }


def main() -> None:
    """Run the peer once, then the jobs named, each as often as wished."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    jobs = ("quick", "peer-time", "transformer")
    parser.add_argument("jobs", nargs="*", choices=[*jobs, []], default=[])
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=beside)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    print(json.dumps({"load_before": os.getloadavg()[0]}), flush=True)
    peer = run_peer(options.data)
    print(json.dumps(peer), flush=True)
    minutes = peer["seconds"] / 60
    for job in options.jobs or jobs:
        for seed in range(options.repeat):
            config = {
                "quick": lambda seed=seed: memlm.TrainConfig(seed=seed, **QUICK),
                "peer-time": lambda seed=seed: memlm.TrainConfig(seed=seed, minutes=minutes),
                "transformer": lambda seed=seed: memlm.TrainConfig(
                    seed=seed, minutes=minutes, network="transformer", layers=3, hidden_width=192
                ),
            }[job]()
            load = os.getloadavg()[0]
            found = run_ours(options.data, config)
            share = peer["seconds"] / float(str(found["seconds"]))
            line = {"job": job, "seed": seed, "load_before": load, "peer_seconds_over_ours": share}
            print(json.dumps(line | found), flush=True)


if __name__ == "__main__":
    main()
