"""`memlm score`: how well does a model predict this text?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from memlm.cli.console import ConsoleListener, print_json, say
from memlm.cli.options import (
    Common,
    CommonOptions,
    Memory,
    MemoryOptions,
    ModelOptions,
    Prepare,
    Train,
    Which,
)
from memlm.cli.reading import read_whole
from memlm.errors import InputError
from memlm.messages import render
from memlm.predict.score import check_protocol
from memlm.prepare import PrepareConfig
from memlm.records import Score
from memlm.train import TrainConfig
from memlm.workflow import MEMORY, check_memories, count_collected, ensure_model, score_text


def score(
    workspace: Path,
    file: Path,
    /,
    *,
    window: int | None = None,
    adapt: bool = False,
    encoding: str | None = None,
    which: Which = ModelOptions(),  # noqa: B008  # frozen
    remembering: Memory = MemoryOptions(),  # noqa: B008  # frozen
    training: Train = TrainConfig(),  # noqa: B008  # frozen
    cutting: Prepare = PrepareConfig(),  # noqa: B008  # frozen
    common: Common = CommonOptions(),  # noqa: B008  # frozen
) -> int:
    training.check()
    cutting.check()
    check_protocol(window, is_adaptive=adapt)
    check_memories(remembering.kinds)
    text = read_whole(file, encoding=encoding)
    if not text:  # said before a model is trained
        raise InputError("text_without_tokens")
    with ConsoleListener() as listener:
        model = ensure_model(
            workspace, which.model, config=training, prepare=cutting, listener=listener
        )
        found = score_text(
            model,
            text,
            window=window,
            adapt=adapt,
            memories=remembering.kinds,
            listener=listener,
        )
        if count_collected(workspace, [text], model=model, listener=listener):
            listener.note("learned_texts", count=1, n=1)
        elif (model.name == MEMORY or remembering.kinds != ()) and count_collected(
            workspace, [text], is_remembered=True, listener=listener
        ):
            listener.note("text_remembered")
    if common.json:
        print_json(asdict(found) | {"model": model.name, "file": str(file)})
        return 0
    protocol = render(f"protocol.{_protocol(found, window, adapt)}", window=found.window)
    name = model.name
    if found.memories:
        memories = " + ".join(found.memories)
        name = render("score.with_memories", model=name, memories=memories)
    say("score.summary", model=name, **asdict(found) | {"protocol": protocol})
    say("score.baseline", **asdict(found))
    if found.unknown:
        say("note.unknown_charged", count=found.unknown)
    return 0


def _protocol(found: Score, window: int | None, adapt: bool) -> str:
    """Return what the way of scoring is called in the catalogue of sentences."""
    if adapt:
        return "adaptive"
    if found.window is None:
        return "long_context"
    return "windows" if window is None and found.memories else "window"
