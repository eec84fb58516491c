"""Whether a training that is taken up again is still the same one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, fields
from typing import Any

from memlm.errors import ConfigError
from memlm.prepare import PrepareConfig, TokenStore, tokenizer_name
from memlm.storage import read_manifest
from memlm.train.config import DEFAULT_MINUTES, TrainConfig

# Neither changes what is learned, but for the last bits: `machine_changes` says so.
_FREE = ("name", "device", "threads")
# Of `runtime.describe_machine`: what the bits of a sum depend on. The name of a processor may be
# vague, so that what it can do (`cpu_capability`) counts as well.
_EXACT = (
    "processor", "processor_model", "cpu_capability", "onednn", "torch", "numpy", "threads",
    "processes", "device",
)  # fmt: skip


def check_options(
    config: TrainConfig,
    before: Mapping[str, Any],  # Any: JSON values
    *,
    given: Collection[str] | None = None,
    prepare: PrepareConfig | None = None,
    store: TokenStore,
) -> None:
    """Raise ConfigError, with every difference, if options differ from those of the beginning.

    `before` are the options that differed from their defaults then. What is not said now is what it
    was. A config does not know which of its values were said: those in `given`, or if that is None
    those that differ from their defaults. How `store` was prepared stands beside it.
    """
    defaults = {field.name: field.default for field in fields(config)}
    if not any(before.get(name) for name in ("minutes", "steps", "epochs")):
        defaults["minutes"] = DEFAULT_MINUTES
    said = config.changed().keys() if given is None else defaults.keys() & given
    changes = {
        name: (before.get(name, defaults[name]), getattr(config, name))
        for name in defaults  # in their order
        if name in said and name not in _FREE
    }
    changes |= _said_of_preparing(prepare or PrepareConfig(), store)
    changes = {
        "--" + name.replace("_", "-"): (then, now)
        for name, (then, now) in changes.items()
        if then != now
    }
    if changes:
        raise ConfigError("resume_changed", changes=_listed(changes))


def _said_of_preparing(
    prepare: PrepareConfig, store: TokenStore
) -> dict[str, tuple[object, object]]:
    """Return what is said now of how the tokens are made, each with what it was."""
    before = read_manifest(store.folder)["made_from"].get("config", {})
    said = {name: value for name, value in asdict(prepare).items() if value is not None}
    if prepare.tokenizer is not None and prepare.tokenizer.endswith(".json"):
        said["tokenizer"] = tokenizer_name(prepare.tokenizer, None)  # as a file is remembered
    if prepare.tokenizer == "auto":
        del said["tokenizer"]  # it was what that came to
    return {name: (before.get(name), value) for name, value in said.items()}


def machine_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:  # Any: as above
    """Return what has changed of what bit-exact repetition depends on; empty if nothing has."""
    # What nobody counted was one, and a model that an older memlm did not note may be the same.
    before = {"processes": 1, "processor_model": now.get("processor_model"), **before}
    return _listed(
        {
            name: (before.get(name), now.get(name))
            for name in _EXACT
            if before.get(name) != now.get(name)
        }
    )


def _listed(changes: Mapping[str, tuple[object, object]]) -> str:
    """Return changes as words of no language."""
    return ", ".join(
        f"{name} {'auto' if before is None else before} -> {now}"
        for name, (before, now) in changes.items()
    )
