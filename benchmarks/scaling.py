"""How the loss falls with text, parameters and time: runs, fitted laws, and curves.

    python benchmarks/scaling.py run [--jobs N] [--work FOLDER] [--data FOLDER]
    python benchmarks/scaling.py fit

`run` trains what stands in `RUNS`, each on one thread, as many at once as there are `--jobs`, and
adds a line to `scaling.jsonl` for each; what has a line is not run again, and what was stopped goes
on from its checkpoint. `fit` fits the laws of `memlm.train.forecast` to these lines, writes them to
`src/memlm/train/laws.json`, and draws `scaling-en.svg` and `scaling-zh.svg`.

English is War and Peace, Chinese 红楼梦, by characters; a run learns the first megabytes of it
(10^6 bytes of UTF-8), and all are scored on the same last tenth. The books named in `OTHERS`
are not fitted: they show how far off a forecast is on text that the laws have not seen, and the
interval of a forecast is as wide as that, or as for runs left out of the fit one at a time.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from operator import itemgetter
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from texts import data_beside_checkout, read_text
from torch import Tensor
from torch.nn.functional import huber_loss

import memlm
from memlm.prepare import TokenStore
from memlm.train.forecast import Law, block_parameters, counted_nats
from memlm.train.plan import TrainPlan

LINES = Path(__file__).with_name("scaling.jsonl")
LAWS = Path(__file__).parents[1] / "src" / "memlm" / "train" / "laws.json"
Line = dict[str, Any]
"""A run that is done, as JSON."""
KINDS = {"en": "few_symbols", "zh": "many_symbols"}
OTHERS_OF = {"en": ("sherlock", "inaugural", "shakespeare"), "zh": ("xiyouji", "hotel")}
_ALL = 100.0  # megabytes: more than any of the texts has
_writing = Lock()


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training."""

    text: str
    megabytes: float
    network: str
    minutes: float = 1.0
    width: int | None = None
    """Hidden width; chosen by memlm if not given."""

    @property
    def name(self) -> str:
        """A name for its folder and its line."""
        width = f"-{self.width}" if self.width else ""
        return f"{self.text}-{self.megabytes:g}-{self.network}{width}-{self.minutes:g}"


_SIZES = (0.1, 0.3, 1.0, 3.0)
_LESS = (0.3, 3.0)
RUNS = (
    *(Run(text="en", megabytes=size, network="lstm") for size in _SIZES),
    *(Run(text="en", megabytes=size, network="transformer") for size in _SIZES),
    *(Run(text="en", megabytes=size, network="gru") for size in _LESS),
    *(Run(text="en", megabytes=size, network="lstm-attention") for size in _LESS),
    *(Run(text="en", megabytes=3.0, network="lstm", width=w, minutes=2) for w in (128, 768)),
    *(Run(text="en", megabytes=3.0, network="transformer", width=w, minutes=2) for w in (96, 256)),
    *(
        Run(text="en", megabytes=3.0, network=kind, minutes=minutes)
        for minutes in (3, 4, 10)
        for kind in ("lstm", "transformer")
    ),
    *(Run(text="zh", megabytes=size, network="lstm") for size in _SIZES),
    *(Run(text="zh", megabytes=size, network="transformer") for size in _LESS),
    *(Run(text="zh", megabytes=3.0, network=kind) for kind in ("gru", "lstm-attention")),
    Run(text="zh", megabytes=3.0, network="lstm", minutes=4),
)
OTHERS = (
    Run(text="sherlock", megabytes=_ALL, network="lstm"),
    Run(text="inaugural", megabytes=_ALL, network="lstm"),
    Run(text="shakespeare", megabytes=_ALL, network="transformer"),
    Run(text="xiyouji", megabytes=_ALL, network="lstm"),
    Run(text="hotel", megabytes=_ALL, network="lstm"),
)


def lay_out(run: Run, data: Path, folder: Path) -> tuple[Path, Path]:
    """Write what a run learns and what it is scored on as two files."""
    text = read_text(run.text, data)
    cut = len(text) * 9 // 10
    learned = text[:cut].encode()[: round(run.megabytes * 1e6)].decode(errors="ignore")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "learned.txt").write_text(learned, encoding="utf-8")
    (folder / "held-out.txt").write_text(text[cut:], encoding="utf-8")
    return folder / "learned.txt", folder / "held-out.txt"


def train(run: Run, data: Path, work: Path) -> Line:
    """Train, or go on training, and return the line of the run."""
    folder = work / run.name
    begun = folder / "ws" / "models" / "scaling" / "run.json"
    load = os.getloadavg()[0]
    report = _finished(begun) or _train(run, data, folder, is_begun=begun.exists())
    plan = TrainPlan.from_json(json.loads(begun.read_text(encoding="utf-8"))["plan"], path=begun)
    return asdict(run) | {
        "name": run.name,
        "load_before": load,
        "hidden_width": plan.network.hidden_width,
        "vocabulary_size": plan.network.vocabulary_size,
        "block_parameters": block_parameters(plan.network),
        "characters": len((folder / "learned.txt").read_text(encoding="utf-8")),
        "characters_read": plan.tokens_read(report["steps"]),
        "parameters": report["parameters"],
        "steps": report["steps"],
        "best_step": report["best_step"],
        "seconds": report["seconds"],
        "nats_per_character": report["held_out_nats_per_character"],
    }  # fmt: skip


def _finished(begun: Path) -> Line | None:
    """Return the report of a training that ended before its line was written."""
    found: Line = json.loads(begun.read_text(encoding="utf-8")) if begun.exists() else {}
    return found["results"] if found.get("status") == "finished" else None


def _train(run: Run, data: Path, folder: Path, *, is_begun: bool) -> Line:
    program = [sys.executable, "-m", "memlm", "train", str(folder / "ws")]
    if is_begun:
        program += ["--name", "scaling", "--resume"]
    else:
        shutil.rmtree(folder, ignore_errors=True)
        learned, held_out = lay_out(run, data, folder)
        program += [str(learned), "--held-out", str(held_out), "--tokenizer", "char"]
        program += ["--network", run.network, "--minutes", str(run.minutes), "--name", "scaling"]
        program += ["--hidden-width", str(run.width)] if run.width else []
    done = subprocess.run(
        [*program, "--threads", "1", "--json"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{run.name}: {done.stderr}")
    report: Line = json.loads(done.stdout)
    return report


def read_lines() -> Iterator[Line]:
    """Yield the runs that are done."""
    if LINES.exists():
        for line in LINES.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)


def run_all(data: Path, work: Path, jobs: int) -> None:
    """Train what has no line yet."""
    done = {line["name"] for line in read_lines()}

    def one(run: Run) -> None:
        line = train(run, data, work)
        with _writing, LINES.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)
        shutil.rmtree(work / run.name)

    # The longest first, so that the processors end together.
    left = sorted((run for run in (*RUNS, *OTHERS) if run.name not in done), key=_minutes)[::-1]
    with ThreadPoolExecutor(jobs) as workers:
        list(workers.map(one, left))


def _minutes(run: Run) -> float:
    return run.minutes


def fit_all(data: Path, work: Path) -> None:
    """Fit a law to each kind of text, say how well it holds, and write all of it down."""
    lines = list(read_lines())
    names = {run.name for run in RUNS}
    found: dict[str, object] = {}
    for text, kind in KINDS.items():
        fitted = [line for line in lines if line["text"] == text and line["name"] in names]
        for line in lines:
            if line in fitted or line["text"] in OTHERS_OF[text]:
                line["counted_nats"] = count(line, data, work)
        law = fit(fitted)
        tried = [line for line in fitted if _is_one_of_many(line, fitted)]
        without = [fit([other for other in fitted if other is not line], law) for line in tried]
        gaps = [
            math.log(predict(other, line) / line["nats_per_character"])
            for other, line in zip(without, tried, strict=True)
        ]
        unseen = [line for line in lines if line["text"] in OTHERS_OF[text]]
        far = [math.log(predict(law, line) / line["nats_per_character"]) for line in unseen]
        print(json.dumps({"kind": kind, "error_left_out": _size(gaps), "error_unseen": _size(far)}))
        law = replace(law, error=round(max(_size(gaps), _size(far)), 4))
        found[kind] = asdict(law)
        spread = jackknife(without)
        print(json.dumps({"kind": kind, "runs": len(fitted)} | asdict(law) | {"errors": spread}))
        for line in unseen:
            told, came = predict(law, line), line["nats_per_character"]
            print(json.dumps({"unseen": line["name"], "told": told, "came": came}))
        draw(text, fitted, law)
    cells = [
        {"kind": KINDS[line["text"]]}
        | {name: line[name] for name in ("characters", "minutes", "network")}
        | {"nats_per_character": round(line["nats_per_character"], 3)}
        for line in lines
        if line["name"] in names and line["width"] is None and _kept_its_time(line)
    ]
    LAWS.write_text(json.dumps({"laws": found, "runs": cells}, indent=1) + "\n", encoding="utf-8")


def _kept_its_time(line: Line) -> bool:
    """Say whether a run had about the minutes that it is compared by: the machine was shared."""
    return 2 / 3 < line["seconds"] / (60 * line["minutes"]) < 3 / 2


def _size(gaps: Sequence[float]) -> float:
    """Return the root mean square."""
    return math.sqrt(statistics.fmean(gap**2 for gap in gaps))


def count(line: Line, data: Path, work: Path) -> float:
    """Return what counts cost on what a run has learned, cut into tokens as for the run."""
    run = next(run for run in (*RUNS, *OTHERS) if run.name == line["name"])
    folder = work / f"{run.name}-counted"
    learned, held_out = lay_out(run, data, folder)
    memlm.collect_documents(folder / "ws", learned)
    config = memlm.PrepareConfig(tokenizer="char")
    memlm.prepare_documents(folder / "ws", config=config, held_out=[held_out])
    (tokens,) = (folder / "ws" / "prepared").glob("*/")
    nats = counted_nats(TokenStore(tokens), line["vocabulary_size"])
    shutil.rmtree(folder)
    return nats


def fit(lines: Sequence[Line], near: Law | None = None) -> Law:
    """Fit a law by least squares of the logarithm (Huber's, as Hoffmann et al. 2022).

    The search begins at `near`, or at several places.
    """
    networks = sorted({line["network"] for line in lines}, key=lambda name: (name != "lstm", name))
    numbers = {
        name: torch.tensor([float(line[name]) for line in lines], dtype=torch.float64)
        for name in ("block_parameters", "characters", "characters_read", "nats_per_character")
    }
    mean = near.counted_nats if near else statistics.fmean(line["counted_nats"] for line in lines)
    hardness = torch.tensor([line["counted_nats"] / mean for line in lines], dtype=torch.float64)
    which = torch.tensor([networks.index(line["network"]) for line in lines])
    sizes = numbers["block_parameters"] / 1e6
    reads = numbers["characters_read"] / 1e6
    texts = torch.minimum(numbers["characters"] / 1e6, reads)
    logs = numbers["nats_per_character"].log()

    def error(weights: Tensor) -> Tensor:
        floor, a, b, c, *powers = weights[:7].exp()
        scales = torch.cat([weights.new_zeros(1), weights[7:]]).exp()[which]
        falling = a * sizes ** -powers[0] + b * texts ** -powers[1] + c * reads ** -powers[2]
        told = (hardness * (floor + scales * falling)).log()
        # A weak pull towards powers of a third, where a dozen runs cannot tell.
        pull = (weights[4:7] - math.log(1 / 3)).square().sum()
        return 1e4 * huber_loss(told, logs, delta=0.05) + 0.5 * pull

    if near is None:
        lowest = min(float(line["nats_per_character"]) for line in lines)
        begins = [
            [floor * lowest, 0.1, 0.1, 0.3, power, power, power, *[1.0] * (len(networks) - 1)]
            for floor, power in itertools.product((0.3, 0.8), (0.2, 0.5))
        ]
    else:
        factors, powers = zip(near.size, near.text, near.reading, strict=True)
        begins = [[near.floor, *factors, *powers, *(near.networks[name] for name in networks[1:])]]
    found = [_minimum(error, torch.tensor(begin, dtype=torch.float64).log()) for begin in begins]
    _, best = min(found, key=itemgetter(0))
    floor, a, b, c, *powers = (round(float(value), 5) for value in best[:7].exp())
    scales = [1.0, *(round(float(value), 5) for value in best[7:].exp())]
    return Law(
        floor=floor,
        size=(a, powers[0]),
        text=(b, powers[1]),
        reading=(c, powers[2]),
        networks=dict(zip(networks, scales, strict=True)),
        counted_nats=round(mean, 5),
        error=0.0,
    )


def _minimum(error: Callable[[Tensor], Tensor], begin: Tensor) -> tuple[float, Tensor]:
    """Return the least value that a search from `begin` finds, and where."""
    weights = begin.clamp(min=-12.0).requires_grad_()
    search = torch.optim.LBFGS(
        [weights], max_iter=300, history_size=20, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        search.zero_grad()
        loss = error(weights)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    search.step(closure)  # type: ignore[arg-type]
    with torch.no_grad():
        return float(error(weights)), weights.detach()


def predict(law: Law, line: Line) -> float:
    """Return what a law tells of a run."""
    told = law.nats(
        line["network"],
        size=line["block_parameters"],
        text=line["characters"],
        reading=line["characters_read"],
    )
    return line["counted_nats"] / law.counted_nats * told


def jackknife(laws: Sequence[Law]) -> dict[str, float]:
    """Return the standard errors of a law's numbers, from fits that each lack one run."""
    values = {"floor": [law.floor for law in laws]}
    for name in ("size", "text", "reading"):
        for place, part in enumerate(("factor", "power")):
            values[f"{name}_{part}"] = [getattr(law, name)[place] for law in laws]
    count = len(laws)
    return {
        name: round(math.sqrt((count - 1) * statistics.pvariance(found)), 3)
        for name, found in values.items()
    }


def _is_one_of_many(line: Line, lines: Sequence[Line]) -> bool:
    """Say whether the kind of network is still there without this run."""
    return sum(other["network"] == line["network"] for other in lines) > 1


def draw(text: str, lines: Sequence[Line], law: Law) -> None:
    """Draw loss against text, parameters and time: points as measured, lines as fitted."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "memlm"  # the same runs, the same file
    from matplotlib import pyplot

    whole = max(line["megabytes"] for line in lines)
    panels: list[tuple[str, str, Callable[[Line], bool]]] = [
        ("megabytes", "MB of text, one core-minute", _is_by_text),
        ("block_parameters", "parameters between embedding and output, two core-minutes",
         lambda line: line["megabytes"] == whole and line["minutes"] == 2),
        ("minutes", "core-minutes, all of the text",
         lambda line: line["megabytes"] == whole and line["width"] is None),
    ]  # fmt: skip
    panels = [panel for panel in panels if any(panel[2](line) for line in lines)]
    size = (13 / 3 * len(panels), 4)
    figure, axes = pyplot.subplots(1, len(panels), figsize=size, sharey=True, layout="constrained")
    for panel, (name, label, belongs) in zip(axes, panels, strict=True):
        for number, network in enumerate(law.networks):
            chosen = [line for line in lines if line["network"] == network and belongs(line)]
            chosen.sort(key=itemgetter(name))
            places = [line[name] for line in chosen]
            colour = f"C{number}"
            panel.plot(places, [predict(law, line) for line in chosen], color=colour, lw=1)
            losses = [line["nats_per_character"] for line in chosen]
            panel.plot(places, losses, "o", color=colour, label=network)
        panel.set_xscale("log")
        if name != "block_parameters":
            shown = sorted({line[name] for line in lines if belongs(line)})
            panel.set_xticks(shown, [f"{place:g}" for place in shown])
            panel.minorticks_off()
        panel.set_xlabel(label)
        panel.grid(alpha=0.3)
    axes[0].set_ylabel("held-out nats per character")
    axes[0].legend()
    figure.savefig(LINES.with_name(f"scaling-{text}.svg"), metadata={"Date": None})
    pyplot.close(figure)


def _is_by_text(line: Line) -> bool:
    return line["minutes"] == 1 and line["width"] is None


def main() -> None:
    """Run, or fit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("job", choices=["run", "fit"])
    parser.add_argument("--data", type=Path, default=data_beside_checkout())
    parser.add_argument("--work", type=Path, default=Path("memlm-scaling"))
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    if options.job == "run":
        run_all(options.data, options.work, options.jobs)
    else:
        fit_all(options.data, options.work)


if __name__ == "__main__":
    main()
