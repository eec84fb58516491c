"""`memlm export`: the documents of a workspace, or a model, as other programs read them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from memlm.cli.console import ConsoleListener, print_json, say
from memlm.cli.options import Common, CommonOptions, ModelOptions, Which
from memlm.errors import ConfigError
from memlm.workflow import export_adapter, export_documents, export_model

_PARTS = ("documents", "model")
_MODEL_FORMATS = {"huggingface": export_model, "peft": export_adapter}


def export(
    workspace: Path,
    part: str,
    folder: Path | None = None,
    /,
    *,
    to: Path,
    which: Which = ModelOptions(),  # noqa: B008  # frozen
    common: Common = CommonOptions(),  # noqa: B008  # frozen
) -> int:
    if part not in _PARTS:
        raise ConfigError("export_unknown", part=part, known=", ".join(_PARTS))
    if part == "model":
        return _export_model(workspace, folder, to=to, model=which.model, as_json=common.json)
    if folder is not None or which.model is not None:
        raise ConfigError("export_documents_only", given=folder or f"--model {which.model}")
    with ConsoleListener() as listener:
        report = export_documents(workspace, to, listener=listener)
    if common.json:
        print_json(asdict(report))
        return 0
    say("note.exported", **asdict(report))
    return 0


def _export_model(
    workspace: Path, folder: Path | None, *, to: Path, model: str | None, as_json: bool
) -> int:
    if str(to) not in _MODEL_FORMATS:
        raise ConfigError("export_model_format", to=to, known=", ".join(_MODEL_FORMATS))
    with ConsoleListener() as listener:
        export = _MODEL_FORMATS[str(to)]
        report = export(workspace, folder, model=model, listener=listener)
    if as_json:
        print_json(asdict(report))
        return 0
    say(f"note.exported_{'adapter' if report.layout == 'peft' else 'model'}", **asdict(report))
    say(f"note.load_{report.layout}")
    return 0
