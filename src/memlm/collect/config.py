"""What a person may say about how sources are read, and the limits that every reader keeps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memlm.errors import ConfigError
from memlm.tasks import TaskKind

if TYPE_CHECKING:
    from memlm.collect.unpacking import Allowance


_KEPT = (
    "text_column", "label_column", "id_column", "encoding", "no_header", "lines",
    "task", "source_column", "target_column",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class CollectConfig:
    """How to read the sources."""

    text_column: str | None = None
    """Column (or JSON key) with the text, by name or number; found by its name if not given."""
    label_column: str | None = None
    """Column that holds the label; found by its name if not given."""
    id_column: str | None = None
    """Column that names each row for good; `id` if there is one."""
    encoding: str | None = None
    """Encoding of all the sources; found for each file if not given."""
    no_header: bool = False
    """The first row of a table is a row like the others; columns are called #1, #2, ..."""
    lines: bool = False
    """Every line of a plain text file (of any ending, if it is named itself) is a text."""
    task: TaskKind | None = None
    """What the rows are examples of: translate, reply, summarise or classify."""
    source_column: str | None = None
    """Column with what is given in a task; found by its name if not given."""
    target_column: str | None = None
    """Column with what is wanted: the translation, the label, ...; found by its name."""
    labels: Path | None = None
    """File with the label of each line of the one text file that is read, a label a line."""
    password: str | None = field(default=None, repr=False)
    """Password of encrypted PDF files; it is never stored."""

    @property
    def has_lines(self) -> bool:
        """Whether a plain text file is a text a line."""
        return self.lines or self.labels is not None

    def check(self) -> None:
        """Raise ConfigError where options do not go together."""
        for option, value in (
            ("--source-column", self.source_column), ("--target-column", self.target_column)
        ):  # fmt: skip
            if value is not None and self.task is None:
                raise ConfigError("task_unsaid", option=option)
        for option, value in (
            ("--text-column", self.text_column), ("--label-column", self.label_column)
        ):  # fmt: skip
            if value is not None and self.task is not None:
                raise ConfigError("options_exclude", one="--task", other=option)

    def kept(self) -> dict[str, Any]:  # Any: names of columns, or true
        """Return what was said of the source that goes for the next time too.

        Not the file of labels, which may be anywhere, nor a password.
        """
        kept = {name: getattr(self, name) for name in _KEPT} | {"lines": self.has_lines}
        return {name: value for name, value in kept.items() if value}

    def over(self, kept: Mapping[str, Any]) -> CollectConfig:  # Any: as above
        """Return this config, with what it leaves open as it was kept."""
        return replace(self, **{n: v for n, v in kept.items() if not getattr(self, n)})


@dataclass(frozen=True, kw_only=True)
class WebConfig:
    """How to visit the pages of a web address."""

    delay: float = 1.0
    """Seconds between two requests to a web server, or more where the server asks for more."""
    max_pages: int = 100
    """Pages that one web address may give."""
    max_minutes: float = 10.0
    """Minutes that one web address may take."""

    def check(self) -> None:
        """Raise ConfigError where a value is impossible."""
        for option, value in (("--delay", self.delay), ("--max-minutes", self.max_minutes)):
            if not 0 <= value < math.inf:  # nor is this so of what is no number
                raise ConfigError("value_not_finite", option=option, value=value)
        if self.max_pages < 1:
            value = self.max_pages
            raise ConfigError("value_too_small", option="--max-pages", value=value, least=1)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much one source may ask of the machine before its reader gives up on it."""

    text_bytes: int = 10**9
    """Bytes of one text."""
    parsed_bytes: int = 200 * 10**6
    """Bytes of one HTML, PDF, DOCX, ODT or EPUB file."""
    parse_seconds: float = 60.0
    """Seconds that a parser of those formats may take for one file."""
    parse_memory_bytes: int = 2 * 10**9
    """Memory that such a parser may take, where the system can bound it."""
    unpacked_bytes: int = 64 * 10**9
    """Bytes that one archive may unpack to."""
    unpacked_ratio: float = 200.0
    """Times its own size that compressed data may unpack to, once beyond `ratio_free_bytes`."""
    ratio_free_bytes: int = 32 * 10**6
    """Bytes that compressed data may always unpack to."""
    members: int = 1_000_000
    """Members of one archive."""
    depth: int = 4
    """Archives inside archives."""
    row_characters: int = 1 << 25
    """Characters of one row of a table, one JSON value or one line."""
    field_characters: int = 10**6
    """Characters of one field of a CSV file; past them a quote is taken for one left open."""
    field_lines: int = 1000
    """Line ends in such a field."""
    columns: int = 10_000
    """Columns of one table."""
    page_bytes: int = 50 * 2**20
    """Bytes of one answer from the web, packed or not; as large as a sitemap may be."""
    site_bytes: int = 10**9
    """Bytes of all the answers that one web address may take."""
    response_seconds: float = 30.0
    """Seconds that one answer may take, from the first byte to the last."""
    redirects: int = 5
    """Redirects that are followed in a row."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a reader is told beside the file: the wishes, the limits, and where it may unpack."""

    config: CollectConfig
    limits: Limits = Limits()
    scratch: Path | None = None
    """Folder for what must be unpacked, emptied by its owner; the system's own if None."""
    depth: int = 0
    """Archives around this file."""
    is_named: bool = False
    """The user named this file itself, not a folder or an archive that it is in."""
    text_names: tuple[str, ...] = ()
    """Names of the column with the text that go before those that texts usually have."""
    allowance: Allowance | None = None
    """What the outermost of them may still unpack to; None where there is none."""
