"""Where a text ends that is still being written: stop strings, also across token boundaries."""

from __future__ import annotations

from collections.abc import Sequence


class StopWatch:
    """Passes text on as soon as it can be no part of a stop string; holds it back until then."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._held = ""
        self.has_stopped = False

    @property
    def is_holding(self) -> bool:
        """Whether some text is held back, as a stop string may have begun in it."""
        return bool(self._held)

    def feed(self, text: str) -> str:
        """Return the text that is certain; nothing more once a stop string was met."""
        if self.has_stopped:
            return ""
        self._held += text
        # The stop that is complete first counts, however the text was cut into tokens.
        found = [
            (place + len(stop), place)
            for stop in self._stops
            if (place := self._held.find(stop)) >= 0
        ]
        if found:
            self.has_stopped = True
            certain, self._held = self._held[: min(found)[1]], ""
            return certain
        keep = max((self._overlap(stop) for stop in self._stops), default=0)
        cut = len(self._held) - keep
        certain, self._held = self._held[:cut], self._held[cut:]
        return certain

    def finish(self) -> str:
        """Return what was held back when no more text comes."""
        certain, self._held = self._held, ""
        return certain

    def _overlap(self, stop: str) -> int:
        """Return how many characters at the end may be the beginning of `stop`."""
        most = min(len(stop) - 1, len(self._held))
        return next((n for n in range(most, 0, -1) if self._held.endswith(stop[:n])), 0)
