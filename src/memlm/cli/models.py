"""`memlm models`: which models are there, and keeping house among them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from memlm.cli.asking import ask
from memlm.cli.console import print_json, say, size
from memlm.cli.info import state_of
from memlm.cli.options import Common, CommonOptions
from memlm.cli.tables import print_table
from memlm.errors import ConfigError, NotFoundError
from memlm.inventory import describe_models
from memlm.messages import render
from memlm.records import PruneReport
from memlm.workflow import delete_model, prune_checkpoints, rename_model

_COLUMNS = ("model", "network", "parameters", "loss", "begun", "state", "size")


def models(
    workspace: Path,
    which: str | None = None,
    /,
    *,
    rename: tuple[str, str] | None = None,
    delete: str | None = None,
    prune_checkpoints: bool = False,
    yes: bool = False,
    common: Common = CommonOptions(),  # noqa: B008  # frozen
) -> int:
    _check_one_wish(which, rename, delete, prune_checkpoints)
    if rename is not None:
        return _rename(workspace, *rename, as_json=common.json)
    if delete is not None:
        return _delete(workspace, delete, yes=yes, as_json=common.json)
    if prune_checkpoints:
        return _prune(workspace, which, yes=yes, as_json=common.json)
    return _list(workspace, which, as_json=common.json)


def _check_one_wish(
    which: str | None, rename: tuple[str, str] | None, delete: str | None, prunes: bool
) -> None:
    """Raise ConfigError where two things are asked for, or a model that nothing is done with."""
    given = [
        name
        for name, is_given in (
            ("--rename", rename is not None),
            ("--delete", delete is not None),
            ("--prune-checkpoints", prunes),
        )
        if is_given
    ]
    if which is not None and not prunes:
        given.append(which)
    if len(given) > 1:
        raise ConfigError("options_exclude", one=given[0], other=given[1])


def _rename(workspace: Path, old: str, new: str, *, as_json: bool) -> int:
    rename_model(workspace, old, new)
    if as_json:
        print_json({"model": new, "renamed_from": old})
    else:
        say("models.renamed", old=old, new=new)
    return 0


def _delete(workspace: Path, name: str, *, yes: bool, as_json: bool) -> int:
    def may_delete(size_bytes: int) -> bool:
        if yes:
            return True
        taken = size(size_bytes)
        question = render("question.delete_model", model=name, size=taken)
        refusal = ConfigError("delete_needs_yes", model=name, size=taken)
        return ask(question, otherwise=refusal)

    freed = delete_model(workspace, name, may_delete=may_delete)
    if as_json:
        print_json({"model": name, "deleted": freed is not None, "bytes": freed or 0})
    elif freed is None:
        say("models.kept", model=name)
    else:
        say("models.deleted", model=name, size=size(freed))
    return 0


def _prune(workspace: Path, which: str | None, *, yes: bool, as_json: bool) -> int:
    def may_prune(plan: PruneReport) -> bool:
        if yes:
            return True
        values: dict[str, Any] = {  # Any: what the sentence formats
            "models": render("list.comma").join(plan.models),
            "count": plan.checkpoints,
            "size": size(plan.bytes),
        }
        question = render("question.prune_checkpoints", **values)
        return ask(question, otherwise=ConfigError("checkpoints_need_yes", **values))

    pruned = prune_checkpoints(workspace, which, may_prune=may_prune)
    if as_json:
        print_json(asdict(pruned))
    else:
        say("models.pruned", count=pruned.checkpoints, size=size(pruned.bytes))
    return 0


def _list(workspace: Path, which: str | None, *, as_json: bool) -> int:
    found = describe_models(workspace)
    if which is not None:
        known = ", ".join(part["model"] for part in found) or "—"
        found = [part for part in found if part["model"] == which]
        if not found:
            raise NotFoundError("model_missing", model=which, known=known)
    if as_json:
        print_json({"workspace": str(workspace), "models": found})
    elif not found:
        say("models.none", path=workspace)
    else:
        titles = [render(f"models.{name}") for name in _COLUMNS]
        print_table(titles, [_row(part) for part in found], numbers=[2, 3, 6])
    return 0


def _row(part: dict[str, Any]) -> tuple[str, ...]:  # Any: JSON
    taken = size(part["bytes"])
    if part["status"] == "damaged":
        return (part["model"], "", "", "", "", render("info.damaged"), taken)
    results = part["results"] or {}
    loss = results.get("held_out_nats_per_character")
    state = [state_of(part)]
    if part["checkpoints"]:
        state.append(render("models.checkpoints", count=part["checkpoints"]))
    return (
        part["model"],
        part["network"],
        f"{results['parameters']:,}" if results else "",
        f"{loss:.3f}" if loss is not None else "",
        part["started"][:16].replace("T", " "),
        render("list.comma").join(state),
        taken,
    )
