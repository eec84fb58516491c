"""One SQLite file, opened so that deleted text is gone and every failure is an error of ours."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from memlm.documents.schema import database_errors, set_up


class Database:
    """A database while it is open; what its tables mean is for those who derive from it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Self:
        with database_errors(self.path):
            # The library `tokenizers` reads what it learns from in a thread of its own, while we
            # wait: never two at once.
            self._connection = sqlite3.connect(
                self.path, timeout=30, isolation_level=None, check_same_thread=False
            )
        try:
            self._set_up()
        except BaseException:
            self._connection.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All of the block, or nothing of it."""
        self._run("BEGIN IMMEDIATE")
        try:
            yield
            self._run("COMMIT")
        except BaseException:
            self._connection.rollback()
            raise

    def _set_up(self) -> None:
        # Some builds have secure_delete on, others off: deleted text must be gone.
        for setting in ("journal_mode=DELETE", "synchronous=FULL", "secure_delete=ON"):
            self._run(f"PRAGMA {setting}")
        with database_errors(self.path):
            set_up(self._connection, self.path)

    def _value(self, sql: str, *values: object) -> Any:  # Any: SQLite's value types
        row = next(self._rows(sql, *values), None)
        return None if row is None else row[0]

    def _rows(self, sql: str, *values: object) -> Iterator[Any]:  # Any: SQLite's rows
        cursor = self._run(sql, *values)
        while True:
            with database_errors(self.path):
                rows = cursor.fetchmany(256)
            if not rows:
                return
            yield from rows

    def _run(self, sql: str, *values: object) -> sqlite3.Cursor:
        with database_errors(self.path):
            return self._connection.execute(sql, cast(tuple[Any, ...], values))
