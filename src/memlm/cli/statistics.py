"""The figures of `memlm info --statistics`, as compact tables on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from memlm.cli.console import heading, out, say
from memlm.cli.tables import print_items, print_table, print_wrapped
from memlm.messages import render
from memlm.pages.statistics import (
    duplicate_sentences,
    language_rows,
    law_sentence,
    left_out,
    lengths_sentence,
    named,
    noticed_groups,
    noticed_languages,
    overview,
    parts_sentence,
    word_group_sentence,
)

_SHOWN_WORDS, _SHOWN_LABELS = 10, 10
Found = Mapping[str, Any]  # Any: JSON


def print_statistics(found: Found, *, page: Path) -> None:
    """Print what a collection is made of, and where the page with the plots lies."""
    heading("statistics.overview")
    print_table(["", ""], overview(found), numbers=[1])
    heading("statistics.texts")
    print_wrapped(lengths_sentence(found))
    _print_counts("scripts", named("script", found["characters_by_script"]))
    _print_counts("languages", language_rows(found))
    if not found["sampled"]["is_all_documents"]:
        sampled = found["sampled"]["documents"]
        print_wrapped(render("statistics.sampled_documents", count=sampled))
    _print_counts("labels", list(found["labels"].items())[:_SHOWN_LABELS])
    heading("statistics.words")
    for kind, group in noticed_groups(found):
        _print_words(kind, group)
    heading("statistics.parts")
    print_wrapped(parts_sentence(found))
    for language in noticed_languages(found):
        _print_parts(language, found["parts_of_speech"][language])
    heading("statistics.laws")
    for law in ("zipf", "heaps"):
        name, sentence = render(f"statistics.{law}_name"), law_sentence(law, found[law])
        print_wrapped(render("list.title", title=name) + sentence)
    _print_care(found)
    out.print()
    say("statistics.written", path=page)


def _print_counts(key: str, rows: Sequence[tuple[str, int]]) -> None:
    if rows:
        counts = [f"{name} {number:,}" for name, number in rows]
        print_items(render(f"statistics.{key}"), counts)


def _print_words(kind: str, group: Found) -> None:
    print_wrapped(word_group_sentence(kind, group))
    columns = ["commonest_words", "number", "without_short", "number"]
    pairs = zip_longest(
        group["common"][:_SHOWN_WORDS],
        group["common_without_stop_words"][:_SHOWN_WORDS],
        fillvalue=("", 0),
    )
    rows = [(one, f"{n:,}", other, f"{m:,}" if other else "") for (one, n), (other, m) in pairs]
    print_table([render(f"statistics.{name}") for name in columns], rows, numbers=[1, 3])


def _print_parts(language: str, parts: Mapping[str, int]) -> None:
    total = sum(parts.values())
    ordered = sorted(named("part", parts), key=lambda pair: -pair[1])
    shares = [f"{name} {number / total:.1%}" for name, number in ordered]
    print_items(render(f"language_name.{language}"), shares)


def _print_care(found: Found) -> None:
    heading("statistics.care")
    for sentence in duplicate_sentences(found):
        print_wrapped(sentence)
    personal = found["personal_data"]
    if personal:
        _print_counts("personal", named("personal", personal))
    else:
        print_items(render("statistics.personal"), [render("statistics.personal_none")])
    heading("statistics.left_out")
    rows = [(stage, reason, f"{number:,}") for stage, reason, number in left_out(found)]
    if rows:
        print_table(_titles("stage", "reason", "number"), rows, numbers=[2])
    else:
        print_wrapped(render("statistics.nothing_left_out"))
    if found["tokenizers"]:
        heading("statistics.tokenizers")
        titles = _titles("tokenizer", "vocabulary", "tokens", "per_token", "unknown")
        print_table(
            titles, [_tokenizer_row(row) for row in found["tokenizers"]], numbers=range(1, 5)
        )


def _titles(*names: str) -> list[str]:
    return [render(f"statistics.{name}") for name in names]


def _tokenizer_row(row: Found) -> tuple[str, ...]:
    return (
        row["tokenizer"],
        f"{row['vocabulary_size']:,}",
        f"{row['tokens']:,}",
        f"{row['characters_per_token']:.2f}",
        f"{row['unknown_share']:.3%}",
    )
