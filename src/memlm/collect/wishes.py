"""What a person said of how a source is read, kept for when it is collected again.

Said once of a folder, it holds for all below it; said of a file in it too, that goes before.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from memlm.collect.config import CollectConfig
from memlm.documents import DocumentStore, Root

Kept = dict[str, Any]  # Any: names of columns, or true


class Wishes:
    """The options of this call over those of the calls before; `fresh` forgets those."""

    def __init__(self, store: DocumentStore, config: CollectConfig, *, fresh: bool) -> None:
        self._store, self._config, self._fresh = store, config, fresh
        self._known: dict[str, dict[str, Kept]] | None = None
        self._asked: list[tuple[str, str]] = []

    def config_of(self, root: Root, path: str) -> CollectConfig:
        """Return how a file or folder of a root is read."""
        return self._config.over(self._nearest(str(root.number), path))

    def ask(self, root: Root, place: str) -> str:
        """Note that a place was named; return, as options, what is known of it from before."""
        number, place = str(root.number), str(PurePosixPath(place))
        self._asked.append((number, place))
        before = self.config_of(root, place)
        news = {
            name: value
            for name, value in before.kept().items()
            if value != self._config.kept().get(name)
        }
        return " ".join(_as_option(name, value) for name, value in news.items())

    def keep(self) -> None:
        """Keep what holds now for the places that were named, and for what lies in them."""
        if not self._config.kept() and not self._fresh:
            return
        known = self._of_before()
        for number, place in self._asked:
            places = known.setdefault(number, {})
            inside = [one for one in places if place in _places(one)]
            for one in {place, *inside}:
                kept = self._config.over(self._nearest(number, one)).kept()
                if self._fresh and one != place:
                    del places[one]
                else:
                    places[one] = kept
        self._store.keep_options(known)

    def _nearest(self, number: str, path: str) -> Kept:
        places = self._of_before().get(number, {})
        if self._fresh or not places:
            return {}
        return next((places[place] for place in _places(path) if place in places), {})

    def _of_before(self) -> dict[str, dict[str, Kept]]:
        if self._known is None:
            self._known = self._store.kept_options()
        return self._known


def _places(path: str) -> list[str]:
    """Return a path and all that it lies in; the root itself is `.`."""
    inside = PurePosixPath(path)
    return [str(inside), *map(str, inside.parents)]


def _as_option(name: str, value: object) -> str:
    option = f"--{name.replace('_', '-')}"
    return option if value is True else f"{option} {value}"
