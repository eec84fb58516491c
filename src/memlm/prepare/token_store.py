"""The token store: all tokens of one tokenizer, memory-mapped, each knowing its document.

    tokens.bin     token ids, end to end              tokenizer.json   what made them
    offsets.bin    code point of the collected text   documents.txt    document ids
    units.bin      one record a stretch of one split  store.json       sizes, counts, shards
    dropped.jsonl  documents left out, and why

A *unit* is a stretch of one document on one side of the split. Its tokens are, in order, the
label's (where the unit begins the document), the text's, and the end's (where it ends it). A
*shard* is what one part of the cleaned documents became: a stretch of tokens.bin with a checksum of
its own, so that damage can be told to a place.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from memlm.errors import ConfigError, CorruptArtefactError, InputError
from memlm.language_model import Tokenizer
from memlm.prepare.children import Job, run_jobs
from memlm.prepare.cleaned import Part, Survey, survey_parts
from memlm.prepare.config import DEFAULTS, PrepareConfig
from memlm.prepare.split import SplitPlan, Splitter, plan_split
from memlm.prepare.token_parts import UNIT, cut_part, token_dtype
from memlm.prepare.tokenizer import load_tokenizer
from memlm.prepare.vocabulary import LEARNED_CHARACTERS, learn_tokenizer
from memlm.records import SPLITS, PrepareReport, Split
from memlm.storage import MANIFEST, delete_folder, hash_json, read_json, write_json
from memlm.tasks import stretches_of

DEFAULT_HELD_OUT_SHARE = 0.1
_SURELY_BOTH = 30  # documents to be expected on the smaller side
_SEEDS_TRIED = 100
_MOST_NAMES = 10_000
_SHARES = 1 << 16
_PART_FORMAT, _SEAL_FORMAT = 3, 2  # others when other things are written, or hashed


class TokenStore:
    """A token store on disk, opened for reading."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        header = read_json(folder / "store.json")
        self.header: dict[str, object] = header
        self.tokenizer: Tokenizer = load_tokenizer(folder / "tokenizer.json")
        self.tokens = _map(folder / "tokens.bin", header["token_dtype"], header["tokens"])
        self.offsets = _map(folder / "offsets.bin", "<u4", header["tokens"])
        self.units: Any = _map(folder / "units.bin", UNIT, header["units"])  # Any: records by name
        self.document_ids = DocumentIds(folder / "documents.txt")

    def units_of(self, split: Split) -> npt.NDArray[np.void]:
        """Return the unit records of one split."""
        return np.asarray(self.units[self.units["split"] == SPLITS.index(split)])

    def document_of(self, position: int) -> str:
        """Return the id of the document that the token at `position` belongs to."""
        unit = int(np.searchsorted(self.units["token_start"], position, side="right")) - 1
        return self.document_ids[int(self.units["document"][unit])]

    def report(self) -> PrepareReport:
        """Return what the preparation counted."""
        counts = self.header["counts"]
        assert isinstance(counts, dict)
        return PrepareReport(**counts)


class DocumentIds(Sequence[str]):
    """The ids of the documents of a token store. All are equally long, and stay on disk."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            width = len(file.readline())
        if width == 0:
            raise CorruptArtefactError("artefact_unreadable", path=path)
        self._lines = _map(path, f"S{width}", path.stat().st_size // width)

    def __len__(self) -> int:
        return len(self._lines)

    @overload
    def __getitem__(self, number: int) -> str: ...

    @overload
    def __getitem__(self, number: slice) -> list[str]: ...

    def __getitem__(self, number: int | slice) -> str | list[str]:
        if isinstance(number, slice):
            return [self[at] for at in range(len(self))[number]]
        return str(self._lines[number].decode("ascii").rstrip("\n"))


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """What cleaning left out, for the report."""

    dropped: Path | None = None
    """List of documents."""
    removed: Mapping[str, int] = field(default_factory=dict)
    """Code points, by reason."""
    masked: Mapping[str, int] = field(default_factory=dict)
    """Personal data, by kind."""


def write_token_store(
    folder: Path,
    parts: Sequence[Part],
    config: PrepareConfig,
    *,
    left_out: LeftOut | None = None,
    plan: SplitPlan | None = None,
    tokenizer: Tokenizer | None = None,
    work: Path | None = None,
    processes: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> PrepareReport:
    """Cut all parts into tokens in `folder` (an empty one that `storage` gave).

    `config` is settled (see `settle_config`). `left_out` is what cleaning did before. `plan` is the
    split of last time, kept while it leaves text on both sides, so that a document that is added
    moves no other. `tokenizer` is used as it is, where none is to be learned. `work` is a folder
    where finished parts wait for the others and survive a crash (by default inside `folder`, where
    they do not). `progress(done, total)` counts code points. The store does not depend on
    `processes`. Raises InputError if nothing is left to learn from.
    """
    config, survey = config.over(DEFAULTS), survey_parts(parts)
    if not survey.characters:
        raise InputError("nothing_to_prepare")
    splitter = _plan(parts, config, survey, plan)
    tokenizer = tokenizer or _tokenizer(parts, config, splitter, survey)
    work = work or folder / "work"
    work.mkdir(parents=True, exist_ok=True)
    write_json(work / "tokenizer.json", tokenizer.to_json())
    manner = hash_json([_PART_FORMAT, tokenizer.to_json(), splitter.to_json()])
    names = [f"part-{hash_json([manner, part.key])}" for part in parts]
    for old in work.glob("part-*"):
        if old.name not in names:
            delete_folder(old)
    _cut(work, names, parts, tokenizer, splitter, processes, progress)
    report = _join(folder, work, names, tokenizer, splitter, left_out)
    shutil.rmtree(work)
    return report


def _tokenizer(
    parts: Sequence[Part], config: PrepareConfig, splitter: Splitter, survey: Survey
) -> Tokenizer:
    assert config.tokenizer is not None  # it is settled
    share = 1.0
    if config.tokenizer == "bpe":  # which learns from some of the documents where there are many
        share = min(1.0, LEARNED_CHARACTERS / survey.characters)
    return learn_tokenizer(
        config.tokenizer,
        (
            draft.text[start:end]
            for part in parts
            for draft in part.drafts()
            if share == 1.0 or int(draft.document.id, 16) % _SHARES < share * _SHARES
            for piece in splitter.pieces(draft)
            if piece.split == "train"
            for start, end in stretches_of(draft.text, piece.start, piece.end)
        ),
        size=config.vocabulary_size,
        labels=sorted(survey.labels),
    )


def _cut(
    work: Path,
    names: Sequence[str],
    parts: Sequence[Part],
    tokenizer: Tokenizer,
    splitter: Splitter,
    processes: int | None,
    progress: Callable[[int, int], None],
) -> None:
    """Cut the parts that are not there yet."""
    sizes = [part.survey.characters for part in parts]
    todo = [n for n, name in enumerate(names) if not (work / name / MANIFEST).exists()]
    total, done = sum(sizes), sum(sizes) - sum(sizes[number] for number in todo)
    handles = [parts[number].to_json() for number in todo]
    if any(handle is None for handle in handles):
        for number in todo:
            cut_part(work / names[number], parts[number], tokenizer, splitter)
            progress(done := done + sizes[number], total)
        return
    jobs = [
        Job(
            "encode",
            {
                "folder": str(work / names[number]),
                "part": handle,
                "tokenizer": str(work / "tokenizer.json"),
                "splitter": splitter.to_json(),
            },
            sizes[number],
        )
        for number, handle in zip(todo, handles, strict=True)
    ]
    for number, _ in run_jobs(jobs, processes=processes):
        progress(done := done + sizes[todo[number]], total)


def _join(
    folder: Path,
    work: Path,
    names: Sequence[str],
    tokenizer: Tokenizer,
    splitter: Splitter,
    left_out: LeftOut | None,
) -> PrepareReport:
    """Lay the parts end to end, and write what is known only of all of them."""
    dtype = token_dtype(tokenizer.vocabulary_size)
    shards, num_tokens, num_documents = [], 0, 0
    counts = _UnitCounts()
    for kind in ("tokens.bin", "offsets.bin", "documents.txt"):
        with (folder / kind).open("wb") as file:
            for name in names:
                with (work / name / kind).open("rb") as part:
                    shutil.copyfileobj(part, file, 1 << 20)
    with (folder / "units.bin").open("wb") as file:
        for name in names:
            held = np.fromfile(work / name / "units.bin", dtype=UNIT)
            size = (work / name / "tokens.bin").stat().st_size // dtype.itemsize
            sha256 = read_json(work / name / MANIFEST)["files"]["tokens.bin"]["sha256"]
            shards.append({"start": num_tokens, "end": num_tokens + size, "sha256": sha256})
            held["document"] += num_documents
            held["token_start"] += num_tokens
            held["token_end"] += num_tokens
            file.write(held.tobytes())
            counts.add(held)
            num_tokens += size
            num_documents += int((work / name / "documents.txt").read_bytes().count(b"\n"))
    report = _report(counts, num_documents, tokenizer, folder, left_out or LeftOut())
    if not report.tokens["train"]:
        raise InputError("nothing_to_prepare")
    header = {
        "token_dtype": dtype.str,
        "tokens": num_tokens,
        "units": counts.units,
        "shards": shards,
        "split": splitter.to_json(),
        "sealed": _seal(work / name for name in names),
        # What a call could not read belongs to that call, not to the tokens.
        "counts": {
            name: value for name, value in report.__dict__.items() if "rejected" not in name
        },
    }
    for name, value in (("store.json", header), ("tokenizer.json", tokenizer.to_json())):
        text = json.dumps(value, ensure_ascii=False)
        (folder / name).write_text(text, encoding="utf-8")
    return report


class _UnitCounts:
    """What is counted of the units of all parts."""

    def __init__(self) -> None:
        self.units = self.unknown = self.characters = 0
        self.tokens: dict[str, int] = dict.fromkeys(SPLITS, 0)

    def add(self, units: npt.NDArray[Any]) -> None:
        """Count those of one part."""
        self.units += len(units)
        self.unknown += int(units["unknown"].sum())
        self.characters += int(units["characters"].sum())
        lengths = units["token_end"] - units["token_start"]
        for number, split in enumerate(SPLITS):
            self.tokens[split] += int(lengths[units["split"] == number].sum())


def _report(
    counts: _UnitCounts,
    num_documents: int,
    tokenizer: Tokenizer,
    folder: Path,
    left_out: LeftOut,
) -> PrepareReport:
    drops = _copy_dropped(left_out.dropped, folder)
    return PrepareReport(
        documents=num_documents,
        dropped=sum(drops.values()),
        dropped_by_reason=dict(drops),
        tokens=counts.tokens,
        tokenizer=tokenizer.name,
        vocabulary_size=tokenizer.vocabulary_size,
        unknown=counts.unknown,
        characters=counts.characters,
        removed=dict(left_out.removed),
        masked=dict(left_out.masked),
    )


def _copy_dropped(dropped: Path | None, folder: Path) -> Counter[str]:
    """Put the list of what was left out beside the tokens; return how many for each reason."""
    if dropped is None:
        (folder / "dropped.jsonl").write_bytes(b"")
    else:
        shutil.copyfile(dropped, folder / "dropped.jsonl")
    with (folder / "dropped.jsonl").open(encoding="utf-8") as lines:
        return Counter(json.loads(line)["reason"] for line in lines)


def _seal(parts: Iterable[Path]) -> dict[str, object] | None:
    """Return what proves later that the sealed side is still the one that was put away.

    Hashed are the documents and the text of their stretches. Tokens are not: their numbers change
    where another text brings a new symbol into the vocabulary.
    """
    held, units = hashlib.sha256(), 0
    for part in parts:
        with (part / "sealed.txt").open("rb") as lines:
            for line in lines:
                held.update(line)
                units += 1
    return {"format": _SEAL_FORMAT, "units": units, "sha256": held.hexdigest()} if units else None


def _plan(
    parts: Sequence[Part], config: PrepareConfig, survey: Survey, last: SplitPlan | None
) -> Splitter:
    share, first, sealed = config.held_out_share, config.split_seed or 0, config.sealed or 0.0
    if share is None:
        share = 0.0 if survey.has_held_out else DEFAULT_HELD_OUT_SHARE
    plan = last or plan_split(survey.free, share=share, seed=first, sealed=sealed)
    splitter = Splitter(plan, config.split_by == "file", config.group_column)
    if config.group_column is not None:
        _require_column(parts, config.group_column)
    if splitter.by_file or splitter.group_column is not None:
        splitter = splitter.joining(draft for part in parts for draft in part.grouped())
    is_large = plan.block_characters is None and survey.free.count * share > _SURELY_BOTH
    if share == 0 or (is_large and config.split_by == "document" and not config.group_column):
        return splitter
    sides = _sides_by_plan(parts, splitter)
    # In a small collection chance may leave one side empty; the next seed that does not is taken.
    for seed in [plan.seed, *range(first, first + _SEEDS_TRIED)]:
        tried = replace(plan, seed=seed)
        if sides(tried) >= {"train", "held_out"}:
            return replace(splitter, plan=tried)
    if last is not None:  # what it was made for has gone
        return _plan(parts, config, survey, None)
    return replace(splitter, plan=SplitPlan(0.0, first, None, sealed))


def _sides_by_plan(parts: Sequence[Part], splitter: Splitter) -> Callable[[SplitPlan], set[Split]]:
    """Return what says on which sides a plan leaves text.

    Where documents stay whole their names are read once, and no more of them than surely suffice.
    """
    if splitter.plan.block_characters is not None:
        return lambda plan: {
            piece.split
            for part in parts
            for draft in part.drafts()
            for piece in replace(splitter, plan=plan).pieces(draft)
        }
    fixed: set[Split] = set()
    names: set[str] = set()
    for part in parts:
        for draft in part.drafts():
            if draft.document.split is not None:
                fixed.add(draft.document.split)
            elif len(names) < _MOST_NAMES:
                names.add(splitter.name_of(draft))
    return lambda plan: fixed | {plan.side(name) for name in names}


def _require_column(parts: Sequence[Part], column: str) -> None:
    found: set[str] = set()
    for part in parts:
        for draft in part.drafts():
            if column in draft.document.fields:
                return
            found.update(draft.document.fields)
    raise ConfigError("group_column_missing", column=column, found=", ".join(sorted(found)) or "—")


def _map(path: Path, dtype: npt.DTypeLike, count: int) -> npt.NDArray[np.generic]:
    if path.stat().st_size != np.dtype(dtype).itemsize * count:
        raise CorruptArtefactError("artefact_unreadable", path=path)
    return np.asarray(np.memmap(path, dtype=dtype, mode="r", shape=(count,))).view(np.ndarray)
