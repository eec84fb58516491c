"""Conversations when documents are erased: what quotes them goes with them.

A turn is kept with its *finds*: the longest stretches of it that stood in the documents when it was
written. When documents are erased, each must still stand in those that are left. Otherwise the
turn held what only the erased documents had, and it goes, with all turns after it, which were
written with it in mind. So no text goes on that an erased document alone had, be it a single rare
character.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from memlm.errors import CorruptArtefactError, InputError, NotFoundError
from memlm.generate import parse_pattern
from memlm.index import SuffixIndex, is_current, open_index
from memlm.storage import delete_folder, machine_errors
from memlm.workflow.blanking import Leftovers
from memlm.workflow.chats import KeptChat, KeptTurn, find_in, read_chat, text_of, write_chat
from memlm.workflow.listener import Listener
from memlm.workflow.opening import documents_of, ensure_index
from memlm.workspace import Workspace

_LOCK = "lock"
_MARKS = (("finds",), ("remembered",), ("format", "started", "pattern"))
"""Keys that a turn has, or that open a conversation, and no other file of a person's would."""


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
        _note_strangers(left.workspace, left.listener)
    for path in changed:
        yield left.place_of(path)


def _delete_damaged(workspace: Workspace) -> Iterator[Path]:
    """Delete conversations that are damaged: nobody can say what they quote.

    Raises InputError, and deletes nothing, where a newer memlm wrote one.
    """
    require_known_chats(workspace)
    sound = {workspace.chat(chat.name) for chat in _sound_chats(workspace)}
    for path in sorted({*workspace.chats.iterdir()} - sound):
        if _was_chat(path):
            with machine_errors(path):
                path.unlink()
            yield path


def _was_chat(path: Path) -> bool:
    """Say whether a file has the marks of a conversation, damaged as it may be."""
    if path.suffix != ".json" or not path.is_file():
        return False
    with machine_errors(path):
        data = path.read_bytes()
    return any(all(f'"{key}":'.encode() in data for key in keys) for keys in _MARKS)


def _note_strangers(workspace: Workspace, listener: Listener) -> None:
    """Say what lies there that memlm did not write: it is somebody's own, and stays."""
    ours = {workspace.chats / _LOCK, *(workspace.chat(one.name) for one in _sound_chats(workspace))}
    if names := sorted(path.name for path in {*workspace.chats.iterdir()} - ours):
        listener.note(
            "chats_strangers", folder=workspace.chats, count=len(names), names=", ".join(names)
        )


def _sound_chats(workspace: Workspace) -> Iterator[KeptChat]:
    """Yield all conversations that can be read."""
    for name in workspace.chat_names():
        with suppress(CorruptArtefactError, InputError):
            if chat := read_chat(workspace, name):
                yield chat


def _shorten(left: Leftovers) -> Iterator[Path]:
    workspace = left.workspace
    chats = [*_sound_chats(workspace)]
    if not chats:
        return
    # Documents that were collected later than a turn may have its words, too. Whatever the index
    # still says of them is written down before the index forgets it.
    index = _index_as_it_lies(workspace)
    if index is not None:
        chats = [_found_more(chat, index) for chat in chats]
        for chat in chats:
            write_chat(workspace, chat)
    if not left.is_empty and not is_current(workspace.character_index, digest=left.digest):
        yield workspace.character_index
    index, ids, labels = _index_of_what_is_left(left)
    for chat in chats:
        clean = _clean_turns(chat, index, ids)
        if lost := len(chat.turns) - clean:
            left.listener.note("chat_shortened", name=chat.name, lost=lost, turns=clean)
        has_label = not chat.label or chat.label in labels  # or only erased documents had it
        kept = replace(chat, label=chat.label if has_label else None, turns=chat.turns[:clean])
        if kept != chat:
            write_chat(workspace, kept)
            yield workspace.chat(chat.name)


def _index_as_it_lies(workspace: Workspace) -> SuffixIndex | None:
    """Return the index before anything is taken out of it; None where there is none to be used."""
    try:
        return open_index(workspace.character_index, contents=False)
    except (NotFoundError, CorruptArtefactError):
        return None


def _index_of_what_is_left(
    left: Leftovers,
) -> tuple[SuffixIndex, frozenset[str], frozenset[str]]:
    """Return the index of the documents that are left, their ids, and their labels."""
    workspace = left.workspace
    if left.is_empty:
        return SuffixIndex([]), frozenset(), frozenset()
    try:
        ensure_index(workspace, left.listener)
    except CorruptArtefactError:
        delete_folder(workspace.character_index)
        ensure_index(workspace, left.listener)
    with documents_of(workspace) as store:
        index = open_index(workspace.character_index, contents=False)
        return index, frozenset(store.ids()), frozenset(store.labels())


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
