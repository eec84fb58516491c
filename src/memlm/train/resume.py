"""Whether a training that is taken up again is still the same one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from memlm.errors import ConfigError
from memlm.train.config import TrainConfig

# Neither changes what is learned, but for the last bits: `machine_changes` says so.
_FREE = ("name", "device", "threads")
# Of `runtime.describe_machine`: what the bits of a sum depend on.
_EXACT = (
    "processor", "cpu_capability", "onednn", "torch", "numpy", "threads", "processes", "device",
)  # fmt: skip


def check_options(config: TrainConfig, before: Mapping[str, Any]) -> None:  # Any: JSON values
    """Raise ConfigError, with every difference, if options differ from those of the beginning.

    `before` are the options that differed from their defaults then. What is not said now is what it
    was.
    """
    defaults = {field.name: field.default for field in fields(config)}
    changes = {
        "--" + name.replace("_", "-"): (before.get(name, defaults[name]), value)
        for name, value in config.changed().items()
        if name not in _FREE and before.get(name, defaults[name]) != value
    }
    if changes:
        raise ConfigError("resume_changed", changes=_listed(changes))


def machine_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:  # Any: as above
    """Return what has changed of what bit-exact repetition depends on; empty if nothing has."""
    before = {"processes": 1, **before}  # what nobody counted was one
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
