"""Prepare: documents are cleaned and cut into tokens, unless that was done before."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from memlm.collect import LISTED_REJECTED, CollectConfig
from memlm.errors import ConfigError, NotFoundError
from memlm.language_model import Tokenizer
from memlm.messages import render
from memlm.prepare import (
    TOKENIZERS,
    CleanConfig,
    CleanedDocuments,
    LeftOut,
    PrepareConfig,
    SplitPlan,
    TokenStore,
    clean_documents,
    is_clean,
    settle_config,
    survey_parts,
    tokenizer_name,
    write_token_store,
)
from memlm.records import PersonalPlace, PrepareReport
from memlm.storage import new_folder, read_json, read_manifest, verify_folder
from memlm.workflow.holding_out import (
    collect_held_out,
    free_held_out,
    say_what_is_held_out,
)
from memlm.workflow.listener import Listener
from memlm.workflow.opening import AnyWorkspace, as_workspace, documents_of
from memlm.workspace import Workspace


def prepare_documents(
    workspace: AnyWorkspace,
    *,
    config: PrepareConfig | None = None,
    cleaning: CleanConfig | None = None,
    held_out: Iterable[Path | str] = (),
    collect: CollectConfig | None = None,
    processes: int | None = None,
    fresh: bool = False,
    listener: Listener | None = None,
) -> PrepareReport:
    """Clean the documents and cut them into tokens, unless that was done and nothing has changed.

    What `config` and `cleaning` leave open is done as last time, or if `fresh` as if it were the
    first: with a tokenizer that suits the text, and nothing held out by name. Files in `held_out`
    are collected, as `collect` says, as text that is measured on and never learned from, now and
    until `fresh` takes it back. The result does not depend on `processes` (None: one a core where
    there is much to do). Raises NotFoundError if there are no documents, InputError where a file
    that was to be held out gives none.
    """
    from memlm.workflow.erasing import finish_erasing  # here, since erasing prepares anew

    if processes is not None and processes < 1:
        raise ConfigError("value_too_small", option="--processes", value=processes, least=1)
    opened = as_workspace(workspace)
    finish_erasing(opened, listener=listener)
    hears = listener or Listener()
    if fresh:
        free_held_out(opened, hears)
    read = collect_held_out(opened, held_out, collect, listener)
    report = prepare_collected(opened, config, cleaning, processes, hears, fresh=fresh)
    say_what_is_held_out(opened, hears)
    rejected = [item for one in read for item in one.rejected]
    return replace(
        report,
        documents_rejected=sum(one.documents_rejected for one in read),
        rejected=tuple(rejected[:LISTED_REJECTED]),
    )


def prepare_collected(
    opened: Workspace,
    config: PrepareConfig | None,
    cleaning: CleanConfig | None,
    processes: int | None,
    hears: Listener,
    *,
    fresh: bool,
) -> PrepareReport:
    """Do what `prepare_documents` does, with the documents as they are."""
    wish = config or PrepareConfig()
    wish.check()
    last = None if fresh else _last_prepare_config(opened)
    if last is not None:
        wish = wish.over(last)
        wish.check()
    with opened.writing(), documents_of(opened) as store:
        if store.count() == 0:
            raise NotFoundError("no_documents", path=opened.path)
        digest = store.digest()
        wished = _wished_cleaning(opened, cleaning, fresh=fresh)
        cleaned = clean(opened, digest, _doable(wished, hears), processes, hears)
        if not cleaned.header["looked_for_repeats"]:
            hears.note("repeats_not_looked_for")
        copies = cleaned.header.get("held_out_copies", 0)
        if copies:
            hears.note("held_out_copies", count=copies)
        parts = cleaned.parts()
        survey = survey_parts(parts)
        settled = settle_config(survey, wish, note=lambda code, values: hears.note(code, **values))
        assert settled.tokenizer is not None  # that is what settling is
        name = tokenizer_name(settled.tokenizer, settled.vocabulary_size)
        folder = opened.prepared(name)
        # A file of a tokenizer lies outside the workspace: it is known by its name from now on.
        kept = settled if settled.tokenizer in TOKENIZERS else replace(settled, tokenizer=name)
        made_from = _made_from(digest, kept, cleaned)
        asked = _asked_split(settled) | {"has_held_out": survey.has_held_out}
        seal_before = _seal_of(opened)
        is_new = not _is_made_from(folder, made_from)
        if is_new:
            hears.note("preparing", tokenizer=folder.name)
            with new_folder(folder, made_from=made_from) as temporary:
                write_token_store(
                    temporary,
                    parts,
                    settled,
                    left_out=_left_out(cleaned),
                    plan=_last_plan(opened, asked),
                    work=opened.unfinished(name),
                    processes=processes,
                    progress=lambda done, total: hears.progress("prepare", done, total),
                )
        plan = read_json(folder / "store.json")["split"]["plan"]
        split = {"asked": asked, "plan": plan}
        opened.remember(tokenizer=folder.name, split=split, cleaning=asdict(wished))
        _say_of_sides(opened, folder, settled, seal_before, hears)
        if cleaning is not None and cleaning.redact:
            _say_of_unmasked(opened, folder, hears)
    repeats = cleaned.header["repeats"]
    return replace(
        open_tokens(folder).report(),
        repeated_passages=repeats["passages"],
        repeated_characters=repeats["characters"],
        cut_characters=repeats["cut"],
        is_new=is_new,
    )


def say_what_cleaning_took(report: PrepareReport, hears: Listener) -> None:
    """Say what is left out to who prepared on the way to something else, and reads no report."""
    if not report.is_new:
        return
    for reason, count in report.removed.items():
        hears.note("cleaned_out", count=count, reason=render(f"removed.{reason}"))
    if report.dropped:
        hears.note("documents_dropped", count=report.dropped)


@contextmanager
def cut_again(
    opened: Workspace,
    name: str,
    cleaned: CleanedDocuments,
    hears: Listener,
    *,
    tokenizer: Tokenizer | None,
) -> Iterator[Path]:
    """Cut the documents as the tokens `name` were cut, by `tokenizer` or by one that is learned.

    Hands out the folder of the new tokens, which replaces the old one at the end. Raises InputError
    where nothing is left to learn from.
    """
    folder = opened.prepared(name)
    kept = PrepareConfig(**read_manifest(folder)["made_from"]["config"])
    config, parts = prepare_config_of(opened, name), cleaned.parts()
    seal_before, split = _seal_of(opened), read_json(folder / "store.json")["split"]["plan"]
    hears.note("preparing", tokenizer=name)
    digest = cleaned.header["documents"]
    with new_folder(folder, made_from=_made_from(digest, kept, cleaned)) as temporary:
        write_token_store(
            temporary,
            parts,
            config,
            left_out=_left_out(cleaned),
            plan=SplitPlan(**split) if split["share"] else None,
            tokenizer=tokenizer,
            progress=lambda done, total: hears.progress("prepare", done, total),
        )
        yield temporary
    if name == opened.settings().get("tokenizer"):
        asked = _asked_split(config) | {"has_held_out": survey_parts(parts).has_held_out}
        plan = read_json(folder / "store.json")["split"]["plan"]
        opened.remember(split={"asked": asked, "plan": plan})
        _say_of_sides(opened, folder, config, seal_before, hears)


def _made_from(digest: str, config: PrepareConfig, cleaned: CleanedDocuments) -> dict[str, object]:
    """Return what the manifest of tokens says they were made from."""
    cleaning = {name: cleaned.header[name] for name in ("format", "config")}
    return {"documents": digest, "config": asdict(config), "cleaning": cleaning}


def _left_out(cleaned: CleanedDocuments) -> LeftOut:
    return LeftOut(
        dropped=cleaned.folder / "dropped.jsonl",
        removed=cleaned.header["removed"],
        masked=cleaned.header["masked"],
    )


def clean(
    workspace: Workspace,
    digest: str,
    config: CleanConfig,
    processes: int | None,
    listener: Listener,
) -> CleanedDocuments:
    """Return the cleaned documents, made anew unless these are they."""
    if is_clean(workspace.cleaned, digest=digest, config=config):
        return CleanedDocuments(workspace.cleaned, workspace.documents_file)
    return clean_documents(
        workspace.cleaned,
        workspace.documents_file,
        config,
        processes=processes,
        progress=lambda done, total: listener.progress("clean", done, total),
    )


def settle_cleaning(workspace: Workspace, listener: Listener) -> CleanConfig:
    """Return how the documents are cleaned: as last time, as far as that can be done here."""
    return _doable(_wished_cleaning(workspace, None, fresh=False), listener)


def _wished_cleaning(workspace: Workspace, wish: CleanConfig | None, *, fresh: bool) -> CleanConfig:
    """Return what is wished for; what that leaves open was wished for last time."""
    wish = wish or CleanConfig()
    last = None if fresh else workspace.settings().get("cleaning")
    if last is not None:
        wish = wish.over(CleanConfig.from_json(last))
    wish.check()
    return wish


def _doable(wish: CleanConfig, listener: Listener) -> CleanConfig:
    """Return what of a wish can be done here; a package that is missing today may come tomorrow."""
    settled, absent = wish.settled()
    for step in absent:
        listener.note("step_unavailable", step=step)
    return settled


def _asked_split(config: PrepareConfig) -> dict[str, object]:
    """Return what a person said of the split: while it stays, so does the plan."""
    names = ("held_out_share", "sealed", "split_seed", "split_by", "group_column")
    return {name: getattr(config, name) for name in names}


def _last_plan(workspace: Workspace, asked: dict[str, object]) -> SplitPlan | None:
    """Return the plan of the split that is in force, which all tokenizers share."""
    last = workspace.settings().get("split")
    if last is None or last["asked"] != asked or not last["plan"]["share"]:
        return None
    return SplitPlan(**last["plan"])


def _seal_of(workspace: Workspace) -> dict[str, object] | None:
    """Return the seal of the tokens that were prepared last."""
    name = workspace.settings().get("tokenizer")
    file = workspace.prepared(name) / "store.json" if name is not None else None
    if file is None or not file.exists():
        return None
    seal: dict[str, object] | None = read_json(file).get("sealed")
    return seal


def _say_of_sides(
    workspace: Workspace,
    folder: Path,
    config: PrepareConfig,
    before: dict[str, object] | None,
    listener: Listener,
) -> None:
    """Say where a side that was asked for is empty, and where what was sealed is another now."""
    tokens = read_json(folder / "store.json")["counts"]["tokens"]
    for side, share in (("held_out", config.held_out_share), ("sealed", config.sealed)):
        if share and not tokens[side]:
            listener.note("side_empty", side=render(f"side.{side}"), share=share)
    now = _seal_of(workspace)
    if before is not None and now is None:
        listener.note("seal_opened", units=before["units"])
    elif (
        before is not None
        and now is not None
        and before.get("format") == now.get("format")  # an older memlm hashed something else
        and before["sha256"] != now["sha256"]
    ):
        listener.note("seal_changed", before=before["units"], now=now["units"])


def _say_of_unmasked(workspace: Workspace, folder: Path, listener: Listener) -> None:
    """Say which tokens beside those in `folder` still hold what was not masked."""
    names = [
        name
        for name in workspace.tokenizer_names()
        if name != folder.name and not _is_masked(workspace.prepared(name))
    ]
    if names:
        listener.note(
            "tokens_unmasked",
            tokenizers=render("list.comma").join(names),
            folder=folder.parent,
        )


def _is_masked(folder: Path) -> bool:
    cleaning = read_manifest(folder)["made_from"]["cleaning"]
    return bool(cleaning["config"].get("redact"))


def masked_places(
    workspace: Workspace, document_ids: Collection[str], listener: Listener
) -> dict[str, list[PersonalPlace]]:
    """Return where these documents were masked, as collected; cleaned anew where that is stale."""
    if not (workspace.cleaned / "cleaned.json").exists() or not document_ids:
        return {}
    config = settle_cleaning(workspace, listener)
    if not config.redact:
        return {}
    with documents_of(workspace) as store:
        digest = store.digest()
    with ExitStack() as held:
        if not is_clean(workspace.cleaned, digest=digest, config=config):
            held.enter_context(workspace.writing())
        cleaned = clean(workspace, digest, config, None, listener)
        found: dict[str, list[PersonalPlace]] = {}
        for place in cleaned.masked():
            if place.document_id in document_ids:
                found.setdefault(place.document_id, []).append(place)
    return found


def _last_prepare_config(workspace: Workspace) -> PrepareConfig | None:
    name = workspace.settings().get("tokenizer")
    if name is None or not (workspace.prepared(name) / "manifest.json").exists():
        return None
    return prepare_config_of(workspace, name)


def prepare_config_of(workspace: Workspace, name: str) -> PrepareConfig:
    """Return how the tokens of a tokenizer were made; one from a file is found beside them."""
    last = PrepareConfig(**read_manifest(workspace.prepared(name))["made_from"]["config"])
    if last.tokenizer in TOKENIZERS:
        return last
    return replace(last, tokenizer=str(workspace.prepared(name) / "tokenizer.json"))


def open_tokens(folder: Path) -> TokenStore:
    """Open tokens, every byte checked; CorruptArtefactError if one has changed."""
    verify_folder(folder)
    return TokenStore(folder)


def _is_made_from(folder: Path, made_from: Mapping[str, object]) -> bool:
    if not (folder / "manifest.json").exists():
        return False
    return bool(read_manifest(folder)["made_from"] == made_from)
