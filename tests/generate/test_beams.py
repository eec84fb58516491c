"""Beam search against searching all texts, and against the definition written out."""

from __future__ import annotations

import math

import numpy as np
import pytest

from memlm.errors import ConfigError
from memlm.generate import GenerateConfig, generate_texts
from memlm.models import describe_network
from memlm.models.network import build_network
from memlm.models.network_model import NetworkModel
from memlm.prepare.tokenizer import ByteTokenizer, CharTokenizer
from memlm.prepare.vocabulary import learn_tokenizer

LETTERS = CharTokenizer("abc", labels=[], name="char")


def _network(tokenizer, seed: int) -> NetworkModel:
    config = describe_network(
        kind="gru",
        vocabulary_size=tokenizer.vocabulary_size,
        embedding_width=6,
        hidden_width=8,
        layers=1,
    )
    network = build_network(config, seed=seed)
    for weight in network.parameters():
        weight.data *= 3  # far from uniform, as a trained network is
    return NetworkModel(network)


@pytest.fixture(params=[1, 2, 3])
def model(request) -> NetworkModel:
    return _network(LETTERS, request.param)


def _log_probabilities(model, tokens) -> np.ndarray:
    """Return the distribution after an end of document and some tokens, read anew."""
    rows, _ = model.read(model.start(1), np.array([[LETTERS.end, *tokens]]))
    return rows[0, -1].astype(float)


def _all_texts(model, prompt, length, *, stop=None):
    """Return every text of at most `length` tokens with its log-probability, by hand."""
    ids = LETTERS.encode(prompt).ids.tolist()
    symbols = [LETTERS.end, *range(2, LETTERS.vocabulary_size)]
    found, growing = [], [((), 0.0)]
    for size in range(1, length + 1):
        longer = []
        for tokens, total in growing:
            row = _log_probabilities(model, [*ids, *tokens])
            longer += [((*tokens, token), total + row[token]) for token in symbols]
        growing = []
        for tokens, total in longer:
            text = LETTERS.decode(tokens)
            has_ended = tokens[-1] == LETTERS.end or size == length or (stop and stop in text)
            (found if has_ended else growing).append((tokens, total))
    return found


def _score(found, alpha: float) -> float:
    tokens, total = found
    return total / ((5 + len(tokens)) / 6) ** alpha


def _texts(model, prompt="", **options):
    found = generate_texts(model, LETTERS, prompt, GenerateConfig(**options))
    return [one.text for one in found]


@pytest.mark.parametrize("alpha", [0, 0.6, 2], ids=str)
@pytest.mark.parametrize("prompt", ["", "ab"])
def test_with_a_beam_for_every_text_the_search_is_exhaustive(model, alpha, prompt):
    every = sorted(_all_texts(model, prompt, 3), key=lambda one: -_score(one, alpha))
    assert len(every) == 40  # 1 + 3 + 9 that end, 27 of full length
    found = _texts(model, prompt, tokens=3, beams=60, samples=40, length_penalty=alpha)
    assert found == [LETTERS.decode(tokens) for tokens, _ in every]


def test_a_stop_ends_a_beam_in_an_exhaustive_search(model):
    every = sorted(_all_texts(model, "", 4, stop="ab"), key=lambda one: -_score(one, 0.6))
    found = _texts(model, tokens=4, beams=200, samples=len(every), stop=("ab",))
    assert found == [LETTERS.decode(tokens).split("ab")[0] for tokens, _ in every]


def _search_by_hand(model, beams: int, length: int, alpha: float):
    """Return the texts of a search as the definition says it, every beginning read anew."""
    done, growing = [], [((), 0.0)]
    for size in range(1, length + 1):
        longer = [
            ((*tokens, token), total + row[token])
            for tokens, total in growing
            for row in [_log_probabilities(model, tokens)]
            for token in [LETTERS.end, *range(2, LETTERS.vocabulary_size)]
        ]
        best = sorted(longer, key=lambda one: -one[1])[: beams - len(done)]
        has_ended = [tokens[-1] == LETTERS.end or size == length for tokens, _ in best]
        done += [one for one, ended in zip(best, has_ended, strict=True) if ended]
        growing = [one for one, ended in zip(best, has_ended, strict=True) if not ended]
    return [LETTERS.decode(tokens) for tokens, _ in sorted(done, key=lambda o: -_score(o, alpha))]


@pytest.mark.parametrize("beams", [1, 2, 3, 5])
@pytest.mark.parametrize("alpha", [0, 0.6], ids=str)
def test_the_n_best_beginnings_are_kept_at_each_step(model, beams, alpha):
    found = _texts(model, tokens=8, beams=beams, samples=beams, length_penalty=alpha)
    assert found == _search_by_hand(model, beams, 8, alpha)


@pytest.mark.parametrize("options", [{}, {"repetition_penalty": 1.5}, {"forbid": ("aa", "cb")}])
def test_one_beam_is_greedy(model, options):
    greedy = _texts(model, "a", tokens=30, temperature=0, **options)
    assert _texts(model, "a", tokens=30, beams=1, **options) == greedy


def test_more_beams_find_a_text_at_least_as_likely(model):
    scores = []
    for beams in (1, 60):
        (text,) = _texts(model, tokens=4, beams=beams, ignore_end=True, length_penalty=0)
        tokens = LETTERS.encode(text).ids.tolist()
        rows = [_log_probabilities(model, tokens[:size])[tokens[size]] for size in range(4)]
        scores.append(math.fsum(rows))
    assert scores[1] >= scores[0] - 1e-6


def test_a_larger_penalty_favours_longer_texts(model):
    lengths = [len(_texts(model, tokens=6, beams=60, length_penalty=alpha)[0]) for alpha in (0, 10)]
    assert lengths[0] <= lengths[1]
    assert lengths[1] == 6


@pytest.mark.parametrize("kind", ["byte", "bpe"])
def test_what_is_found_ends_before_a_stop_across_tokens(reciter, kind):
    text = "床前明月光，疑是地上霜。"
    tokenizer = (
        ByteTokenizer(labels=[], name="byte")
        if kind == "byte"
        else learn_tokenizer("bpe", [text] * 3, size=300, labels=[])
    )
    script = tokenizer.encode(text).ids.tolist()
    model = reciter(script, tokenizer.vocabulary_size)
    config = GenerateConfig(tokens=len(script), beams=3, stop=("光，疑",))
    (found,) = generate_texts(model, tokenizer, "", config)
    assert (found.text, found.ended_by) == ("床前明月", "stop")


def test_a_stop_string_in_the_prompt_ends_no_beam(reciter):
    script = LETTERS.encode("bab").ids.tolist()
    model = reciter(script, LETTERS.vocabulary_size, skipped=2)
    config = GenerateConfig(tokens=3, beams=2, stop=("ab",))
    (found,) = generate_texts(model, LETTERS, "a", config)
    assert (found.text, found.ended_by) == ("b", "stop")


def test_beams_end_with_their_documents(reciter):
    script = [*LETTERS.encode("abc").ids.tolist(), LETTERS.end]
    model = reciter(script, LETTERS.vocabulary_size)
    (found,) = generate_texts(model, LETTERS, "", GenerateConfig(beams=4, tokens=50))
    assert (found.text, found.tokens, found.ended_by) == ("abc", 4, "end")


def test_the_best_is_heard_whole_when_it_is_found(model):
    heard = []
    config = GenerateConfig(beams=3, tokens=5, samples=2)
    found = generate_texts(
        model, LETTERS, "", config, on_text=lambda sample, text: heard.append((sample, text))
    )
    texts = ["".join(text for number, text in heard if number == one) for one in (0, 1)]
    assert texts == [one.text for one in found]


def test_the_prompt_is_read_once_and_no_step_twice(measured):
    model = measured(LETTERS.vocabulary_size)
    steps = []
    plain = model.advance

    def advance(state, tokens):
        steps.append(len(tokens))
        return plain(state, tokens)

    model.advance = advance
    config = GenerateConfig(beams=4, tokens=6, ignore_end=True)
    generate_texts(model, LETTERS, "abcabc", config)
    assert model.read_rows == [1]
    assert steps == [1, 3, 4, 4, 4, 4]  # the prompt's last token, then one step for each but one


def test_all_texts_of_a_search_have_one_label(uniform):
    tokenizer = CharTokenizer("ab", labels=["x", "y"], name="char")
    config = GenerateConfig(beams=6, samples=6, tokens=3, seed=1)
    found = generate_texts(uniform(tokenizer.vocabulary_size), tokenizer, "", config)
    assert len(found) == 6
    assert len({one.label for one in found}) == 1


def test_a_text_with_nothing_left_to_write_is_found_beside_those_that_go_on(model):
    # After "a" nothing may come, and after "b" and "c" only what is no "a".
    forbid = ("aa", "ab", "ac", "ba", "ca")
    config = GenerateConfig(
        tokens=2, min_tokens=2, beams=9, samples=9, forbid=forbid, length_penalty=0
    )
    found = generate_texts(model, LETTERS, "", config)
    ended = {one.text: one.ended_by for one in found}
    going_on = {first + second: "length" for first in "bc" for second in "bc"}
    assert ended == going_on | {"a": "forbidden"}


def test_fewer_texts_are_returned_where_there_are_no_more(model):
    found = _texts(model, tokens=1, beams=50, samples=50)
    assert sorted(found) == ["", "a", "b", "c"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        pytest.param({"beams": 0}, "--beams", id="none"),
        pytest.param({"beams": 10**6}, "--beams", id="far too many"),
        pytest.param({"beams": 2, "samples": 3}, "--samples", id="more samples than beams"),
        pytest.param({"length_penalty": 1.0}, "--beams", id="a penalty without beams"),
        pytest.param({"beams": 2, "length_penalty": -1.0}, "--length-penalty", id="negative"),
        pytest.param({"beams": 2, "length_penalty": math.nan}, "--length-penalty", id="no number"),
        pytest.param({"beams": 2, "temperature": 1.0}, "--temperature", id="drawn"),
        pytest.param({"beams": 2, "top_k": 5}, "--top-k", id="drawn of k"),
    ],
)
def test_impossible_options_are_refused_and_named(options, named):
    with pytest.raises(ConfigError, match=named):
        GenerateConfig(**options).check()
