"""Prompts: examples that come before what is asked, and what a network sees of a long one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from memlm import messages
from memlm.collect import CollectConfig, Reading, is_table, read_file
from memlm.errors import InputError
from memlm.models.config import NetworkConfig
from memlm.records import Generation, SourceProblem, SourceText
from memlm.storage import read_json
from memlm.workflow.bringing import in_windows
from memlm.workflow.listener import Listener
from memlm.workflow.models import MEMORY, Model
from memlm.workflow.reading import existing_file, read_whole_text

if TYPE_CHECKING:
    from memlm.generate import Shot

_INPUT, _OUTPUT = "input", "output"


def read_shots(path: Path | str) -> list[Shot]:
    """Return the examples of a file, in order.

    A table has the columns `input` and `output`. Any other file is text: blank lines stand between
    two examples, and the last line of each is its output. Raises InputError where an example lacks
    one of the two, or where there is none.
    """
    file = existing_file(path)
    shots = _shots_of_table(file) if is_table(file.name) else _shots_of_text(file)
    if not shots:
        raise InputError("file_empty", path=file.name)
    return shots


def check_shots(model: Model, shots: Sequence[Shot], *, path: Path | str) -> None:
    """Raise InputError where the examples of a file have a symbol that a model does not know."""
    from memlm.generate.prompt import unknown_symbols

    text = "\n".join(part for shot in shots for part in (shot.input, shot.output))
    if symbols := unknown_symbols(model.tokenizer, text):
        raise InputError("shots_unknown", path=Path(path).name, symbols=" ".join(symbols))


def _shots_of_table(file: Path) -> list[Shot]:
    from memlm.generate import Shot

    shots = []
    for item in read_file(file, Reading(config=CollectConfig(text_column=_INPUT))):
        if isinstance(item, SourceProblem):
            reason = messages.render(f"error.{item.code}.message", **item.values)
            raise InputError("shot_bad", path=file.name, number=item.position, reason=reason)
        if isinstance(item, SourceText):
            if _OUTPUT not in item.fields:
                found = ", ".join([_INPUT, *map(str, item.fields)])
                raise InputError("column_missing", path=file.name, column=_OUTPUT, found=found)
            output = str(item.fields[_OUTPUT] or "").strip()
            if not output:
                raise InputError("shot_without_output", path=file.name, number=item.position)
            shots.append(Shot(item.text, output))
    return shots


def _shots_of_text(file: Path) -> list[Shot]:
    from memlm.generate import parse_shots

    shots = []
    for number, shot in enumerate(parse_shots(read_whole_text(file)), start=1):
        if shot is None:
            raise InputError("shot_without_output", path=file.name, number=number)
        shots.append(shot)
    return shots


def only_answer(one: Generation, prompt: str) -> Generation:
    """Return what was written to a prompt behind examples as the answer to that prompt alone."""
    answer = one.text.strip()
    shift = len(one.text) - len(one.text.lstrip())
    shares = tuple(
        replace(
            share,
            start=max(share.start - shift, 0),
            end=min(share.end - shift, len(answer)),
        )
        for share in one.shares
        if shift < share.end and share.start - shift < len(answer)
    )
    return replace(one, prompt=prompt, text=answer, shares=shares)


def note_long_prompt(model: Model, prompt: str, listener: Listener) -> None:
    """Say so where a prompt is longer than what the network of a model looks back over."""
    if model.name == MEMORY:
        return
    if model.is_foreign:
        reach = in_windows(model, None)[1]
    else:
        path = model.workspace.model(model.name) / "config.json"
        reach = NetworkConfig.from_json(read_json(path), path=path).reach
    if reach is None:
        return
    tokens = len(model.tokenizer.encode(prompt).ids)
    if tokens > reach:
        listener.note("prompt_beyond_reach", model=model.name, tokens=tokens, reach=reach)
