"""Conversations on the disk: kept, and read again; `chat_erasing.py` erases what they quote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from itertools import count
from typing import Any

from memlm.errors import CorruptArtefactError, InputError, NotFoundError
from memlm.generate import Pattern, parse_pattern
from memlm.index import SuffixIndex, maximal_matches
from memlm.records import Turn
from memlm.storage import machine_errors, read_json, write_json
from memlm.workflow.listener import Listener
from memlm.workflow.models import MEMORY, written_models
from memlm.workflow.opening import documents_of
from memlm.workspace import Workspace

_FORMAT = 1

Finds = tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class KeptTurn:
    """A turn, and what of it stood in the documents."""

    turn: Turn
    model: str
    finds: Finds | None
    """Code points of the turn as the model read it, end not included; None where nobody looked."""
    remembered: tuple[str, ...] = ()
    """Ids of the documents that were collected in the conversation just before it."""


@dataclass(frozen=True, kw_only=True)
class KeptChat:
    """A conversation as it lies on the disk."""

    name: str
    started: str
    pattern: str
    label: str | None = None
    """Of the text as the model writes it; "" where it has none, None where none was drawn yet."""
    turns: tuple[KeptTurn, ...] = ()

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """Return what `read_chat` takes."""
        turns = [
            asdict(one.turn)
            | {"model": one.model, "finds": one.finds, "remembered": one.remembered}
            for one in self.turns
        ]
        about = {"format": _FORMAT, "started": self.started, "pattern": self.pattern}
        return about | {"label": self.label, "turns": turns}


def read_chat(workspace: Workspace, name: str) -> KeptChat | None:
    """Return a conversation; None if there is none of this name.

    Raises CorruptArtefactError where the file is not as memlm writes it, InputError where a newer
    memlm wrote it.
    """
    path = workspace.chat(name)
    try:
        found = read_json(path)
        if type(found["format"]) is int and found["format"] > _FORMAT:
            raise InputError(
                "workspace_is_newer", path=path, version=found["format"], known=_FORMAT
            )
        return _from_json(name, found)
    except NotFoundError:
        return None
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptArtefactError("artefact_unreadable", path=path) from error


def keep_chat(
    workspace: Workspace, chat: KeptChat, *, before: KeptChat | None, digest: str | None
) -> None:
    """Write a conversation in the place of what it was before; without turns it goes.

    Raises InputError, and writes nothing, if the file is not as it was before, or the documents are
    no longer those of the digest: what they lost meanwhile may be quoted here.
    """
    with workspace.writing_chats():
        is_same = read_chat(workspace, chat.name) == before
        if not is_same or documents_digest(workspace) != digest:
            raise InputError("chat_changed")
        write_chat(workspace, chat)


def text_of(turns: Sequence[Turn], number: int, pattern: Pattern) -> str:
    """Return a turn as the model read and wrote it, with the answers that it goes on from."""
    first = number
    while first and not turns[first].line:
        first -= 1
    return pattern.told(turns[first : number + 1])


def model_of(workspace: Workspace, chat: KeptChat, listener: Listener) -> str | None:
    """Return the model that a conversation went on with last, if it is still there.

    One that was brought is: whoever loads it says that its folder must be named.
    """
    if not chat.turns:
        return None
    last = chat.turns[-1].model
    if last == MEMORY or last in written_models(workspace) or workspace.is_brought(last):
        return last
    listener.note("chat_model_gone", model=last)
    return None


def new_chat_name(workspace: Workspace, today: date) -> str:
    """Return the date with the first number that is free: `2026-11-27-1`."""
    taken = set(workspace.chat_names())
    names = (f"{today.isoformat()}-{number}" for number in count(1))
    return next(name for name in names if name not in taken)


def find_in(index: SuffixIndex, text: str) -> Finds:
    """Return the longest stretches of a text that stand in the documents, however short."""
    return tuple((match.start, match.end) for match in maximal_matches(index, text))


def documents_digest(workspace: Workspace) -> str | None:
    """Return what the documents are; None where there are none."""
    if not workspace.documents_file.exists():
        return None
    with documents_of(workspace) as store:
        return store.digest()


def _from_json(name: str, found: Any) -> KeptChat:  # Any: JSON
    if found["format"] != _FORMAT:
        raise ValueError("format")
    turns = [
        KeptTurn(
            turn=Turn(
                line=str(one["line"]),
                answer=str(one["answer"]),
                ended_by=one["ended_by"],
                tokens=int(one["tokens"]),
                tokens_per_second=float(one["tokens_per_second"]),
            ),
            model=str(one["model"]),
            finds=None
            if one["finds"] is None
            else tuple((int(a), int(b)) for a, b in one["finds"]),
            remembered=tuple(map(str, one["remembered"])),
        )
        for one in found["turns"]
    ]
    pattern = str(found["pattern"])
    parse_pattern(pattern)
    label = found.get("label")  # which earlier versions drew anew
    return KeptChat(
        name=name,
        started=str(found["started"]),
        pattern=pattern,
        label=None if label is None else str(label),
        turns=tuple(turns),
    )


def write_chat(workspace: Workspace, chat: KeptChat) -> None:
    path = workspace.chat(chat.name)
    if chat.turns:
        write_json(path, chat.to_json())
    else:
        with machine_errors(path):
            path.unlink(missing_ok=True)
