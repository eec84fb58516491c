"""Counts as a language model: equal to looking everywhere, normalised, never ahead of the text."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace

import numpy as np
import pytest

from memlm.memory import contexts as contexts_room
from memlm.memory.contexts import Contexts
from memlm.memory.counts import CountsModel
from memlm.memory.smoothing import Smoothing, mix, plain_smoothing, shares_of, usual_smoothing
from memlm.runtime import KeptLoops

V = 6
ORDERS = (0, 1, 2, 3, 5)


@dataclass(frozen=True)
class Laid:
    """Stretches laid out as a segment lays them, with their suffixes sorted the plain way."""

    symbols: np.ndarray
    suffixes: np.ndarray


def lay(*stretches: list[int]) -> Laid:
    symbols = np.array([s for stretch in stretches for s in [*(t + 1 for t in stretch), 0]], "u1")
    raw = symbols.tobytes()
    return Laid(symbols, np.array(sorted(range(len(raw)), key=lambda at: raw[at:]), dtype="<i4"))


@pytest.fixture
def draw() -> np.random.Generator:
    return np.random.default_rng(5)


def stretches_of(draw: np.random.Generator, sizes: tuple[int, ...]) -> list[list[int]]:
    """Return texts that repeat themselves, of tokens that are not all equally frequent."""
    pattern = draw.integers(0, V, 9).tolist()
    made = []
    for size in sizes:
        text: list[int] = []
        while len(text) < size:
            text += pattern if draw.random() < 0.4 else draw.integers(0, V - 1, 3).tolist()
        made.append(text[:size])
    return made


def looked_up(stretches: list[list[int]], context: list[int]) -> dict[int, tuple[int, int]]:
    """Return the count and variety of each token that followed a context, by looking everywhere."""
    counts: Counter[int] = Counter()
    before: dict[int, set[int]] = defaultdict(set)
    for number, stretch in enumerate(stretches):
        for at in range(len(stretch) - len(context)):
            if stretch[at : at + len(context)] == context and (context or at > 0):
                token = stretch[at + len(context)]
                counts[token] += 1
                before[token].add(stretch[at - 1] if at > 0 else -1 - number)
    return {token: (count, len(before[token])) for token, count in counts.items()}


@pytest.mark.parametrize("parts", [1, 3], ids=["one segment", "three segments"])
@pytest.mark.parametrize("is_compiled", [False, True], ids=["numpy", "compiled"])
def test_followers_are_those_that_looking_everywhere_finds(draw, monkeypatch, parts, is_compiled):
    loops = pytest.importorskip("memlm.memory.kernels") if is_compiled else None
    monkeypatch.setattr(contexts_room, "_loops", lambda steps: loops)
    stretches = stretches_of(draw, (900, 1, 400, 7, 250))
    segments = [lay(*stretches[part::parts]) for part in range(parts)]
    contexts = Contexts(segments, vocabulary_size=V)
    stream = np.array(stretches_of(draw, (300,))[0])
    lows, highs = contexts.follow(stream, *contexts.start(5))
    for order in range(6):
        found = contexts.followers(
            np.full(len(stream), order), lows[:, :, order], highs[:, :, order]
        )
        for place in range(order, len(stream)):
            part = slice(found.starts[place], found.starts[place + 1])
            columns = (found.tokens[part], found.counts[part], found.varieties[part])
            told = {int(a): (int(b), int(c)) for a, b, c in zip(*columns, strict=True)}
            assert told == looked_up(stretches, stream[place + 1 - order : place + 1].tolist())


@pytest.mark.parametrize("width", [1, 3, 40])
@pytest.mark.parametrize("is_compiled", [False, True], ids=["numpy", "compiled"])
def test_a_stream_is_followed_piece_by_piece_as_at_once(draw, monkeypatch, width, is_compiled):
    loops = pytest.importorskip("memlm.memory.kernels") if is_compiled else None
    monkeypatch.setattr(contexts_room, "_loops", lambda steps: loops)
    contexts = Contexts(
        [lay(*stretches_of(draw, (size,))) for size in (900, 120)], vocabulary_size=V
    )
    stream = np.array(stretches_of(draw, (100,))[0])
    whole = contexts.follow(stream, *contexts.start(5))
    ranges, found = contexts.start(5), []
    for at in range(0, len(stream), width):
        found.append(contexts.follow(stream[at : at + width], *ranges))
        ranges = tuple(ends[:, -1] for ends in found[-1])
    for ends, pieces in zip(whole, zip(*found, strict=True), strict=True):
        assert np.array_equal(ends, np.concatenate(pieces, axis=1))


def test_a_context_that_is_everywhere_is_only_counted(draw, monkeypatch):
    monkeypatch.setattr("memlm.memory.contexts.LARGEST_COUNTED", 100)
    stretches = stretches_of(draw, (900,))
    contexts = Contexts([lay(*stretches)], vocabulary_size=V)
    lows, highs = contexts.follow(np.array([stretches[0][0]]), *contexts.start(1))
    for order in (0, 1):
        found = contexts.followers(np.array([order]), lows[:, :, order], highs[:, :, order])
        expected = looked_up(stretches, stretches[0][:order])
        if order == 0:  # where the first token of all is counted too
            expected[stretches[0][0]] = (expected[stretches[0][0]][0] + 1, 0)
        assert dict(zip(found.tokens.tolist(), found.counts.tolist(), strict=True)) == {
            token: count for token, (count, _) in expected.items()
        }
        assert np.array_equal(found.counts, found.varieties)


def model_of(*stretches: list[int], is_adaptive: bool = False, smoothing=None) -> CountsModel:
    return CountsModel(
        [lay(*stretches)] if stretches else [],
        smoothing or plain_smoothing(ORDERS),
        vocabulary_size=V,
        is_adaptive=is_adaptive,
    )


def wild_smoothing(draw: np.random.Generator) -> Smoothing:
    """Return a smoothing with gates of every kind: what a fit might come to, and worse."""
    plain = plain_smoothing(ORDERS)
    gates = draw.normal(0, 3, (len(ORDERS), len(plain.gates[0])))
    shares = draw.random((len(ORDERS), 3)) * [1, 2, 3]
    return replace(plain, discounts=tuple(map(tuple, shares)), gates=tuple(map(tuple, gates)))


@pytest.mark.parametrize("is_adaptive", [False, True], ids=["frozen", "adaptive"])
def test_every_distribution_sums_to_one(draw, is_adaptive):
    stretches = stretches_of(draw, (900, 40))
    for number in range(40):
        smoothing = plain_smoothing(ORDERS) if number == 0 else wild_smoothing(draw)
        model = model_of(*stretches, is_adaptive=is_adaptive, smoothing=smoothing)
        found, _ = model.read(model.start(1), draw.integers(0, V, (1, 2500)))
        assert found.dtype == np.float32
        assert np.abs(np.exp(found.astype(float)).sum(-1) - 1).max() < 1e-5


def test_what_nothing_is_known_of_is_uniform():
    found, _ = model_of().read(model_of().start(1), np.array([[0, 1, 2]]))
    assert np.allclose(found, -np.log(V))


def test_the_formula_is_that_of_modified_kneser_ney(draw):
    stretches = stretches_of(draw, (700,))
    stream = stretches_of(draw, (60,))[0]
    found, _ = model_of(*stretches).read(model_of(*stretches).start(1), np.array([stream]))
    for place in range(len(stream)):
        expected = np.full(V, 1 / V)
        for order in ORDERS:
            if order > place + 1:
                break
            seen = looked_up(stretches, stream[place + 1 - order : place + 1])
            longest = max(one for one in ORDERS if one <= place + 1)
            counts = {t: (c if order == longest else v) for t, (c, v) in seen.items()}
            total = sum(counts.values())
            if total == 0:
                continue
            taken = {t: (0.7, 1.2, 1.6)[min(c, 3) - 1] for t, c in counts.items()}
            rest = sum(taken.values()) / total
            above = np.zeros(V)
            for token, count in counts.items():
                above[token] = (count - taken[token]) / total
            expected = above + rest * expected
        assert np.allclose(np.exp(found[0, place]), expected, atol=1e-5)


@pytest.mark.parametrize("is_adaptive", [False, True], ids=["frozen", "adaptive"])
def test_reading_at_once_and_token_by_token_say_the_same(draw, is_adaptive):
    model = model_of(*stretches_of(draw, (500,)), is_adaptive=is_adaptive)
    stream = np.array(stretches_of(draw, (120,)))
    whole, _ = model.read(model.start(1), stream)
    state = model.start(1)
    for place in range(stream.shape[1]):
        found, state = model.advance(state, stream[:, place])
        assert np.allclose(found[0], whole[0, place], atol=1e-6)


@pytest.mark.parametrize("parts", [1, 3], ids=["one segment", "three segments"])
@pytest.mark.parametrize(
    ("small", "large"),
    [(4096, 1 << 16), (20, 1 << 16), (20, 300)],
    ids=["all counted anew", "the common remembered", "the commonest counted as blocks are"],
)
def test_the_fast_step_says_what_reading_says(draw, monkeypatch, parts, small, large):
    loops = pytest.importorskip("memlm.memory.kernels")
    monkeypatch.setattr("memlm.memory.stepping._SMALL", small)
    monkeypatch.setattr("memlm.memory.stepping._LARGE", large)
    monkeypatch.setattr(KeptLoops, "take", lambda self: loops)
    stretches = stretches_of(draw, (900, 5, 400, 700, 30))
    segments = [lay(*stretches[part::parts]) for part in range(parts)]
    for smoothing in (plain_smoothing(ORDERS), *(wild_smoothing(draw) for _ in range(5))):
        model = CountsModel(segments, smoothing, vocabulary_size=V)
        stream = np.array([*stretches_of(draw, (120,)), draw.integers(0, V, 120).tolist()])
        whole, _ = model.read(model.start(2), stream)
        assert model._stepper is not None
        _, state = model.read(model.start(2), stream[:, :1])
        for place in range(1, stream.shape[1]):
            found, state = model.advance(state, stream[:, place])
            assert np.allclose(found, whole[:, place], atol=1e-5)


def test_loops_are_compiled_once_that_has_become_worth_it(draw, monkeypatch):
    asked = []
    monkeypatch.setattr("memlm.memory.counts._WORTH_LOADING", 4)
    monkeypatch.setattr("memlm.memory.counts._WORTH_COMPILING", 10)
    monkeypatch.setattr(KeptLoops, "take", lambda self: asked.append(place))
    model = model_of(*stretches_of(draw, (300,)))
    state = model.start(3)
    for place in range(7):
        _, state = model.advance(state, np.full(3, place))
    assert asked == [0, 2, 4]


def test_no_prediction_knows_what_comes_after_it(draw):
    model = model_of(*stretches_of(draw, (500,)), is_adaptive=True)
    one, other = stretches_of(draw, (100,))[0], stretches_of(draw, (100,))[0]
    for same in (1, 37, 99):
        read = [
            model.read(model.start(1), np.array([[*one[:same], *rest[same:]]]))[0]
            for rest in (one, other)
        ]
        assert np.array_equal(read[0][:, :same], read[1][:, :same])


def test_a_token_never_seen_counts_only_once_it_was_predicted():
    stretch = [0, 1, 2, 3] * 30
    model = model_of(stretch, is_adaptive=True)
    found, _ = model.read(model.start(1), np.array([[0, 1, 5, 0, 1]]))
    frozen, _ = model_of(stretch).read(model.start(1), np.array([[0, 1]]))
    assert np.allclose(found[0, :2], frozen[0])
    assert found[0, 4, 5] > found[0, 1, 5] + 1


def test_a_text_that_was_read_counts_like_a_document(draw):
    """At the longest order all of it counts; below it only what the longer one had not."""
    stretches, text = stretches_of(draw, (300,)), stretches_of(draw, (80,))[0]
    begun = text[: ORDERS[-1]]
    last = []
    for model, read in (
        (model_of(*stretches, is_adaptive=True), text + begun),
        (model_of(*stretches, text), begun),
    ):
        evidence, _ = model.evidence(model.start(1), np.array(read))
        context = len(evidence.starts) - 2  # the longest one after all that was read
        part = slice(evidence.starts[context], evidence.starts[context + 1])
        last.append(dict(zip(evidence.tokens[part], evidence.counts[part], strict=True)))
    assert text[len(begun)] in last[0]
    assert last[0] == last[1]


def test_no_verb_changes_the_state_that_it_was_given(draw):
    model = model_of(*stretches_of(draw, (300,)), is_adaptive=True)
    text = stretches_of(draw, (50,))
    _, middle = model.read(model.start(1), np.array(text))
    first, _ = model.read(middle, np.array([[1, 2, 3, 4, 1, 2, 3, 4]]))
    model.read(middle, np.array([[5] * 30]))
    twice = model.select(middle, np.array([0, 0]))
    again, _ = model.read(twice, np.array([[1, 2, 3, 4, 1, 2, 3, 4]] * 2))
    assert np.array_equal(again, np.concatenate([first, first]))


def test_a_long_session_forgets_its_older_half(draw, monkeypatch):
    monkeypatch.setattr("memlm.memory.session.LONGEST_REMEMBERED", 50)
    model = model_of(*stretches_of(draw, (300,)), is_adaptive=True)
    state = model.start(1)
    for _ in range(20):
        _, state = model.read(state, np.array(stretches_of(draw, (20,))))
        assert len(state[0].session) <= 120


def test_the_order_of_documents_changes_nothing(draw):
    stretches = stretches_of(draw, (200, 150, 90))
    stream = np.array(stretches_of(draw, (80,)))
    found = [
        CountsModel(segments, plain_smoothing(ORDERS), vocabulary_size=V)
        for segments in (
            [lay(*stretches)],
            [lay(*stretches[::-1])],
            [lay(*stretches[:1]), lay(*stretches[1:])],
        )
    ]
    read = [model.read(model.start(1), stream)[0] for model in found]
    assert np.array_equal(read[0], read[1])
    assert np.allclose(read[0], read[2], atol=1e-6)


def test_shares_sum_to_one_whatever_is_passed_on(draw):
    passed = draw.random((50, 4))
    shares = shares_of(passed)
    assert np.allclose(shares.sum(axis=1), 1)
    assert np.allclose(shares[:, -1], 1 - passed[:, -1])
    assert np.allclose(shares[:, 0], passed.prod(axis=1))


@pytest.mark.parametrize("size", [60, 5_000, 40_000], ids=["alphabet", "hanzi", "words"])
def test_there_is_a_usual_smoothing_for_every_vocabulary(size):
    smoothing = usual_smoothing(size)
    assert smoothing.orders[0] == 0
    assert len(smoothing.discounts) == len(smoothing.gates) == len(smoothing.orders)
    assert Smoothing.from_json(smoothing.to_json()) == smoothing


def test_what_each_order_says_is_a_distribution_of_its_own(draw):
    model = model_of(*stretches_of(draw, (500,)))
    evidence, _ = model.evidence(model.start(1), np.array(stretches_of(draw, (90,))[0]))
    mixture = mix(evidence, wild_smoothing(draw))
    contexts = np.repeat(np.arange(len(evidence.starts) - 1), np.diff(evidence.starts))
    said = np.bincount(contexts, mixture.entries, minlength=len(evidence.starts) - 1)
    assert np.allclose(said[np.diff(evidence.starts) > 0], 1)
