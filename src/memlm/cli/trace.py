"""`memlm trace`: where do the words of a text come from?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.text import Text

from memlm.cli.console import (
    ConsoleListener,
    out,
    print_json,
    print_left_out,
    print_shares,
    print_trace,
    say,
    trace_to_json,
    visible,
)
from memlm.cli.options import Common, CommonOptions
from memlm.cli.reading import STANDARD_INPUT, read_standard_input
from memlm.cli.trace_page import write_page_of
from memlm.collect import normalise_text
from memlm.errors import ConfigError, InputError
from memlm.memory import parse_folds
from memlm.messages import render
from memlm.records import Fold, Rejected, Trace
from memlm.workflow import FoundText, check_page_place, read_texts, trace_texts


def trace(
    workspace: Path,
    /,
    *files: Path,
    text: str | None = None,
    to: Path | None = None,
    fold: str | None = None,
    encoding: str | None = None,
    common: Common = CommonOptions(),  # noqa: B008  # frozen
) -> int:
    folds = parse_folds(fold) if fold is not None else ()
    check_page_place(to)
    given = _read(files, text, encoding)
    if not given.texts:
        raise _nothing(given)
    makes_page = to is not None or not common.json
    with ConsoleListener() as listener:
        traces = trace_texts(
            workspace,
            [found.text for found in given.texts],
            names=[found.name for found in given.texts],
            folds=folds,
            with_excerpts=makes_page,
            listener=listener,
        )
        page = write_page_of(workspace, traces, to, listener) if makes_page else None
    if common.json:
        print_json(_to_json(traces, folds, given.rejected) | ({"page": str(page)} if page else {}))
        return 0
    print_left_out(given.rejected)
    _print(traces)
    if page is not None:
        say("trace.written", path=page)
    return 0


@dataclass
class _Given:
    """What the command line names."""

    texts: list[FoundText] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


def _read(files: Sequence[Path], text: str | None, encoding: str | None) -> _Given:
    given = _Given()
    for file in files:
        if file == STANDARD_INPUT:
            given.texts.append(FoundText(str(file), read_standard_input()))
            continue
        for found in read_texts(file, encoding=encoding):
            if isinstance(found, Rejected):
                given.rejected.append(found)
            else:
                given.texts.append(found)
    if text is not None and text.strip():
        given.texts.append(FoundText("--text", normalise_text(text)))
    return given


def _nothing(given: _Given) -> ConfigError | InputError:
    """Return why there is no text to trace."""
    if not given.rejected:
        return ConfigError("nothing_to_trace")
    first = given.rejected[0]
    return InputError("nothing_readable", source=first.source, reason=first.reason)


def _print(traces: Sequence[Trace]) -> None:
    for found in traces:
        if len(traces) > 1:
            out.print(Text(visible(f"== {found.name}"), style="bold"))
        print_trace(found)
        out.print()
    if len(traces) > 1:
        out.print(Text(f"== {render('trace.together')}", style="bold"))
        print_shares(_together(traces))
        out.print()


def _to_json(
    traces: Sequence[Trace], folds: Sequence[Fold], rejected: Sequence[Rejected]
) -> dict[str, object]:
    """Return one text's trace as it is; several as one, each span with the text that it is in."""
    own: dict[str, object] = {"rejected": [asdict(one) for one in rejected]}
    if len(traces) == 1:
        return trace_to_json(traces[0]) | own
    spans = [asdict(span) | {"file": found.name} for found in traces for span in found.spans]
    files = [{"file": found.name} | _summary(found) for found in traces]
    return _together(traces) | {"folded": folds, "spans": spans, "files": files} | own


def _together(traces: Sequence[Trace]) -> dict[str, float]:
    """Return the characters of all texts and the share of each kind in them."""
    total = sum(found.characters for found in traces)
    shares = {
        name: sum(getattr(found, name) * found.characters for found in traces) / max(1, total)
        for name in ("recited_share", "recombined_share", "new_share")
    }
    return {"characters": total, **shares}


def _summary(found: Trace) -> dict[str, object]:
    return {name: value for name, value in trace_to_json(found).items() if name != "spans"}
