"""The card of an exported model: what it learned from, how well, what it recites, how to load it.

No text of a document and no name of this machine stands on it; a licence is its publisher's to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from memlm.messages import LANGUAGES, in_language, render
from memlm.models.foreign_shape import AnyShape

_LOAD = """```python
from transformers import AutoModelForCausalLM, AutoTokenizer
{first}
tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")
model = AutoModelForCausalLM.from_pretrained("path/to/this/folder")
written = model.generate(**tokenizer("", return_tensors="pt"), max_new_tokens=100, do_sample=True)
print(tokenizer.decode(written[0], skip_special_tokens=True))
```"""
_REGISTER = "\nimport memlm\n\nmemlm.register_transformers()\n"


@dataclass(frozen=True, kw_only=True)
class Recited:
    """Where the words of some texts that a model wrote come from, as shares of their characters."""

    samples: int
    characters: int
    recited: float
    recombined: float
    new: float


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """What a card says."""

    name: str
    network: AnyShape
    layout: str
    """`qwen3`, `huggingface`, or `memlm`: our own, with its modelling files."""
    tokenizer: str
    results: dict[str, Any]  # Any: JSON values, of `run.json`
    origin: Mapping[str, Any] | None  # Any: the same
    """What the training began with; None for random weights."""
    documents: int | None
    """Documents that it learned from; None if an older memlm trained it."""
    characters: int | None
    """Of all documents; None where they are others by now."""
    languages: tuple[str, ...]
    """Codes of the languages of a good part of the documents, where they were measured."""
    recited: Recited | None
    """None where the documents are not there."""


def model_card(facts: CardFacts) -> str:
    """Return the card, `README.md`: what machines read, then a section in each of our languages."""
    lines = ["---", "library_name: transformers", "pipeline_tag: text-generation"]
    if facts.languages:
        lines += ["language:", *(f"- {code}" for code in facts.languages)]
    lines += ["tags:", "- memlm", f"- {facts.network.kind}", "---", "", f"# {facts.name}"]
    for language in LANGUAGES:
        with in_language(language):
            lines += ["", f"## {render('card.language')}", "", *_section(facts)]
    return "\n".join(lines) + "\n"


def _section(facts: CardFacts) -> Iterator[str]:
    yield render("card.about")
    yield ""
    yield "| | |"
    yield "|---|---|"
    for name, value in _rows(facts):
        yield f"| {render(f'card.{name}')} | {value} |"
    yield ""
    yield render("card.recites") if facts.recited else render("card.recites_unmeasured")
    yield ""
    yield render(f"card.load_{facts.layout}")
    yield ""
    yield _LOAD.format(first=_REGISTER if facts.layout == "memlm" else "")
    yield ""
    yield render("card.license")


def _rows(facts: CardFacts) -> Iterator[tuple[str, str]]:
    network, results = facts.network, facts.results
    yield from _began_with(facts.origin)
    if facts.documents is not None:
        yield "documents", f"{facts.documents:,}"
    if facts.characters is not None:
        yield "characters", f"{facts.characters:,}"
    if facts.languages:
        yield "languages", ", ".join(facts.languages)
    if network.label_tokens:
        yield "labels", f"{len(network.label_tokens):,}"
    yield "network", f"{network.kind}, {network.layers} x {network.hidden_width}"
    yield "parameters", f"{network.num_parameters:,}"
    yield "tokenizer", f"{facts.tokenizer}, {network.vocabulary_size:,}"
    if "steps" in results:
        yield "steps", f"{results['steps']:,}"
    for name in ("held_out", "train"):
        loss = results.get(f"{name}_nats_per_character")
        if loss is not None:
            yield f"{name}_loss", render("card.loss", nats=loss)
    if results.get("held_out_bits_per_byte") is not None:
        yield "bits_per_byte", f"{results['held_out_bits_per_byte']:.3f}"
    if facts.recited is not None:
        yield "shares", render("card.share_values", **vars(facts.recited))


def _began_with(origin: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:  # Any: as above
    if origin is not None:
        known = origin.get("documents")  # an older memlm noted none
        key = "card.origin_learned" if known else "card.origin_name"
        yield "began_with", render(key, model=origin["model"], documents=known)
