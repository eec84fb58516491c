"""`memlm trace`: where do the words of a text come from?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from rich.text import Text

from memlm.cli.console import (
    ConsoleListener,
    out,
    print_json,
    print_trace,
    trace_to_json,
    visible,
)
from memlm.cli.options import Common, CommonOptions
from memlm.cli.reading import read_whole
from memlm.collect import normalise_text
from memlm.errors import ConfigError
from memlm.records import Trace
from memlm.workflow import trace_texts


def trace(
    workspace: Path,
    /,
    *files: Path,
    text: str | None = None,
    encoding: str | None = None,
    common: Common = CommonOptions(),  # noqa: B008  # frozen
) -> int:
    given = {str(file): read_whole(file, encoding=encoding) for file in files}
    if text is not None and text.strip():
        given["--text"] = normalise_text(text)
    if not given:
        raise ConfigError("nothing_to_trace")
    with ConsoleListener() as listener:
        traced = trace_texts(workspace, given.values(), listener=listener)
    traces = dict(zip(given, traced, strict=True))
    if common.json:
        print_json(_to_json(traces))
        return 0
    for name, found in traces.items():
        if len(traces) > 1:
            out.print(Text(visible(f"== {name}"), style="bold"))
        print_trace(found)
    return 0


def _to_json(traces: dict[str, Trace]) -> dict[str, object]:
    """Return one text's trace as it is; several as one, each span with the text that it is in."""
    if len(traces) == 1:
        return trace_to_json(next(iter(traces.values())))
    total = sum(found.characters for found in traces.values())
    shares = {
        name: sum(getattr(found, name) * found.characters for found in traces.values())
        / max(1, total)
        for name in ("recited_share", "recombined_share", "new_share")
    }
    spans = [
        asdict(span) | {"file": name} for name, found in traces.items() for span in found.spans
    ]
    files = [{"file": name} | _summary(found) for name, found in traces.items()]
    return {"characters": total, **shares, "spans": spans, "files": files}


def _summary(found: Trace) -> dict[str, object]:
    return {name: value for name, value in trace_to_json(found).items() if name != "spans"}
