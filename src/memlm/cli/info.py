"""`memlm info`: what does a workspace hold?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.text import Text

from memlm.cli.console import ConsoleListener, out, print_json, size
from memlm.cli.options import Common, CommonOptions
from memlm.cli.statistics import print_statistics
from memlm.cli.tables import print_table
from memlm.inventory import describe_workspace
from memlm.messages import render
from memlm.survey import survey_workspace


def info(
    workspace: Path,
    /,
    *,
    statistics: Annotated[
        bool, Parameter(help="Measure the documents too, and write the page statistics.html.")
    ] = False,
    common: Common = CommonOptions(),  # noqa: B008  # frozen
) -> int:
    measured = _measure(workspace) if statistics else None
    found = describe_workspace(workspace)
    if measured is not None:
        found["statistics"] = measured
    if common.json:
        print_json(found)
        return 0
    columns = [render(f"info.{name}") for name in ("part", "holds", "made_from", "state", "size")]
    print_table(columns, _rows(found), numbers=[4])
    out.print(Text(render("info.total", size=size(found["bytes"]))))
    if measured is not None:
        print_statistics(measured, page=workspace / measured["page"])
    return 0


def _measure(workspace: Path) -> dict[str, Any]:  # Any: JSON
    with ConsoleListener() as listener:
        return survey_workspace(
            workspace, progress=lambda done, total: listener.progress("statistics", done, total)
        )


def _rows(found: dict[str, Any]) -> list[tuple[str, str, str, str, str]]:  # Any: JSON
    rows = []
    documents = found.get("documents")
    if documents:
        sources = ", ".join(entry["source"] for entry in documents["sources"][:4])
        sources += ", …" if len(documents["sources"]) > 4 else ""
        rows.append(
            (
                "documents.sqlite",
                render("info.documents", **documents),
                sources,
                render("info.rejected", count=documents["rejected"])
                if documents["rejected"]
                else "",
                size(documents["bytes"]),
            )
        )
        if documents["labels"]:
            labels = render("list.comma").join(
                f"{name} {n:,}" for name, n in list(documents["labels"].items())[:6]
            )
            rows.append(("", render("info.labels", labels=labels), "", "", ""))
    origin = render("info.from_documents")
    if "index" in found:
        part = found["index"]
        held = render("info.segments", count=part["segments"])
        rows.append(("index", held, origin, state_of(part), size(part["bytes"])))
    if "cleaned" in found:
        part = found["cleaned"]
        held = render("info.kept", count=part["documents"])
        rows.append(("cleaned", held, origin, state_of(part), size(part["bytes"])))
    if "statistics_page" in found:
        part = found["statistics_page"]
        rows.append(("statistics.html", "", origin, state_of(part), size(part["bytes"])))
    for part in found["prepared"]:
        key = "info.tokens_sealed" if part["tokens"]["sealed"] else "info.tokens"
        held = render(key, **part["tokens"], vocabulary=part["vocabulary_size"])
        name = f"prepared/{part['tokenizer']}"
        rows.append((name, held, origin, state_of(part), size(part["bytes"])))
    rows += [_memory_row(part) for part in found["memories"]]
    rows += [_model_row(part) for part in found["models"]]
    rows += [_chat_row(part) for part in found["chats"]]
    return rows


def _memory_row(part: dict[str, Any]) -> tuple[str, str, str, str, str]:  # Any: JSON
    name, taken = f"memory/{part['kind']}/{part['name']}", size(part["bytes"])
    if part["status"] == "damaged":
        return name, "", "", render("info.damaged"), taken
    origin = f"prepared/{part['made_from']['tokenizer']}"
    if part["kind"] == "vectors":
        models = render("list.comma").join(part["models"])
        held = render("info.states", states=part["states"], models=models)
    else:
        held = render("info.memory", tokens=part["tokens"], segments=part["segments"])
    return name, held, origin, state_of(part), taken


def _model_row(part: dict[str, Any]) -> tuple[str, str, str, str, str]:  # Any: JSON
    name, taken = f"models/{part['model']}", size(part["bytes"])
    if part["status"] == "damaged":
        return name, "", "", render("info.damaged"), taken
    return name, _results(part), f"prepared/{part['made_from']['tokenizer']}", state_of(part), taken


def _chat_row(part: dict[str, Any]) -> tuple[str, str, str, str, str]:  # Any: JSON
    name, taken = f"chats/{part['name']}", size(part["bytes"])
    if part["status"] == "damaged":
        return name, "", "", render("info.damaged"), taken
    models = render("list.comma").join(part["models"])
    return name, render("info.turns", count=part["turns"]), models, "", taken


def _results(part: dict[str, Any]) -> str:  # Any: JSON
    results = part["results"]
    if not results:
        return str(part["network"])
    held = render("info.model", network=part["network"], parameters=results["parameters"])
    if results.get("held_out_nats_per_character") is not None:
        nats = results["held_out_nats_per_character"]
        held += render("list.comma") + render("info.held_out", nats=nats)
    blend = part.get("blend")
    if blend and blend["memories"]:
        memories = " + ".join(blend["memories"])
        alone = blend["nats_per_token_alone"]
        said = render("info.blended", memories=memories, nats=blend["nats_per_token"], alone=alone)
        held += render("list.comma") + said
    return held


def state_of(part: dict[str, Any]) -> str:  # Any: JSON
    """Say whether a part is finished and up to date, in words."""
    states = _staleness(part)
    if part.get("status") not in (None, "finished"):
        states.insert(0, render(f"info.{part['status']}"))
    if part.get("removed_documents"):
        states.append(render("info.removed", count=part["removed_documents"]))
    return render("list.comma").join(states)


def _staleness(part: dict[str, Any]) -> list[str]:  # Any: JSON
    """Say whether a part is stale; of a model why: first what came first, the documents."""
    if not part["stale"]:
        return [render("info.current")]
    reasons = part.get("stale_because")
    return [render(f"info.stale_{reasons[0]}" if reasons else "info.stale")]
