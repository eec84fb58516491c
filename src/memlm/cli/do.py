"""`memlm do`: what a model that learned a task makes of an input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from rich.text import Text

from memlm.cli.console import ConsoleListener, as_shown, out, print_json, say, visible
from memlm.cli.options import (
    Answering,
    Common,
    CommonOptions,
    Generate,
    Memory,
    MemoryOptions,
    ModelOptions,
    Which,
)
from memlm.cli.reading import read_standard_input
from memlm.errors import ConfigError
from memlm.generate.answer_config import AnswerConfig
from memlm.generate.config import GenerateConfig
from memlm.records import TaskAnswer
from memlm.workflow import (
    Answerer,
    check_memories,
    load_model,
    read_questions,
)

_LABELS_SHOWN = 3


def do(
    workspace: Path,
    /,
    *inputs: str,
    batch: Path | None = None,
    source_column: str | None = None,
    answering: Answering = AnswerConfig(),  # noqa: B008  # frozen
    writing: Generate = GenerateConfig(),  # noqa: B008  # frozen
    which: Which = ModelOptions(),  # noqa: B008  # frozen
    remembering: Memory = MemoryOptions(),  # noqa: B008  # frozen
    common: Common = CommonOptions(),  # noqa: B008  # frozen
) -> int:
    writing.check()
    answering.check()
    check_memories(remembering.kinds)
    if inputs and batch is not None:
        raise ConfigError("options_exclude", one="--batch", other="INPUT")
    with ConsoleListener() as listener:
        model = load_model(workspace, which.model, writes=True, listener=listener)
        answerer = Answerer(model, writing, answering, remembering.kinds, listener)
        sources = inputs or (
            read_questions(model, batch, column=source_column, listener=listener)
            if batch is not None
            else _piped()
        )
        found = []
        with answerer.ready():
            for number, source in enumerate(sources):
                answer = answerer.answer(source)
                if common.json:
                    found.append(answer)
                    continue
                if number:
                    say("blank")
                print_answer(answer, is_alone=len(inputs) == 1)
    if common.json:
        print_json({
            "task": answerer.kind,
            "model": model.name,
            "answers": [asdict(answer) for answer in found],
        })  # fmt: skip
    return 0


def _piped() -> Iterator[str]:
    """Yield the lines of standard input that are not blank."""
    yield from (line for line in read_standard_input().splitlines() if line.strip())


def print_answer(answer: TaskAnswer, *, is_alone: bool) -> None:
    """Print an answer, and from which training examples it may be."""
    if not is_alone:
        out.print(Text(visible(answer.asked), style="dim"))
    out.file.write(as_shown(answer.text) + "\n")
    for other in answer.others:
        out.file.write(as_shown(other) + "\n")
    likeliest = sorted(answer.probabilities.items(), key=lambda one: -one[1])[:_LABELS_SHOWN]
    for label, share in likeliest:
        out.print(Text(visible(f"  {share:6.1%}  {label}"), style="dim"))
    if answer.examples:
        say("do.nearest")
    for example in answer.examples:
        line = f"  {example.source}: {_short(example.asked)} → {_short(example.answer)}"
        out.print(Text(visible(line), style="dim"))


def _short(text: str, most: int = 60) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"
