"""Erase: the text of removed documents leaves every file that was made from it."""

from __future__ import annotations

from memlm.errors import CorruptArtefactError, InputError, NotFoundError
from memlm.index import is_current
from memlm.storage import delete_folder, new_file, read_json
from memlm.workflow.listener import Listener
from memlm.workflow.opening import AnyWorkspace, as_workspace, documents_of, ensure_index
from memlm.workflow.preparing import clean, prepare_collected, prepare_config_of, settle_cleaning
from memlm.workspace import Workspace


def erase_removed(workspace: AnyWorkspace, *, listener: Listener | None = None) -> None:
    """Take the text of removed documents out of every file that was made from the documents.

    Tokens and index segments that hold any are made anew without them; statistics, which hold
    words, are measured when they are asked for again. What a model has learned
    stays in its weights; `describe_workspace` says which models that concerns.
    """
    hears = listener or Listener()
    opened = as_workspace(workspace)
    with opened.writing():
        if not opened.settings().get("erasing"):
            opened.remember(erasing=True)  # so that a killed run is finished by the next
        with new_file(opened.documents_file) as temporary, documents_of(opened) as store:
            current, digest = set(store.ids()), store.digest()
            store.write_compact(temporary)
        for work in opened.unfinished_folders():
            delete_folder(work)
        _forget_statistics(opened, digest)
        opened.attention_page.unlink(missing_ok=True)  # whose text may be one of them
        opened.trace_page.unlink(missing_ok=True)
        for folded in opened.folded_indexes():  # made again when asked for
            delete_folder(folded)
        if not current:
            delete_folder(opened.character_index)
        if not current or not (opened.cleaned / "cleaned.json").exists():
            delete_folder(opened.cleaned)  # what lies there was left by a crash
        else:
            clean(opened, digest, settle_cleaning(opened, hears), None, hears)
        last = opened.settings().get("tokenizer")
        for name in opened.tokenizer_names():
            held = (opened.prepared(name) / "documents.txt").read_text("ascii").splitlines()
            if not current.issuperset(held):
                _prepare_what_is_left(opened, name, hears)
        if last is not None:
            opened.remember(tokenizer=last)
        if opened.character_index.exists() and not is_current(
            opened.character_index, digest=digest
        ):
            ensure_index(opened, hears)
        opened.remember(erasing=False)


def finish_erasing(workspace: AnyWorkspace, *, listener: Listener | None = None) -> bool:
    """Erase what a run that was killed, or had no disk left, did not; say whether there was one."""
    try:
        opened = as_workspace(workspace)
    except NotFoundError:
        return False
    if not opened.settings().get("erasing") or not opened.documents_file.exists():
        return False
    erase_removed(opened, listener=listener)
    return True


def _forget_statistics(workspace: Workspace, digest: str) -> None:
    """Delete statistics of other documents: they hold words. They are measured when asked for."""
    try:
        made_from = read_json(workspace.statistics_file)["made_from"]["documents"]
    except (NotFoundError, CorruptArtefactError, KeyError, TypeError):
        made_from = None
    if made_from != digest:
        workspace.statistics_file.unlink(missing_ok=True)
        workspace.statistics_page.unlink(missing_ok=True)


def _prepare_what_is_left(workspace: Workspace, tokenizer: str, listener: Listener) -> None:
    """Make tokens anew that held removed documents; where nothing is left, they go."""
    config = prepare_config_of(workspace, tokenizer)
    cleaning = settle_cleaning(workspace, listener)
    try:  # as these tokens were made, whatever was prepared last
        prepare_collected(workspace, config, cleaning, None, listener, fresh=True)
    except (InputError, NotFoundError) as error:
        if error.code not in ("nothing_to_prepare", "no_documents"):
            raise
        delete_folder(workspace.prepared(tokenizer))
