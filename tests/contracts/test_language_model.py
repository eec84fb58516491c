"""What every `LanguageModel` promises, on every implementation that the package holds.

A class with the verbs of the protocol is found by listing the package; one that nobody tells this
file how to make fails it.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass

import numpy as np
import pytest
import torch

import memlm
from foreign_makers import make_network
from memlm.generate.dice import Dice
from memlm.generate.reading_ahead import ReadingAhead, Rewindable
from memlm.language_model import Companion, LanguageModel, ShowsHidden
from memlm.memory.cache import Cache, CacheConfig
from memlm.memory.counts import CountsModel
from memlm.memory.smoothing import usual_smoothing
from memlm.models import describe_network
from memlm.models.network import build_network
from memlm.models.network_model import NetworkModel
from memlm.models.stepping import SteppingModel
from memlm.predict.blend import Blend, BlendedModel, num_features
from memlm.train.adapt import AdaptConfig, AdaptingModel

PROTOCOLS = (LanguageModel, ShowsHidden, Rewindable)
VERBS = ("start", "read", "advance", "select", "vocabulary_size")
VOCABULARY = 12


def _network(kind: str, **more: object) -> Callable[[], NetworkModel]:
    sizes = {"vocabulary_size": VOCABULARY, "embedding_width": 8, "hidden_width": 8, "layers": 2}

    def make() -> NetworkModel:
        network = build_network(describe_network(**{"kind": kind, **sizes, **more}), seed=1)
        with torch.no_grad():  # far from uniform, as a trained network is
            if network.config.has_output_bias and not network.config.cutoffs:
                network.output.bias.copy_(torch.linspace(-8, 8, VOCABULARY))
            for weights in network.parameters():
                if not weights.any():  # what would add nothing at first
                    torch.nn.init.normal_(weights, std=0.5)
        return NetworkModel(network)

    return make


def _stepping(kind: str, **more: object) -> Callable[[], SteppingModel]:
    def make() -> SteppingModel:
        network = _network(kind, **more)().network
        weights = {name: value.numpy() for name, value in network.weights().items()}
        return SteppingModel(network.config, weights)

    return make


def _adapting(make: Callable[[], NetworkModel], **config: object) -> Callable[[], LanguageModel]:
    def make_adapting() -> LanguageModel:
        network = make().network
        squares = {name: torch.ones_like(one) / 4 for name, one in network.named_parameters()}
        return AdaptingModel(network, AdaptConfig(segment=2, **config), squares=squares)

    return make_adapting


def _foreign(kind: str, context: int | None) -> Callable[[], LanguageModel]:
    def make() -> LanguageModel:
        from memlm.models.huggingface import Beginning, HuggingFaceModel

        if kind == "plain":  # whose texts end with a token that the model has not
            network, beginning = make_network(kind, VOCABULARY - 1), Beginning(None, VOCABULARY - 1)
        else:
            network, beginning = make_network(kind, VOCABULARY), Beginning(1, 2)
        return HuggingFaceModel(network, beginning, context=context, longest=context)

    return make


def _taken_away(kind: str, **more: object) -> Callable[[], LanguageModel]:
    def make() -> LanguageModel:
        from memlm.models.exporting.modelling.configuration_memlm import MemlmConfig
        from memlm.models.exporting.modelling.modeling_memlm import MemlmForCausalLM
        from memlm.models.huggingface import Beginning, HuggingFaceModel

        network = _network(kind, **more)().network
        found = MemlmForCausalLM(MemlmConfig(network=network.config.to_json()))
        found.load_state_dict(network.state_dict())
        model = HuggingFaceModel(found, Beginning(0, 0), context=512, longest=512)
        assert model.continues == "blocks"
        return model

    return make


@dataclass(frozen=True)
class _Laid:
    """What a memory asks of a segment: two short documents, each behind the end of another."""

    symbols: np.ndarray
    suffixes: np.ndarray


def _counts(*, is_adaptive: bool) -> Callable[[], CountsModel]:
    def make() -> CountsModel:
        documents = ([0, 5, 6, 7, 5, 6, 8, 0], [0, 2, 5, 6, 8, 7, 9, 9, 9, 9, 0])
        symbols = np.array([s for one in documents for s in [*(t + 1 for t in one), 0]], "u1")
        raw = symbols.tobytes()
        order = sorted(range(len(raw)), key=lambda place: raw[place:])
        return CountsModel(
            [_Laid(symbols, np.array(order, dtype="<i4"))],
            usual_smoothing(VOCABULARY),
            vocabulary_size=VOCABULARY,
            is_adaptive=is_adaptive,
        )

    return make


def _blended(method: str, make: Callable[[], LanguageModel], **beside: Companion) -> Callable:
    def make_blended() -> BlendedModel:
        count = 2 + len(beside)
        gate = np.random.default_rng(1).normal(0, 0.3, (count, num_features(count)))
        blend = Blend(
            experts=("weights", "counts"),
            method=method,
            gate=tuple(map(tuple, gate)),
            companions=tuple(beside),
        )
        experts = {"weights": make(), "counts": _counts(is_adaptive=False)()}
        return BlendedModel(blend, experts, beside)

    return make_blended


def _ahead() -> Callable[[], LanguageModel]:
    def make() -> LanguageModel:
        network = _stepping("transformer", window=5, heads=2, label_tokens=(2, 3))()
        return ReadingAhead(network, _counts(is_adaptive=False)(), Dice(1), temperature=1.0)

    return make


MAKERS: dict[str, dict[str, Callable[[], LanguageModel]]] = {
    "NetworkModel": {
        "lstm": _network("lstm"),
        "gru": _network("gru", is_tied=True),
        "labelled lstm": _network("lstm", label_tokens=(2, 3), dropout=0.5),
        "transformer": _network("transformer", window=5, heads=2, label_tokens=(2, 3)),
        "lstm with all of its past": _network("lstm-attention", heads=2, window=0),
        "mixed": _network("mixed", window=16, heads=1, is_tied=True),
        "words by clusters": _network("lstm", cutoffs=(4, 8), hidden_width=16),
    },
    "SteppingModel": {
        "stepping lstm": _stepping("lstm"),
        "stepping labelled gru": _stepping("gru", is_residual=True, label_tokens=(2, 3)),
        "stepping transformer": _stepping("transformer", window=5, heads=2, label_tokens=(2, 3)),
        "stepping mixed": _stepping("mixed", window=16, heads=1, is_tied=True),
        "stepping by clusters": _stepping("lstm", cutoffs=(4, 8), hidden_width=16),
    },
    "HuggingFaceModel": {
        "GPT-2": _foreign("gpt2", 32),
        "GPT-2 without an end": _foreign("plain", 32),
        "Llama": _foreign("llama", 48),
        "Qwen3 in short windows": _foreign("qwen3", 5),
        "Mamba": _foreign("mamba", None),
        "memlm's LSTM taken away": _taken_away("lstm", label_tokens=(2, 3)),
        "memlm's mixed network taken away": _taken_away("mixed", window=16, heads=1),
    },
    "AdaptingModel": {
        "adapting lstm": _adapting(_network("lstm"), rule="sgd", learning_rate=0.1),
        "adapting gru": _adapting(_network("gru", is_tied=True), rule="rms", learning_rate=0.01),
    },
    "CountsModel": {
        "counts": _counts(is_adaptive=False),
        "adaptive counts": _counts(is_adaptive=True),
    },
    "ReadingAhead": {"reading ahead": _ahead()},
    "BlendedModel": {
        "linear blend": _blended("linear", _network("lstm")),
        "geometric blend": _blended("geometric", _network("gru")),
        "blend with a cache": _blended(
            "linear",
            _network("lstm"),
            cache=Cache(CacheConfig(window=5), vocabulary_size=VOCABULARY),
        ),
        "adaptive blend": _blended(
            "geometric", _adapting(_network("lstm"), rule="sgd", learning_rate=0.1)
        ),
    },
}
CONTEXTS = [
    pytest.param([0], id="empty"),
    pytest.param([0, 5, 6, 7], id="ordinary"),
    pytest.param([0, 2, 5, 6], id="after a label"),
    pytest.param([0, 1, 1], id="unknown symbols"),
    pytest.param([5, 0, 0, 0], id="at the end of documents"),
    pytest.param([11] * 300, id="one token without end"),
]


@pytest.fixture(
    params=[
        pytest.param(make, id=name) for makers in MAKERS.values() for name, make in makers.items()
    ]
)
def model(request) -> Iterator[LanguageModel]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield request.param()
    torch.set_num_threads(threads)


def test_showing_hidden_states_changes_no_bit(model):
    if not hasattr(model, "read_hidden"):
        pytest.skip("it has none")
    tokens = np.array([[0, 2, 5, 6, 7], [0, 3, 9, 9, 0]])
    expected, after = model.read(model.start(2), tokens)
    found, hidden, state = model.read_hidden(model.start(2), tokens)
    assert np.array_equal(found, expected)
    assert (hidden.shape, hidden.dtype) == ((2, 5, model.hidden_size), np.float32)
    alone, _ = model.hidden_states(model.start(2), tokens)
    assert np.array_equal(alone, hidden)
    expected, _ = model.advance(after, tokens[:, 0])
    found, last, _ = model.advance_hidden(state, tokens[:, 0])
    assert np.array_equal(found, expected)
    assert last.shape == (2, model.hidden_size)


def _flat(state: object) -> list[np.ndarray]:
    if is_dataclass(state):
        state = [getattr(state, field.name) for field in fields(state)]
    if isinstance(state, tuple | list):
        return [value for part in state for value in _flat(part)]
    found = np.asarray(state)
    return [] if found.dtype == object else [found.copy()]  # what has verbs tells by those


def test_every_implementation_in_the_package_is_tested_here():
    found = set()
    for info in pkgutil.walk_packages(memlm.__path__, "memlm."):
        if info.name == "memlm.__main__":
            continue
        module = importlib.import_module(info.name)
        for name, value in inspect.getmembers(module, inspect.isclass):
            if value in PROTOCOLS or not all(hasattr(value, verb) for verb in VERBS):
                continue
            if "hidden" not in inspect.signature(value.read).parameters:  # those are companions
                found.add(name)
    assert found == set(MAKERS)


@pytest.mark.parametrize("context", CONTEXTS)
def test_every_distribution_sums_to_one(model, context):
    found, _ = model.read(model.start(1), np.array([context]))
    assert found.shape == (1, len(context), model.vocabulary_size)
    assert np.abs(np.exp(found.astype(np.float64)).sum(axis=2) - 1).max() < 1e-5


@pytest.mark.parametrize("context", CONTEXTS)
def test_advancing_token_by_token_equals_reading(model, context):
    expected, last = model.read(model.start(1), np.array([context]))
    state = model.start(1)
    for place, token in enumerate(context):
        found, state = model.advance(state, np.array([token]))
        np.testing.assert_allclose(found, expected[:, place], atol=2e-5)
    for token in (5, 6, 7, 0, 9):  # what a state knows shows in what it leads to
        one, state = model.advance(state, np.array([token]))
        other, last = model.advance(last, np.array([token]))
        np.testing.assert_allclose(one, other, atol=2e-5)


def test_reading_in_pieces_equals_reading_at_once(model):
    tokens = np.array([[0, 2, 5, 6, 7, 8], [0, 3, 9, 9, 0, 4]])
    expected, _ = model.read(model.start(2), tokens)
    first, state = model.read(model.start(2), tokens[:, :2])
    second, _ = model.read(state, tokens[:, 2:])
    np.testing.assert_allclose(np.concatenate([first, second], axis=1), expected, atol=1e-5)


@pytest.mark.parametrize("verb", ["read", "advance", "select"])
def test_no_verb_changes_the_state_that_it_is_given(model, verb):
    _, state = model.read(model.start(2), np.array([[0, 2, 5], [0, 3, 6]]))
    before = [part.copy() for part in _flat(state)]
    arguments = {"read": np.array([[7, 0], [8, 2]]), "advance": np.array([2, 0])}
    getattr(model, verb)(state, arguments.get(verb, np.array([1, 1])))
    assert all(np.array_equal(a, b) for a, b in zip(_flat(state), before, strict=True))


@pytest.mark.parametrize("rows", [[1, 0], [1, 1, 0], [0], [1]], ids=str)
def test_selecting_takes_rows_in_the_order_named(model, rows):
    texts = np.array([[0, 2, 5, 6], [0, 3, 9, 10]])
    _, state = model.read(model.start(2), texts)
    found, _ = model.advance(model.select(state, np.array(rows)), np.array([7] * len(rows)))
    _, direct = model.read(model.start(len(rows)), texts[rows])
    expected, _ = model.advance(direct, np.array([7] * len(rows)))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_what_was_read_matters(model):
    found, _ = model.read(model.start(2), np.array([[0, 5, 5, 7], [0, 9, 8, 7]]))
    assert not np.allclose(found[0, -1], found[1, -1])


def test_log_probabilities_are_single_precision_numbers(model):
    found, _ = model.advance(model.start(1), np.array([0]))
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.float32
