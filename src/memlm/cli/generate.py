"""`memlm generate`: write."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from rich.text import Text

from memlm.cli.console import (
    ConsoleListener,
    as_shown,
    err,
    out,
    print_json,
    print_trace,
    say,
    trace_to_json,
    visible,
)
from memlm.cli.options import (
    Common,
    CommonOptions,
    Generate,
    Memory,
    MemoryOptions,
    ModelOptions,
    Prepare,
    Train,
    Which,
)
from memlm.cli.reading import read_standard_input
from memlm.collect import normalise_text
from memlm.generate.config import GenerateConfig
from memlm.messages import render
from memlm.prepare import PrepareConfig
from memlm.records import Generation
from memlm.train import TrainConfig
from memlm.workflow import (
    check_memories,
    check_shots,
    ensure_model,
    generate_text,
    precision_cost,
    read_shots,
    written_models,
)


def generate(
    workspace: Path,
    prompt: str | None = None,
    /,
    *,
    shots: Path | None = None,
    trace: bool = False,
    writing: Generate = GenerateConfig(),  # noqa: B008  # frozen
    which: Which = ModelOptions(),  # noqa: B008  # frozen
    remembering: Memory = MemoryOptions(),  # noqa: B008  # frozen
    training: Train = TrainConfig(),  # noqa: B008  # frozen
    cutting: Prepare = PrepareConfig(),  # noqa: B008  # frozen
    common: Common = CommonOptions(),  # noqa: B008  # frozen
) -> int:
    writing = as_documents_are(writing)
    writing.check()
    training.check()
    cutting.check()
    check_memories(remembering.kinds)
    given, examples = _prompt(prompt), read_shots(shots) if shots is not None else []
    with ConsoleListener() as listener:
        model = ensure_model(
            workspace,
            which.model,
            config=training,
            prepare=cutting,
            writes=True,
            precision=writing.precision,
            listener=listener,
        )
        if shots is not None:
            check_shots(model, examples, path=shots)
        models = len(written_models(model.workspace))
        if which.model is None and models > 1 and not common.json:  # whose object names it
            listener.note("newest_writes", model=model.name, count=models)
        cost = precision_cost(model, writing.precision, listener=listener)
        is_streamed = not (common.json or trace or writing.samples > 1 or examples)
        with _PieceWriter(given) as piece:
            written = generate_text(
                model,
                given,
                config=writing,
                shots=examples,
                trace_in=workspace if trace else None,
                memories=remembering.kinds,
                on_text=piece.write if is_streamed else lambda sample, text: None,
                listener=listener,
            )
        page = None
        if trace and not common.json:
            from memlm.cli.trace_page import write_page_of

            page = write_page_of(workspace, written, None, listener)
    if common.json:
        told = {} if cost is None else {"precision": cost.to_json()}
        print_json(_to_json(written, model.name) | told)
        return 0
    if is_streamed:
        piece.write(0, "\n")
    for number, one in enumerate(written, start=1):
        if not is_streamed:
            # Behind examples the answer is wanted, and nothing else.
            print_whole(replace(one, prompt="") if examples else one, number, len(written))
    if page is not None:
        out.print()
        say("trace.written", path=page)
    if written[0].label is not None and writing.label is None and is_streamed:
        said = render("note.labelled", label=written[0].label)
        err.print(Text(visible(said), style="dim"))
    return 0


def as_documents_are(writing: GenerateConfig) -> GenerateConfig:
    """Return the options with their texts normalised as those of documents are."""
    return replace(
        writing,
        stop=tuple(map(normalise_text, writing.stop)),
        forbid=tuple(map(normalise_text, writing.forbid)),
        allow=tuple(map(normalise_text, writing.allow)),
    )


def _prompt(given: str | None) -> str:
    if given is None:
        given = "" if sys.stdin is None or sys.stdin.isatty() else read_standard_input()
        given = given.removesuffix("\n")
    return normalise_text(given)


class _PieceWriter:
    """Prints a text as it is written, after its prompt: not before the first piece is sure."""

    def __init__(self, prompt: str) -> None:
        self._prompt: str | None = prompt

    def write(self, sample: int, text: str) -> None:
        if self._prompt is not None:
            out.print(Text(visible(self._prompt), style="dim"), end="")
            self._prompt = None
        out.file.write(as_shown(text))
        out.file.flush()

    def __enter__(self) -> _PieceWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        """End the line of a text that will not go on: what is said next has its own."""
        if kind is not None and self._prompt is None:
            with suppress(BrokenPipeError):  # that nobody reads any more is being said already
                out.file.write("\n")
                out.file.flush()


def print_whole(one: Generation, number: int, total: int) -> None:
    """Print one of several texts, after its prompt; with its trace, where it has one."""
    if total > 1:
        title = f"— {number}/{total}" + (f" [{one.label}]" if one.label else "")
        out.print(Text(visible(title), style="dim"))
    if one.prompt:
        out.print(Text(visible(one.prompt), style="dim"), end="")
    if one.trace is None:
        out.file.write(as_shown(one.text) + "\n")
    else:
        print_trace(one.trace)
    if number < total:
        say("blank")


def _to_json(written: list[Generation], model: str) -> dict[str, object]:
    first = _sample_to_json(written[0])
    return first | {"model": model, "samples": [_sample_to_json(one) for one in written]}


def _sample_to_json(one: Generation) -> dict[str, object]:
    fields = {name: value for name, value in asdict(one).items() if name != "trace"}
    if one.trace is None:
        return fields | {"spans": []}
    return fields | trace_to_json(one.trace)
