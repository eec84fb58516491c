"""The steps of cleaning that look at one document at a time, in the order in which they run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from memlm.prepare.boilerplate import Boilerplate
from memlm.prepare.clean import Controls
from memlm.prepare.clean_config import CleanConfig
from memlm.prepare.draft import Draft, Step
from memlm.prepare.language import KeepLanguages
from memlm.prepare.quality import Quality
from memlm.prepare.repair import Repair
from memlm.prepare.simplify import Simplify
from memlm.prepare.stop_words import RemoveStopWords
from memlm.records import Document, Dropped

_FROM_THE_WEB = re.compile(
    r"https?://[^/]*(?:/(?!.*:\d+$).*)?"  # no row of a table that was fetched
    r"|.*\.x?html?|.*\.w?arc(?:\.w[ae]t)?(?:\.gz)?(?::\d+)?",
    re.IGNORECASE | re.DOTALL,
)


def text_steps(config: CleanConfig) -> list[Step]:
    """Return the steps that look at one document at a time, in the order in which they run."""
    steps: list[Step] = [
        # Boilerplate first: it knows pages by their form feeds, which are control characters.
        step
        for step in (Repair(), Boilerplate(), Controls())
        if step.name not in config.without
    ]
    if config.simplify:
        steps.append(Simplify())
    if config.languages:
        steps.append(KeepLanguages(config.languages))
    if config.quality != "off":
        steps.append(Quality() if config.quality == "on" else _ForWebPages(Quality()))
    if config.redact:
        from memlm.prepare.redact import RedactStep  # whose many rules take a while to compile

        steps.append(RedactStep())
    if config.remove_stop_words:
        steps.append(RemoveStopWords())
    return steps


def steps_around_copies(config: CleanConfig) -> tuple[list[Step], list[Step]]:
    """Return the steps before copies are told by the text, and those after.

    Without its stop words a text is no longer what it says: it may equal one that denies it.
    """
    first = text_steps(replace(config, remove_stop_words=False))
    return first, text_steps(config)[len(first) :]


def apply_steps(steps: Sequence[Step], draft: Draft) -> Draft | Dropped:
    """Return what the steps make of a draft one after the other; without text it is left out."""
    for step in steps:
        found = step.run(draft)
        if isinstance(found, Dropped):
            return found
        draft = found
    if not draft.text.strip():
        return Dropped(document_id=draft.document.id, step="clean", reason="empty")
    return draft


class _ForWebPages:
    """A step for documents that came from the web; others pass untouched."""

    def __init__(self, step: Step) -> None:
        self.name, self._step = step.name, step

    def run(self, draft: Draft) -> Draft | Dropped:
        """Return what the step says of a web page."""
        return self._step.run(draft) if _is_web_page(draft.document) else draft


def _is_web_page(document: Document) -> bool:
    """Say whether a document was collected as a page: a table may have a column `url` too."""
    has_address = bool(document.fields.get("url"))
    return has_address and _FROM_THE_WEB.fullmatch(document.source) is not None
