"""How fast and how well small models learn, beside a peer in the same run.

    python benchmarks/learning.py [quick] [peer-time] [transformer] [--text NAME] [--adapt]
        [--repeat N] [--threads N] [--data FOLDER]
    python benchmarks/learning.py minutes --minutes M ...

The peer is nanoGPT's recipe for a laptop (`peer_gpt.py`), trained once in a process of its own; its
seconds are those of its steps alone. Ours are the seconds of the whole training, validation
included. All learn the first 90 % of tinyshakespeare, War and Peace (`en`) or 红楼梦 (`zh`), by
characters, and are scored on the last 10 %, frozen: ours in a long context, the peer as its authors
do and with half of its context always there. With `--adapt` ours is scored learning as it reads,
too.

    quick        how long we take to the peer's loss, a fixed small recipe, seeds 0, 1, ...
    peer-time    what we reach in the peer's own time, defaults only
    transformer  the same time for a transformer, defaults otherwise
    minutes      what we reach in that many minutes, `--network` as told; no peer
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from texts import data_beside_checkout, read_text

import memlm

# Many updates of short stretches first, see LOG.md; one thread is as fast as two for few symbols.
_FEW_SYMBOLS = memlm.TrainConfig(
    network="lstm", steps=380, hidden_width=192, phases="0.5:16x12,0.25:16x24,0.25:16x48",
    learning_rate=0.014, threads=1, checkpoint_every=10_000,
)  # fmt: skip
QUICK = {
    "shakespeare": _FEW_SYMBOLS,
    "en": replace(_FEW_SYMBOLS, steps=600, learning_rate=0.012),
    "zh": replace(
        _FEW_SYMBOLS, steps=1000, hidden_width=256, phases="0.5:16x16,0.25:16x32,0.25:16x64",
        learning_rate=0.009, threads=None,
    ),
}  # fmt: skip


JOBS = ("quick", "peer-time", "transformer")


def run_peer(text: str, data: Path) -> dict[str, float]:
    """Train the peer and return what it prints."""
    program = Path(__file__).with_name("peer_gpt.py")
    done = subprocess.run(
        [sys.executable, program, "--text", text, "--data", data],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def run_ours(text: str, config: memlm.TrainConfig, *, is_adaptive: bool) -> dict[str, object]:
    """Train one of ours and score the end of the text once."""
    cut = len(text) * 9 // 10
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "first.txt"
        source.write_text(text[:cut], encoding="utf-8")
        memlm.collect_documents(Path(folder) / "ws", source)
        memlm.prepare_documents(Path(folder) / "ws")
        report = memlm.train_model(Path(folder) / "ws", config=config)
        model = memlm.load_model(Path(folder) / "ws")
        scores = {"frozen": memlm.score_text(model, text[cut:], memories=())}
        if is_adaptive:
            scores["adapted"] = memlm.score_text(model, text[cut:], adapt=True, memories=())
    return {
        "network": report.network,
        "parameters": report.parameters,
        "steps": report.steps,
        "seconds": report.seconds,
        **{
            name: {
                "nats_per_character": round(score.nats_per_character, 4),
                "interval": [round(score.low, 4), round(score.high, 4)],
            }
            for name, score in scores.items()
        },
    }


def configs(
    job: str, options: argparse.Namespace, peer_minutes: float
) -> Iterator[memlm.TrainConfig]:
    """Yield what `job` trains, a seed each."""
    minutes = options.minutes if job == "minutes" else peer_minutes
    for seed in range(options.seed, options.seed + options.repeat):
        config = memlm.TrainConfig(
            seed=seed, minutes=minutes, threads=options.threads, network=options.network
        )
        if job == "quick":
            yield replace(QUICK[options.text], seed=seed)
        elif job == "transformer":
            yield replace(config, network="transformer")
        else:
            yield config


def main() -> None:
    """Run the peer once where it is needed, then the jobs named, each as often as wished."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    # An empty list is what argparse checks where no job is named.
    parser.add_argument("jobs", nargs="*", choices=[*JOBS, "minutes", []], default=[])
    parser.add_argument("--text", choices=list(QUICK), default="shakespeare")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--network", default="auto")
    parser.add_argument("--threads", type=int, help="of ours, but for quick, which has one")
    parser.add_argument("--adapt", action="store_true")
    parser.add_argument("--data", type=Path, default=data_beside_checkout())
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0, help="the first of the seeds")
    options = parser.parse_args()
    text = read_text(options.text, options.data)
    peer_seconds = 0.0
    if set(options.jobs or JOBS) != {"minutes"}:
        peer = run_peer(options.text, options.data)
        print(json.dumps(peer), flush=True)
        peer_seconds = peer["seconds"]
    for job in options.jobs or JOBS:
        for config in configs(job, options, peer_seconds / 60):
            line = {"job": job, "text": options.text, "seed": config.seed}
            line["load_before"] = os.getloadavg()[0]
            found = run_ours(text, config, is_adaptive=options.adapt)
            if peer_seconds:
                line["peer_seconds_over_ours"] = peer_seconds / float(str(found["seconds"]))
            print(json.dumps(line | found), flush=True)


if __name__ == "__main__":
    main()
