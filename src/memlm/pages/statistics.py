"""The page `statistics.html`: what a collection is made of, in tiles, bars, plots and sentences.

It is given what `memlm info --statistics --json` prints as `statistics`, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from memlm.messages import find, join, render
from memlm.pages.page import render_page
from memlm.pages.plots import histogram, power_law_plot
from memlm.pages.svg import Plot

_SHOWN_WORDS, _SHOWN_LABELS = 20, 20
_NAMED_RANKS = (1, 2, 3, 5, 8, 13, 20, 30)
_NOTICED = 0.01
_FEW_LANGUAGES = 2
Found = Mapping[str, Any]  # Any: JSON


def statistics_page(found: Found, *, name: str) -> str:
    """Return the whole page; `name` is the workspace's."""
    labels = list(found["labels"].items())
    return render_page(
        "statistics.html",
        name=name,
        found=found,
        tiles=overview(found),
        lengths_plot=histogram(
            found["lengths"]["histogram"],
            x_label=render("statistics.characters"),
            y_label=render("statistics.documents"),
        ),
        lengths_sentence=lengths_sentence(found),
        scripts=named("script", found["characters_by_script"]),
        languages=language_rows(found),
        labels=labels[:_SHOWN_LABELS],
        more_labels=max(0, len(labels) - _SHOWN_LABELS),
        word_groups=[_word_group(*pair) for pair in noticed_groups(found)],
        parts_sentence=parts_sentence(found),
        parts_of_speech=[_parts(found, language) for language in noticed_languages(found)],
        zipf_plot=_zipf_plot(found),
        zipf_sentence=law_sentence("zipf", found["zipf"]),
        heaps_plot=_law_plot(found["heaps"], "statistics.running_words", "statistics.different"),
        heaps_sentence=law_sentence("heaps", found["heaps"]),
        duplicates=duplicate_sentences(found),
        personal=named("personal", found["personal_data"]),
        left_out=left_out(found),
    )


# -- what the terminal says too -------------------------------------------------------------------


def overview(found: Found) -> list[tuple[str, str]]:
    """Return the figures that open the page: (what, how many)."""
    groups = found["words"].values()
    return [
        (render("statistics.documents"), f"{found['documents']:,}"),
        (render("statistics.characters"), f"{found['characters']:,}"),
        (render("statistics.bytes"), f"{found['bytes'] / 1e6:,.1f} MB"),
        (render("statistics.running_words"), f"{sum(group['count'] for group in groups):,}"),
        (render("statistics.different"), f"{sum(group['distinct'] for group in groups):,}"),
        (render("statistics.distinct_characters"), f"{found['distinct_characters']:,}"),
    ]


def named(table: str, counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return counts with the names that `messages` has for their keys, or the keys."""
    return [(find(f"{table}.{key}") or key, number) for key, number in counts.items()]


def language_rows(found: Found) -> list[tuple[str, int]]:
    """Return the documents of each language; those of few, which are often misread, as one row."""
    least = _NOTICED * sum(found["languages"].values())
    rare = [number for number in found["languages"].values() if number < least]
    if len(rare) <= _FEW_LANGUAGES:
        least, rare = 0, []
    kept = {code: number for code, number in found["languages"].items() if number >= least}
    rows = named("language_name", kept)
    if rare:
        rows.append((render("statistics.rare_languages", count=len(rare)), sum(rare)))
    return rows


def noticed_groups(found: Found) -> list[tuple[str, Found]]:
    """Return the kinds of words that are more than a few strays, the larger first."""
    total = sum(group["count"] for group in found["words"].values())
    kept = [pair for pair in found["words"].items() if pair[1]["count"] >= _NOTICED * total]
    return sorted(kept, key=lambda pair: -pair[1]["count"])


def noticed_languages(found: Found) -> list[str]:
    """Return the languages of the tagged words that are more than a few strays."""
    totals = {language: sum(parts.values()) for language, parts in found["parts_of_speech"].items()}
    least = _NOTICED * sum(totals.values())
    kept = [language for language, number in totals.items() if number >= least]
    return sorted(kept, key=lambda language: -totals[language])


def word_group_sentence(kind: str, group: Found) -> str:
    """Say how many words of one kind there are."""
    return render(
        "statistics.word_group",
        kind=render(f"statistics.{kind}"),
        count=group["count"],
        distinct=group["distinct"],
        once=group["once"],
        share=group["stop_word_share"],
    )


def lengths_sentence(found: Found) -> str:
    """Say how long the documents are."""
    lengths = found["lengths"]
    first, median, third = lengths["quartiles"]
    return render(
        "statistics.lengths_sentence",
        shortest=lengths["shortest"],
        first=first,
        median=median,
        third=third,
        longest=lengths["longest"],
        mean=lengths["mean"],
    )


def parts_sentence(found: Found) -> str:
    """Say what parts of speech were counted in."""
    sampled = found["sampled"]
    key = "statistics.parts_all" if sampled["is_all_passages"] else "statistics.parts_sampled"
    return join(
        render(key, count=sampled["passages"], characters=sampled["passage_characters"]),
        render("statistics.parts_note"),
    )


def law_sentence(name: str, law: Found) -> str:
    """Say what line was fitted, and what it means."""
    if law["exponent"] is None:
        return render("statistics.too_few")
    return render(f"statistics.{name}_sentence", exponent=abs(law["exponent"]))


def duplicate_sentences(found: Found) -> list[str]:
    """Say how many documents are copies."""
    sentences = [render("statistics.exact_duplicates", count=found["exact_duplicates"])]
    if found["near_duplicates"] is not None:
        sentences.append(render("statistics.near_duplicates", count=found["near_duplicates"]))
    return sentences


def left_out(found: Found) -> list[tuple[str, str, int]]:
    """Return (where, why, how many) of all that did not become tokens."""
    rows = [
        (render("statistics.collecting"), row["example"], row["count"]) for row in found["rejected"]
    ]
    by_reason: dict[tuple[str, str, int], list[str]] = {}
    for row in found["dropped"]:  # tokenizers that were given the same texts share a row
        key = row["step"], row["example"], row["count"]
        by_reason.setdefault(key, []).append(row["tokenizer"])
    for (step, example, count), tokenizers in by_reason.items():
        rows.append((f"{', '.join(tokenizers)}: {step}", example, count))
    return rows + _taken_out(found)


def _taken_out(found: Found) -> list[tuple[str, str, int]]:
    """Return the same of characters that went from documents that stay."""
    by_reason: dict[tuple[str, int], list[str]] = {}
    for row in found["removed"]:
        by_reason.setdefault((row["reason"], row["count"]), []).append(row["tokenizer"])
    return [
        (
            f"{', '.join(tokenizers)}: clean",
            render("statistics.taken_out", reason=find(f"removed.{reason}") or reason),
            count,
        )
        for (reason, count), tokenizers in by_reason.items()
    ]


# -- the page alone -------------------------------------------------------------------------------


def _word_group(kind: str, group: Found) -> dict[str, object]:
    languages = ", ".join(find(f"language_name.{code}") or code for code in group["stop_words_of"])
    name = render(f"statistics.{kind}")
    return {
        "sentence": word_group_sentence(kind, group),
        "title_all": render("statistics.commonest", kind=name),
        "title_without": render("statistics.without", kind=name, languages=languages),
        "all": group["common"][:_SHOWN_WORDS],
        "without": group["common_without_stop_words"][:_SHOWN_WORDS],
    }


def _parts(found: Found, language: str) -> tuple[str, list[tuple[str, int]], int, object]:
    parts = found["parts_of_speech"][language]
    lemmas = [
        (render(f"part.{part}"), words)
        for part, words in found["common_lemmas"].get(language, {}).items()
    ]
    ordered = sorted(named("part", parts), key=lambda pair: -pair[1])
    return render(f"language_name.{language}"), ordered, sum(parts.values()), lemmas


def _zipf_plot(found: Found) -> Plot:
    common: Iterable[tuple[str, int]] = (
        (word, n) for group in found["words"].values() for word, n in group["common"]
    )
    ranked = sorted(common, key=lambda pair: -pair[1])
    names = [
        (rank, ranked[rank - 1][1], ranked[rank - 1][0])
        for rank in _NAMED_RANKS
        if rank <= len(ranked)
    ]
    return _law_plot(found["zipf"], "statistics.rank", "statistics.times", names)


def _law_plot(
    law: Found, x_key: str, y_key: str, names: list[tuple[int, int, str]] | None = None
) -> Plot:
    line = None if law["exponent"] is None else (law["factor"], law["exponent"])
    return power_law_plot(
        law["points"], line=line, x_label=render(x_key), y_label=render(y_key), names=names or []
    )
