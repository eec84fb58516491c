"""`lookup_text`: what the memory says comes next, and that it truly stands where it says."""

from __future__ import annotations

import numpy as np
import pytest

from memlm import (
    DocumentStore,
    Listener,
    PrepareConfig,
    collect_documents,
    erase_documents,
    lookup_text,
    open_workspace,
    prepare_documents,
)
from memlm.errors import ConfigError, InputError, NotFoundError
from memlm.prepare import CleanConfig
from memlm.workflow.remembering import open_memory

ENGLISH = [
    "The cat sees the moon.\nA dog follows the cat home.\n",
    "The old man forgets the moon. The cat sleeps.\n",
    "Nobody saw the catapult, nor the cathedral; only the cat did.\n",
]
CHINESE = ["床前明月光，疑是地上霜。举头望明月，低头思故乡。", "明月几时有？把酒问青天。"]


class Notes(Listener):
    def __init__(self):
        self.noted = []

    def note(self, code, **values):
        self.noted.append((code, values))


@pytest.fixture
def workspace(tmp_path):
    """Return what makes a workspace of some texts."""

    def make(texts, *, cleaning=None, held_out_share=0.0, **prepare):
        opened = open_workspace(tmp_path / "ws", create=True)
        collect_documents(opened, texts=texts)
        config = PrepareConfig(held_out_share=held_out_share, **prepare)
        prepare_documents(opened, config=config, cleaning=cleaning)
        return opened

    return make


def documents(opened):
    with DocumentStore(opened.documents_file) as store:
        return {document.id: document.text for document in store}


def read_at(opened, source):
    return documents(opened)[source.document_id][source.start : source.end]


def said(opened, continuation):
    """Return what stands in the collected documents at each source of a continuation."""
    return [read_at(opened, source) for source in continuation.sources]


def by_text(found):
    return {one.text: one for one in found.continuations if one.kind == "text"}


# -- continuations, counts and places -----------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "asked"),
    [(ENGLISH, "the cat"), (ENGLISH, "xt of the c"), (CHINESE, "明月"), (CHINESE, "望明")],
    ids=["English", "only an end occurs", "Chinese", "one continuation"],
)
def test_every_source_holds_the_context_and_the_continuation(workspace, texts, asked):
    opened = workspace(texts, tokenizer="char")
    found = lookup_text(opened, asked, limit=40, sources_per_continuation=100)
    whole = "\0".join(texts)
    for one in by_text(found).values():
        expected = one.context + one.text
        assert asked.endswith(one.context)
        assert said(opened, one) == [expected] * one.count
        assert one.count == sum(whole.startswith(expected, at) for at in range(len(whole)))
        longer = asked[max(0, len(asked) - len(one.context) - 1) :]
        assert longer == one.context or longer + one.text not in whole


def test_documents_that_the_split_goes_through_have_true_places(workspace):
    text = "".join(f"Line {n} of {n * n} says that {n % 7} is {n % 11}.\n" for n in range(400))
    opened = workspace([text], tokenizer="char", held_out_share=0.3)
    units = open_memory(opened).store.units
    assert len(set(units["split"].tolist())) == 2
    found = lookup_text(opened, " says that", limit=1, sources_per_continuation=1000)
    (one,) = found.continuations
    assert said(opened, one) == [" says that "] * one.count
    starts = {source.start for source in one.sources}
    assert len(starts) == one.count
    assert all(any(unit["text_start"] <= at < unit["text_end"] for at in starts) for unit in units)


def test_probabilities_are_those_of_the_memory(workspace):
    opened = workspace(ENGLISH, tokenizer="char")
    found = lookup_text(opened, "the cat", limit=1000)
    model = open_memory(opened).model()
    ids = open_memory(opened).store.tokenizer.encode("the cat").ids[None]
    expected = np.exp(model.read(model.start(1), ids)[0][0, -1])
    assert len(found.continuations) == model.vocabulary_size
    np.testing.assert_allclose(
        [one.probability for one in found.continuations],
        expected[[one.token for one in found.continuations]],
        rtol=1e-5,
    )
    shares = [one.probability for one in found.continuations]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1.0, abs=1e-5)


def test_context_is_the_longest_end_that_occurs(workspace):
    found = lookup_text(workspace(ENGLISH, tokenizer="char"), "some at the moon")
    assert (found.context, found.order, found.count) == (" the moon", 9, 2)
    assert found.tokens == len("some at the moon")


def test_first_place_goes_on_as_the_document_does(workspace):
    opened = workspace(ENGLISH, tokenizer="char")
    for one in by_text(lookup_text(opened, "the c")).values():
        first = one.sources[0]
        assert one.following == documents(opened)[first.document_id][first.end :][:16]


def test_no_more_is_shown_than_was_asked_for(workspace):
    opened = workspace(ENGLISH, tokenizer="char")
    found = lookup_text(opened, "the", limit=2, sources_per_continuation=1)
    assert [len(one.sources) for one in found.continuations] == [1, 1]
    assert found.continuations[0].count > 1
    with pytest.raises(ConfigError):
        lookup_text(opened, "the", limit=0)


@pytest.mark.parametrize("tokenizer", ["word", "byte", "whitespace"])
def test_other_tokens_have_true_sources_too(workspace, tokenizer):
    opened = workspace(ENGLISH, tokenizer=tokenizer)
    found = lookup_text(opened, "x the cat", limit=3)
    context = "the cat" if tokenizer == "whitespace" else " the cat"
    assert (found.context, found.count) == (context, 4 if tokenizer == "byte" else 2)
    first = found.continuations[0]
    assert first.context == context
    if first.kind == "unknown":  # words that occur once are none of a vocabulary of words
        ends = {" home.", " did."} if tokenizer == "whitespace" else {" home", " did"}
        assert set(said(opened, first)) == {context + end for end in ends}
    else:
        assert set(said(opened, first)) == {context + first.text}


def test_part_of_a_character_has_the_place_of_the_character(workspace):
    opened = workspace(CHINESE, tokenizer="byte")
    (one,) = lookup_text(opened, "举头望明月", limit=1).continuations
    assert (one.kind, one.text) == ("part", "\ufffd")
    assert said(opened, one) == ["举头望明月，"]
    assert one.following == "，低头思故"


# -- beginnings and ends ------------------------------------------------------------------------


def test_no_text_asks_how_documents_begin(workspace):
    opened = workspace(ENGLISH, tokenizer="char")
    found = lookup_text(opened, "")
    assert (found.tokens, found.context, found.count) == (0, "", 3)
    assert [one.text for one in found.continuations[:2]] == ["T", "N"]
    first = found.continuations[0]
    assert (first.context, first.order, first.count) == ("", 1, 2)
    assert [(one.start, one.end) for one in first.sources] == [(0, 1), (0, 1)]


def test_documents_that_have_labels_begin_with_them(workspace):
    texts = [("a good day", "yes"), ("a bad day", "no"), ("a fine day", "yes")]
    opened = workspace(texts, tokenizer="char")
    found = lookup_text(opened, "", limit=2)
    counts = {(one.kind, one.text): one.count for one in found.continuations}
    assert counts == {("label", "yes"): 2, ("label", "no"): 1}
    assert {(one.start, one.end) for one in found.continuations[0].sources} == {(0, 0)}


def test_end_of_a_document_is_a_continuation(workspace):
    opened = workspace(CHINESE, tokenizer="char")
    first = lookup_text(opened, "思故乡。").continuations[0]
    assert (first.kind, first.text, first.count, first.following) == ("end", "", 1, "")
    assert said(opened, first) == ["思故乡。"]


def test_end_after_what_never_ended_is_counted_once_a_document(workspace):
    opened = workspace(ENGLISH, tokenizer="char")
    found = lookup_text(opened, "ca", limit=1000, sources_per_continuation=10)
    (end,) = [one for one in found.continuations if one.kind == "end"]
    assert (end.context, end.order, end.count) == ("", 0, 3)
    lengths = {identity: len(text) for identity, text in documents(opened).items()}
    assert {one.document_id: one.end for one in end.sources} == lengths


# -- what stands between the tokens and the collected text ----------------------------------------


def test_places_are_those_of_the_collected_text_after_cleaning(workspace):
    text = "Caf&eacute; au   lait is\u00a0\u00a0what the caf&eacute; sells.\u200b\u200b So it is.\n"
    opened = workspace([text, *ENGLISH], tokenizer="char")
    found = lookup_text(opened, "the caf", limit=1)
    (one,) = found.continuations
    assert one.text == "é", "cleaning no longer repairs this: find another example"
    assert said(opened, one) == ["the caf&eacute;"]
    (after,) = lookup_text(opened, "what the café sell", limit=1).continuations
    assert said(opened, after) == ["what the caf&eacute; sells"]


def test_masked_personal_data_is_marked(workspace):
    texts = [f"Write to someone{n}@example.org soon, {n}.\n" for n in range(4)]
    opened = workspace(texts, tokenizer="char", cleaning=CleanConfig(redact=True))
    found = lookup_text(opened, "Write to ", limit=1)
    assert not found.continuations[0].text.startswith("s")
    assert {source.masked for source in found.continuations[0].sources} == {("email",)}
    shown = [one.text + one.following for one in found.continuations]
    assert not any("example.org" in text for text in shown)


def test_sealed_text_is_neither_counted_nor_shown(workspace):
    texts = [f"The word of day {n} is {word}.\n" for n, word in enumerate("abcdefghijklmnop" * 4)]
    opened = workspace(texts, tokenizer="char", sealed=0.4)
    store = open_memory(opened).store
    sealed = {store.document_ids[int(unit["document"])] for unit in store.units_of("sealed")}
    assert sealed
    found = lookup_text(opened, " is ", limit=50, sources_per_continuation=100)
    assert found.count == len(texts) - len(sealed)
    places = {source.document_id for one in found.continuations for source in one.sources}
    assert places & sealed == set()


def test_text_longer_than_what_is_looked_for_is_found_by_its_end(workspace):
    text = "".join(chr(0x4E00 + n) for n in range(300))
    opened = workspace([text, *ENGLISH], tokenizer="char")
    found = lookup_text(opened, text[:200], limit=1)
    assert (found.tokens, found.order, found.context) == (200, 64, text[136:200])
    assert said(opened, found.continuations[0]) == [text[136:201]]


# -- symbols, erasing, and nothing ----------------------------------------------------------------


def test_symbol_that_nobody_knows_cuts_off_what_is_before_it(workspace):
    opened, notes = workspace(ENGLISH, tokenizer="char"), Notes()
    found = lookup_text(opened, "the 猫 cat", listener=notes)
    assert found.continuations == lookup_text(opened, " cat").continuations
    assert found.tokens == 4
    assert ("lookup_unknown", {"symbols": "猫"}) in notes.noted
    with pytest.raises(InputError) as caught:
        lookup_text(opened, "the 猫")
    assert caught.value.code == "lookup_unknown"


def test_erased_text_is_gone_and_its_symbols_are_never_shown(workspace):
    opened = workspace([*ENGLISH, "The cat Ωζ slept.\n"], tokenizer="char")
    assert "Ω" in by_text(lookup_text(opened, "The cat ", limit=100))
    (identity,) = [name for name, text in documents(opened).items() if "Ω" in text]
    erase_documents(opened, identity)
    found = lookup_text(opened, "The cat ", limit=100)
    store = open_memory(opened).store
    assert len(store.tokenizer.blanks) == 2
    assert len(found.continuations) == store.tokenizer.vocabulary_size - 2
    assert "Ω" not in by_text(found)
    places = {source.document_id for one in found.continuations for source in one.sources}
    assert identity not in places


def test_new_documents_are_found_at_once(workspace):
    opened = workspace(ENGLISH, tokenizer="char")
    assert "k" not in by_text(lookup_text(opened, "the cat", limit=50))
    collect_documents(opened, texts=[*ENGLISH, "Catkins: the catkin.\n"])
    one = by_text(lookup_text(opened, "the cat", limit=50))["k"]
    assert said(opened, one) == ["the catk"]


def test_workspace_without_documents_says_so(tmp_path):
    opened = open_workspace(tmp_path / "ws", create=True)
    with pytest.raises(NotFoundError) as caught:
        lookup_text(opened, "a")
    assert caught.value.code == "no_documents"
