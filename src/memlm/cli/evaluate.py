"""`memlm evaluate`: how often does a model see the right label?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from memlm.cli.console import ConsoleListener, print_json, say
from memlm.cli.options import (
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
from memlm.collect import CollectConfig
from memlm.errors import NotFoundError
from memlm.prepare import PrepareConfig
from memlm.train import TrainConfig
from memlm.workflow import check_memories, ensure_model, evaluate_task


def evaluate(
    workspace: Path,
    file: Path,
    /,
    *,
    which: Which = ModelOptions(),  # noqa: B008  # frozen
    remembering: Memory = MemoryOptions(),  # noqa: B008  # frozen
    reading: Collect = CollectConfig(),  # noqa: B008  # frozen
    training: Train = TrainConfig(),  # noqa: B008  # frozen
    cutting: Prepare = PrepareConfig(),  # noqa: B008  # frozen
    common: Common = CommonOptions(),  # noqa: B008  # frozen
) -> int:
    training.check()
    cutting.check()
    check_memories(remembering.kinds)
    if not file.expanduser().exists():  # said before a model is trained
        raise NotFoundError("source_missing", path=file)
    with ConsoleListener() as listener:
        model = ensure_model(
            workspace, which.model, config=training, prepare=cutting, listener=listener
        )
        findings = evaluate_task(
            model,
            file,
            config=reading,
            workspace=workspace,
            memories=remembering.kinds or (),
            listener=listener,
        )
    if common.json:
        print_json(
            {name: asdict(finding) for name, finding in findings.items()} | {"model": model.name}
        )
        return 0
    for name, finding in findings.items():
        say(f"evaluate.{name}", **asdict(finding))
    return 0
