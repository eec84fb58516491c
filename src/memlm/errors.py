"""The one family of exceptions that users of memlm ever see.

An error is a *code* and the values that go with it; the sentence is in `messages/`, in English and
Chinese, and is rendered only when somebody reads it. Each class carries the exit code that the
command line ends with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memlm import messages


class MemlmError(Exception):
    """Something went wrong, and we know what: `code` names it, `values` fill in its sentence."""

    exit_code = 1
    is_told = False
    """Whether another process of the same work says it, so that this one need not."""

    def __init__(self, code: str, **values: Any) -> None:  # Any: whatever the sentence formats
        super().__init__(code)
        self.code = code
        self.values = values

    @property
    def message(self) -> str:
        """What is wrong, in the language in force."""
        return messages.render(f"error.{self.code}.message", **self.values)

    @property
    def hint(self) -> str:
        """What to do now; empty where the message says it all."""
        return messages.render(f"error.{self.code}.hint", **self.values)

    def __str__(self) -> str:
        return messages.join(self.message, self.hint)

    def to_json(self) -> dict[str, Any]:  # Any: JSON values
        """Return it as JSON, for another process to raise."""
        values = {name: _plain(value) for name, value in self.values.items()}
        return {"error": type(self).__name__, "code": self.code, "values": values}


class InputError(MemlmError):
    """The data handed in cannot be used as it is."""

    exit_code = 2


class ConfigError(MemlmError):
    """An option or a configuration file says something impossible."""

    exit_code = 2


class NotFoundError(MemlmError):
    """A file, a workspace, a model or a label that does not exist."""

    exit_code = 2


class CorruptArtefactError(MemlmError):
    """A file that memlm wrote no longer has the bytes that it was written with."""

    exit_code = 3


class ResourceError(MemlmError):
    """The machine lacks something: disk, memory, permission."""

    exit_code = 4


class MissingExtraError(ResourceError):
    """An optional package is needed and absent."""


class DivergedError(MemlmError):
    """Training produced a loss that is not a finite number, or one that is absurd for long."""

    exit_code = 5


def error_from_json(found: Mapping[str, Any]) -> MemlmError:  # Any: JSON values
    """Return the error that `to_json` described."""
    kinds = {kind.__name__: kind for kind in (*MemlmError.__subclasses__(), MissingExtraError)}
    kind: type[MemlmError] = kinds.get(found["error"], MemlmError)
    return kind(found["code"], **found["values"])


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | bool | None) else str(value)
