"""`memlm evaluate`: how good are a model's answers to a table whose answers are known?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from memlm.cli.console import ConsoleListener, print_json, say
from memlm.cli.options import (
    Answering,
    Collect,
    Common,
    CommonOptions,
    Memory,
    MemoryOptions,
    ModelOptions,
    Prepare,
    Train,
    Which,
)
from memlm.cli.tables import print_table
from memlm.collect import CollectConfig
from memlm.errors import NotFoundError
from memlm.generate.answer_config import AnswerConfig
from memlm.messages import render
from memlm.prepare import PrepareConfig
from memlm.records import TaskFindings
from memlm.train import TrainConfig
from memlm.workflow import check_memories, check_page_place, ensure_model, evaluate_task

_SHARES = ("accuracy", "recited_share")
_OF_A_HUNDRED = ("bleu", "chrf")


def evaluate(
    workspace: Path,
    file: Path,
    /,
    *,
    limit: int | None = None,
    answers: Path | None = None,
    which: Which = ModelOptions(),  # noqa: B008  # frozen
    remembering: Memory = MemoryOptions(),  # noqa: B008  # frozen
    reading: Collect = CollectConfig(),  # noqa: B008  # frozen
    answering: Answering = AnswerConfig(),  # noqa: B008  # frozen
    training: Train = TrainConfig(),  # noqa: B008  # frozen
    cutting: Prepare = PrepareConfig(),  # noqa: B008  # frozen
    common: Common = CommonOptions(),  # noqa: B008  # frozen
) -> int:
    training.check()
    cutting.check()
    answering.check()
    check_memories(remembering.kinds)
    check_page_place(answers)
    if not file.expanduser().exists():  # said before a model is trained
        raise NotFoundError("source_missing", path=file)
    with ConsoleListener() as listener:
        model = ensure_model(
            workspace, which.model, config=training, prepare=cutting, listener=listener
        )
        found = evaluate_task(
            model,
            file,
            config=reading,
            workspace=workspace,
            memories=remembering.kinds,
            answering=answering,
            limit=limit,
            answers=answers,
            listener=listener,
        )
    if common.json:
        own = {name: getattr(found, name) for name in ("model", "task", "baselines", "signatures")}
        findings = {name: asdict(finding) for name, finding in found.items()}
        print_json(findings | own | {"answers": found.answers})
        return 0
    _print_findings(found)
    if found.answers is not None:
        say("evaluate.answers", path=found.answers)
    return 0


def _print_findings(found: TaskFindings) -> None:
    """Print a sentence for each of the two figures of labels, else a row for each figure."""
    if found.task is None:
        for name, finding in found.items():
            say(f"evaluate.{name}", **asdict(finding))
        return
    n = max(finding.n for finding in found.values())
    say("evaluate.summary", model=found.model, task=render(f"evaluate.task.{found.task}"), n=n)
    titles = [render(f"evaluate.{name}") for name in ("measure", "value", "interval")]
    titles += [render(f"evaluate.baseline.{name}") for name in found.baselines]
    rows = []
    for name, finding in found.items():
        low, high = (_as_text(name, bound) for bound in (finding.low, finding.high))
        row = [render(f"evaluate.of.{name}"), _as_text(name, finding.value), f"{low} – {high}"]
        others = (values.get(name) for values in found.baselines.values())
        rows.append([*row, *("" if one is None else _as_text(name, one) for one in others)])
    print_table(titles, rows, numbers=range(1, len(titles)))


def _as_text(name: str, value: float) -> str:
    if name in _SHARES:
        return f"{value:.1%}"
    if name in _OF_A_HUNDRED or value >= 100:
        return f"{value:.1f}"
    return f"{value:.3f}"
