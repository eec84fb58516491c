"""Conversations on the disk: kept, read again, and erased with the documents that they quote.

A turn is kept with its *finds*: the longest stretches of it that stood in the documents when it was
written. When documents are erased, each must still stand in those that are left. Otherwise the
turn held what only the erased documents had, and it goes, with all turns after it, which were
written with it in mind. So no text goes on that an erased document alone had, be it a single rare
character.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any

from memlm.errors import CorruptArtefactError, InputError, NotFoundError
from memlm.generate import Pattern, parse_pattern
from memlm.index import SuffixIndex, is_current, maximal_matches, open_index
from memlm.records import Turn
from memlm.storage import delete_folder, machine_errors, read_json, write_json
from memlm.workflow.blanking import Leftovers
from memlm.workflow.listener import Listener
from memlm.workflow.models import MEMORY, written_models
from memlm.workflow.opening import documents_of, ensure_index
from memlm.workspace import Workspace

_FORMAT = 1
_LOCK = "lock"

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
    turns: tuple[KeptTurn, ...] = ()

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """Return what `read_chat` takes."""
        turns = [
            asdict(one.turn)
            | {"model": one.model, "finds": one.finds, "remembered": one.remembered}
            for one in self.turns
        ]
        about = {"format": _FORMAT, "started": self.started, "pattern": self.pattern}
        return about | {"turns": turns}


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
        _write(workspace, chat)


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


def require_known_chats(workspace: Workspace) -> None:
    """Raise InputError where a newer memlm wrote a conversation: nobody here can shorten it."""
    for name in workspace.chat_names():
        with suppress(CorruptArtefactError):
            try:
                read_chat(workspace, name)
            except InputError as error:
                if error.code == "workspace_is_newer":
                    raise


def forget_in_chats(left: Leftovers) -> Iterator[str]:
    """Shorten conversations to before the first turn that held what is gone; say so."""
    if not left.workspace.chats.is_dir():
        return
    with left.workspace.writing_chats():
        changed = [*_delete_damaged(left.workspace), *_shorten(left)]
    for path in changed:
        yield left.place_of(path)


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
    return KeptChat(name=name, started=str(found["started"]), pattern=pattern, turns=tuple(turns))


def _write(workspace: Workspace, chat: KeptChat) -> None:
    path = workspace.chat(chat.name)
    if chat.turns:
        write_json(path, chat.to_json())
    else:
        with machine_errors(path):
            path.unlink(missing_ok=True)


def _delete_damaged(workspace: Workspace) -> Iterator[Path]:
    """Delete what is no conversation: nobody can say what it quotes.

    Raises InputError, and deletes nothing, where a newer memlm wrote one.
    """
    require_known_chats(workspace)
    kept = {workspace.chats / _LOCK}
    for name in workspace.chat_names():
        with suppress(CorruptArtefactError, InputError):
            read_chat(workspace, name)
            kept.add(workspace.chat(name))
    for path in sorted({*workspace.chats.iterdir()} - kept):
        if path.is_dir():
            delete_folder(path)
        else:
            with machine_errors(path):
                path.unlink()
        yield path


def _shorten(left: Leftovers) -> Iterator[Path]:
    workspace = left.workspace
    chats = [chat for name in workspace.chat_names() if (chat := read_chat(workspace, name))]
    if not chats:
        return
    # Documents that were collected later than a turn may have its words, too. Whatever the index
    # still says of them is written down before the index forgets it.
    index = _index_as_it_lies(workspace)
    if index is not None:
        chats = [_found_more(chat, index) for chat in chats]
        for chat in chats:
            _write(workspace, chat)
    if not left.is_empty and not is_current(workspace.character_index, digest=left.digest):
        yield workspace.character_index
    index, ids = _index_of_what_is_left(left)
    for chat in chats:
        clean = _clean_turns(chat, index, ids)
        if clean < len(chat.turns):
            lost = len(chat.turns) - clean
            left.listener.note("chat_shortened", name=chat.name, lost=lost, turns=clean)
            _write(workspace, replace(chat, turns=chat.turns[:clean]))
            yield workspace.chat(chat.name)


def _index_as_it_lies(workspace: Workspace) -> SuffixIndex | None:
    """Return the index before anything is taken out of it; None where there is none to be used."""
    try:
        return open_index(workspace.character_index, contents=False)
    except (NotFoundError, CorruptArtefactError):
        return None


def _index_of_what_is_left(left: Leftovers) -> tuple[SuffixIndex, frozenset[str]]:
    workspace = left.workspace
    if left.is_empty:
        return SuffixIndex([]), frozenset()
    try:
        ensure_index(workspace, left.listener)
    except CorruptArtefactError:
        delete_folder(workspace.character_index)
        ensure_index(workspace, left.listener)
    with documents_of(workspace) as store:
        return open_index(workspace.character_index, contents=False), frozenset(store.ids())


def _found_more(chat: KeptChat, index: SuffixIndex) -> KeptChat:
    pattern = parse_pattern(chat.pattern)

    spoken = [one.turn for one in chat.turns]

    def renewed(number: int, one: KeptTurn) -> KeptTurn:
        if one.finds is None:
            return one
        found = find_in(index, text_of(spoken, number, pattern))
        return replace(one, finds=tuple(sorted({*one.finds, *found})))

    return replace(chat, turns=tuple(renewed(n, one) for n, one in enumerate(chat.turns)))


def _clean_turns(chat: KeptChat, index: SuffixIndex, ids: frozenset[str]) -> int:
    """Return how many turns have nothing of the documents that those which are left have not."""
    pattern, spoken = parse_pattern(chat.pattern), [one.turn for one in chat.turns]
    for number, one in enumerate(chat.turns):
        if one.finds is None or not ids.issuperset(one.remembered):
            return number
        starts = index.longest_starts(text_of(spoken, number, pattern)).tolist()
        if any(starts[end - 1] > start for start, end in one.finds):
            return number
    return len(chat.turns)
