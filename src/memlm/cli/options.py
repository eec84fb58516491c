"""The options that several commands share."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.argument import ArgumentCollection

from memlm.collect import CollectConfig, WebConfig
from memlm.errors import ConfigError
from memlm.generate.answer_config import AnswerConfig
from memlm.generate.config import GenerateConfig
from memlm.messages import Language
from memlm.prepare import CleanConfig, PrepareConfig
from memlm.train import TrainConfig

_given: ContextVar[frozenset[str]] = ContextVar("memlm_given", default=frozenset())


def note_given(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Note which options the command line or a file says, even where it says their defaults.

    The parser calls this, as a last source of values, when it has read the others.
    """
    names = (argument.name for argument in arguments if argument.tokens)
    _given.set(frozenset(name.lstrip("-").replace("-", "_") for name in names))


def given_options() -> frozenset[str]:
    """Return the options that were said for the command under way: `weight_decay`."""
    return _given.get()


@dataclass(frozen=True, kw_only=True)
class CommonOptions:
    """What every command accepts."""

    json: bool = False
    """Print one JSON object."""
    language: Language | None = None
    """Language of messages: en or zh; the system's if not given."""
    config: Path | None = None
    """TOML file with values for these options; a flag given here goes before it."""
    debug: bool = False
    """Show the whole traceback of an error."""


@dataclass(frozen=True, kw_only=True)
class HoldOutOptions:
    """Text that is measured on and never learned from."""

    held_out: tuple[Path, ...] = ()
    """File to measure on instead of a share of the documents; may be given several times. Its texts
    become documents and stay held out, together with those named before, until prepare --fresh."""


@dataclass(frozen=True, kw_only=True)
class TeachOptions:
    """What a training begins with."""

    begin_with: Annotated[str | None, Parameter(name="--from")] = None
    """Model to teach further instead of beginning anew: one of the workspace, a folder, or
    owner/name on the Hugging Face hub. It keeps its shape and its tokenizer."""


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which model is asked."""

    model: str | None = None
    """Name of the model; the newest if not given. memory: the memory alone, without training. A
    folder, or owner/name on the Hugging Face hub: a model that is brought from there."""


@dataclass(frozen=True, kw_only=True)
class MemoryOptions:
    """What a model is blended with."""

    memory: str | None = None
    """Memories beside the weights, by commas: counts, cache, vectors; those that were fitted by
    default if not given."""
    no_memory: bool = False
    """The weights alone."""

    @property
    def kinds(self) -> tuple[str, ...] | None:
        """The memories that were asked for; None: nobody said."""
        if self.no_memory and self.memory is not None:
            raise ConfigError("options_exclude", one="--memory", other="--no-memory")
        if self.no_memory:
            return ()
        if self.memory is None:
            return None
        return tuple(kind.strip() for kind in self.memory.split(",") if kind.strip())


Common = Annotated[CommonOptions, Parameter(name="*")]
HoldOut = Annotated[HoldOutOptions, Parameter(name="*")]
Teach = Annotated[TeachOptions, Parameter(name="*")]
Which = Annotated[ModelOptions, Parameter(name="*")]
Memory = Annotated[MemoryOptions, Parameter(name="*")]
Collect = Annotated[CollectConfig, Parameter(name="*")]
Clean = Annotated[
    CleanConfig, Parameter(name="*", negative=None, negative_bool="no-", negative_iterable=())
]
Web = Annotated[WebConfig, Parameter(name="*")]
Prepare = Annotated[PrepareConfig, Parameter(name="*")]
Train = Annotated[TrainConfig, Parameter(name="*")]
Generate = Annotated[GenerateConfig, Parameter(name="*")]
Answering = Annotated[AnswerConfig, Parameter(name="*")]
