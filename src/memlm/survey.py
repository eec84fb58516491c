"""What are the documents made of? Measured once, kept, and shown as a page.

`statistics.json` keeps the walk over the documents, so that it is not walked again while they are
the same; `statistics.html` is written anew each time, in the language in force.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from memlm.documents import DocumentStore
from memlm.errors import CorruptArtefactError, NotFoundError
from memlm.messages import find, render
from memlm.pages.statistics import statistics_page
from memlm.prepare.language import language_of
from memlm.prepare.personal import find_personal_data
from memlm.prepare.statistics import Tools, measure_documents
from memlm.prepare.stop_words import stop_words
from memlm.runtime import require_package
from memlm.storage import new_file, read_json, write_json
from memlm.workspace import Workspace, open_workspace

_FORMAT = 1  # another one when what is measured, or how, has changed
_NEEDED = (
    ("jinja2", "pages"), ("rjieba", "words"), ("HanTa", "words"), ("phonenumbers", "words"),
    ("py3langid", "words"),
)  # fmt: skip
Json = dict[str, Any]  # Any: JSON


def survey_workspace(
    workspace: Workspace | Path | str,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Json:
    """Measure the documents of a workspace, write `statistics.html` into it, return the figures.

    They are those of `prepare.statistics.Statistics`, and besides:

    * `near_duplicates`: documents that were left out as near copies, None where none were;
    * `rejected` [{code, count, example}], `dropped` [{tokenizer, step, reason, count, example}];
    * `removed` [{tokenizer, reason, count}]: characters that cleaning took out of what stays;
    * `tokenizers` [{tokenizer, vocabulary_size, tokens, characters_per_token, unknown,
      unknown_share}], the share in tokens;
    * `page`: the name of the page.

    `progress(done, total)` counts characters.
    Raises NotFoundError if there are no documents, MissingExtraError without `words` or `pages`.
    """
    opened = workspace if isinstance(workspace, Workspace) else open_workspace(workspace)
    if not opened.documents_file.exists():
        raise NotFoundError("no_documents", path=opened.path)
    for package, extra in _NEEDED:
        require_package(package, extra=extra)  # now, not after an hour of counting
    with opened.undisturbed(), DocumentStore(opened.documents_file) as store:
        if store.count() == 0:
            raise NotFoundError("no_documents", path=opened.path)
        found = _measured(opened, store, progress)
        found["rejected"] = _rejected(store)
        found["dropped"] = list(_dropped(opened))
        near = [row["count"] for row in found["dropped"] if row["reason"] == "near_copy"]
        found["near_duplicates"] = max(near, default=None)
        found["tokenizers"] = [_tokenizer(opened, name) for name in opened.tokenizer_names()]
        found["removed"] = list(_removed(opened))
        found["page"] = opened.statistics_page.name
        page = statistics_page(found, name=opened.path.resolve().name)
        _write_page(opened.statistics_page, page)
    return found


def _write_page(path: Path, page: str) -> None:
    """Write the page unless it is there as it should be: then nothing need be allowed."""
    data = page.encode("utf-8")
    if path.is_file() and path.read_bytes() == data:
        return
    with new_file(path) as temporary:
        temporary.write_bytes(data)


def _measured(
    workspace: Workspace, store: DocumentStore, progress: Callable[[int, int], None]
) -> Json:
    made_from = {"documents": store.digest(), "format": _FORMAT}
    kept = _kept(workspace.statistics_file)
    if kept.get("made_from") == made_from:
        return dict(kept["statistics"])
    total = store.characters()
    measured = measure_documents(store, _TOOLS, progress=lambda done: progress(done, total))
    kept = {"made_from": made_from, "statistics": asdict(measured)}
    write_json(workspace.statistics_file, kept)
    return dict(json.loads(json.dumps(kept["statistics"])))  # as it will be read back


def _kept(path: Path) -> Json:
    """Return what was measured before; nothing where that is damaged: it can be measured again."""
    try:
        found = read_json(path)
    except (NotFoundError, CorruptArtefactError):
        return {}
    return found if isinstance(found, dict) else {}


def _rejected(store: DocumentStore) -> list[Json]:
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for code, rejected in store.rejected_by_code():
        counts[code] += 1
        if code not in examples:
            place = rejected.source + (f":{rejected.position}" if rejected.position else "")
            examples[code] = render("statistics.with_example", reason=rejected.reason, source=place)
    return [
        {"code": code, "count": number, "example": examples[code]}
        for code, number in counts.most_common()
    ]


def _dropped(workspace: Workspace) -> Iterator[Json]:
    for name in workspace.tokenizer_names():
        counts: Counter[tuple[str, str]] = Counter()
        examples: dict[tuple[str, str], str] = {}
        for line in _lines(workspace.prepared(name) / "dropped.jsonl"):
            key = line["step"], line["reason"]
            counts[key] += 1
            if key not in examples:
                examples[key] = _dropped_sentence(line)
        for (step, reason), number in counts.most_common():
            row = {"tokenizer": name, "step": step, "reason": reason, "count": number}
            yield row | {"example": examples[step, reason]}


def _removed(workspace: Workspace) -> Iterator[Json]:
    for name in workspace.tokenizer_names():
        counts = read_json(workspace.prepared(name) / "store.json")["counts"]
        for reason, number in counts["removed"].items():
            yield {"tokenizer": name, "reason": reason, "count": number}


def _lines(path: Path) -> Iterator[Json]:
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def _dropped_sentence(line: Json) -> str:
    """Return why a document was dropped, or the code of the reason where no sentence is known."""
    sentence = find(f"dropped.{line['reason']}")
    if sentence is None:
        return str(line["reason"])
    return sentence.format(**{**line, **line.get("values", {})})


def _tokenizer(workspace: Workspace, name: str) -> Json:
    counts = read_json(workspace.prepared(name) / "store.json")["counts"]
    tokens = sum(counts["tokens"].values())
    return {
        "tokenizer": name,
        "vocabulary_size": counts["vocabulary_size"],
        "tokens": tokens,
        "characters_per_token": counts["characters"] / max(1, tokens),
        "unknown": counts["unknown"],
        "unknown_share": counts["unknown"] / max(1, tokens),
    }


_TOOLS = Tools(
    language_of=language_of, stop_words=stop_words, find_personal_data=find_personal_data
)
