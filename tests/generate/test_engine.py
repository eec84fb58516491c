"""Writing: what comes out, where it ends, and what may never come out."""

from __future__ import annotations

import numpy as np
import pytest

from memlm.errors import ConfigError, InputError, NotFoundError
from memlm.generate import GenerateConfig, generate_texts
from memlm.models import describe_network
from memlm.models.network import build_network
from memlm.models.network_model import NetworkModel
from memlm.prepare.tokenizer import ByteTokenizer, CharTokenizer
from memlm.prepare.vocabulary import learn_tokenizer

CHINESE = "床前明月光，疑是地上霜。"
MIXED = f"{CHINESE} moonlight 😀 é"


@pytest.fixture
def letters() -> CharTokenizer:
    return CharTokenizer("abcdefgh .", labels=[], name="char")


@pytest.fixture
def network_model(letters) -> NetworkModel:
    sizes = {"embedding_width": 6, "hidden_width": 8, "layers": 1}
    config = describe_network(kind="gru", vocabulary_size=letters.vocabulary_size, **sizes)
    return NetworkModel(build_network(config, seed=1))


@pytest.fixture(params=["byte", "bpe", "char"])
def any_tokenizer(request):
    if request.param == "byte":
        return ByteTokenizer(labels=[], name="byte")
    size = 300 if request.param == "bpe" else None
    return learn_tokenizer(request.param, [MIXED] * 3, size=size, labels=[])


def _write(model, tokenizer, prompt="", **options):
    return generate_texts(model, tokenizer, prompt, GenerateConfig(**options))


def _recite(reciter, tokenizer, text: str, *, then_end: bool = False, skipped: int = 1):
    script = [*tokenizer.encode(text).ids.tolist(), *([tokenizer.end] if then_end else [])]
    return reciter(script, tokenizer.vocabulary_size, skipped=skipped), len(script)


# -- what comes out -----------------------------------------------------------------------------


def test_the_same_seed_writes_the_same_text(network_model, letters):
    first, second = (_write(network_model, letters, "abc", seed=5)[0].text for _ in range(2))
    assert first == second


def test_another_seed_writes_another_text(network_model, letters):
    first, second = (_write(network_model, letters, "abc", seed=s)[0].text for s in (5, 6))
    assert first != second


def test_without_a_seed_every_text_is_another(network_model, letters):
    # An untrained network may well end at once, and two empty texts are the same.
    first, second = (
        _write(network_model, letters, "abc", ignore_end=True)[0].text for _ in range(2)
    )
    assert first != second


def test_writing_leaves_numpys_random_numbers_alone(network_model, letters):
    before = np.random.get_state()[1].tobytes()  # the global state is what is meant
    _write(network_model, letters, seed=5)
    assert np.random.get_state()[1].tobytes() == before


def test_temperature_zero_takes_the_likeliest_every_time(network_model, letters):
    found = _write(network_model, letters, "abc", temperature=0, tokens=20, ignore_end=True)[0].text
    state = network_model.start(1)
    context = [letters.end, *letters.encode("abc").ids.tolist()]
    expected = []
    for _ in range(20):
        rows, _ = network_model.read(state, np.array([context]))
        row = rows[0, -1].copy()
        row[[letters.end, letters.unknown]] = -np.inf
        context.append(int(row.argmax()))
        expected.append(context[-1])
    assert found == letters.decode(expected)


def test_the_draws_follow_the_distribution(uniform, letters):
    found = _write(uniform(letters.vocabulary_size), letters, seed=1, tokens=4000, ignore_end=True)
    counts = np.array([found[0].text.count(symbol) for symbol in "abcdefgh ."])
    assert counts.sum() == 4000
    assert ((counts - 400) ** 2 / 400).sum() < 27.9  # chi squared, 9 degrees of freedom, 0.1 %


def test_top_k_of_one_is_greedy(network_model, letters):
    greedy = _write(network_model, letters, "a", temperature=0, tokens=20)[0].text
    assert _write(network_model, letters, "a", top_k=1, tokens=20)[0].text == greedy


def test_a_very_small_top_p_is_greedy(network_model, letters):
    greedy = _write(network_model, letters, "a", temperature=0, tokens=20)[0].text
    assert _write(network_model, letters, "a", top_p=1e-9, tokens=20)[0].text == greedy


def test_the_text_is_without_the_prompt(reciter, letters):
    model, _ = _recite(reciter, letters, "abcd", skipped=4)
    (found,) = _write(model, letters, "fed", tokens=4)
    assert (found.prompt, found.text) == ("fed", "abcd")


def test_a_prompt_longer_than_a_block_is_read_whole(network_model, letters):
    prompt = "abc fed gah " * 100
    found = _write(network_model, letters, prompt, temperature=0, tokens=10, ignore_end=True)
    stream = np.array([[letters.end, *letters.encode(prompt).ids.tolist()]])
    rows, _ = network_model.read(network_model.start(1), stream)
    row = rows[0, -1].copy()
    row[[letters.end, letters.unknown]] = -np.inf
    assert found[0].text[0] == letters.decode([int(row.argmax())])


def test_samples_are_as_many_as_asked_for_and_differ(network_model, letters):
    found = _write(network_model, letters, "ab", samples=4, seed=2)
    assert len({one.text for one in found}) == 4


def test_samples_end_each_for_itself(uniform, letters):
    model = uniform(letters.vocabulary_size)
    found = _write(model, letters, samples=30, seed=0, tokens=12)
    assert {one.ended_by for one in found} == {"end", "length"}
    assert all(one.tokens == len(one.text) + (one.ended_by == "end") for one in found)


# -- where it ends ------------------------------------------------------------------------------


@pytest.mark.parametrize("tokens", [1, 2, 17, 100])
def test_exactly_as_many_tokens_are_written_as_asked_for(network_model, letters, tokens):
    (found,) = _write(network_model, letters, "ab", tokens=tokens, ignore_end=True)
    assert (found.tokens, len(found.text), found.ended_by) == (tokens, tokens, "length")


def test_a_text_ends_with_its_document(reciter, letters):
    model, _ = _recite(reciter, letters, "abc", then_end=True)
    (found,) = _write(model, letters, tokens=50)
    assert (found.text, found.ended_by) == ("abc", "end")


def test_ignoring_the_end_goes_on(reciter, letters):
    model, _ = _recite(reciter, letters, "abc", then_end=True)
    (found,) = _write(model, letters, tokens=50, ignore_end=True)
    assert (found.tokens, len(found.text), found.ended_by) == (50, 50, "length")


@pytest.mark.parametrize("stop", ["明月", "月光，", "。", "moon", " "], ids=repr)
def test_a_stop_string_ends_the_text_before_it_across_tokens(reciter, any_tokenizer, stop):
    model, length = _recite(reciter, any_tokenizer, MIXED)
    (found,) = _write(model, any_tokenizer, tokens=length, stop=(stop,))
    assert (found.text, found.ended_by) == (MIXED[: MIXED.index(stop)], "stop")


def test_the_first_of_several_stop_strings_counts(reciter, letters):
    model, _ = _recite(reciter, letters, "abcdefgh")
    assert _write(model, letters, stop=("h", "de", "ef"))[0].text == "abc"


def test_a_stop_string_that_never_comes_ends_nothing(reciter, letters):
    model, length = _recite(reciter, letters, "abcabc")
    (found,) = _write(model, letters, tokens=length, stop=("abcd", "cc"))
    assert (found.text, found.ended_by) == ("abcabc", "length")


def test_a_stop_string_in_the_prompt_does_not_count(reciter, letters):
    model, length = _recite(reciter, letters, "abc", skipped=3)
    assert _write(model, letters, "a.", tokens=length, stop=(".",))[0].text == "abc"


# -- streaming ----------------------------------------------------------------------------------


@pytest.fixture
def stream(reciter, any_tokenizer):
    """Return what writes `MIXED` and returns the pieces that were heard, and the text."""

    def write(**options):
        model, length = _recite(reciter, any_tokenizer, MIXED)
        pieces = []
        config = GenerateConfig(**{"tokens": length} | options)
        (found,) = generate_texts(
            model, any_tokenizer, "", config, on_text=lambda _, text: pieces.append(text)
        )
        return pieces, found.text

    return write


def test_the_pieces_that_are_heard_are_the_text(stream):
    pieces, text = stream()
    assert "".join(pieces) == text == MIXED


def test_a_piece_never_holds_half_a_character(stream):
    pieces, _ = stream()
    assert not any("\ufffd" in piece for piece in pieces)


def test_text_is_heard_as_it_is_written(stream):
    pieces, _ = stream()
    assert len(pieces) > 5


def test_no_part_of_a_stop_string_is_ever_heard(stream):
    pieces, text = stream(stop=("光，疑",))
    assert "".join(pieces) == text == "床前明月"


@pytest.mark.parametrize("beams", [None, 2])
def test_a_text_cut_within_a_character_ends_before_it(reciter, beams):
    tokenizer = ByteTokenizer(labels=[], name="byte")
    model, _ = _recite(reciter, tokenizer, CHINESE)
    pieces = []
    config = GenerateConfig(tokens=7, beams=beams)
    (found,) = generate_texts(
        model, tokenizer, "", config, on_text=lambda _, text: pieces.append(text)
    )
    assert (found.text, found.tokens) == ("床前", 7)
    assert "".join(pieces) == found.text


def test_each_sample_is_heard_under_its_number(network_model, letters):
    heard = {0: "", 1: "", 2: ""}

    def hear(sample: int, text: str) -> None:
        heard[sample] += text

    config = GenerateConfig(tokens=20, samples=3, seed=1)
    found = generate_texts(network_model, letters, "a", config, on_text=hear)
    assert heard == {number: one.text for number, one in enumerate(found)}


def test_words_are_joined_to_the_prompt_with_a_space(reciter):
    tokenizer = learn_tokenizer("whitespace", ["the cat sat\n"], size=None, labels=[])
    model, length = _recite(reciter, tokenizer, "cat sat", skipped=2)
    assert _write(model, tokenizer, "the", tokens=length)[0].text == " cat sat"


# -- what may never come out --------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0, 1, 100], ids=str)
def test_unknown_and_label_tokens_are_never_written(reciter, temperature):
    tokenizer = CharTokenizer("ab", labels=["x", "y"], name="char")
    specials = [tokenizer.unknown, *tokenizer.labels.values()]
    model = reciter(specials, tokenizer.vocabulary_size)
    (found,) = _write(
        model, tokenizer, tokens=60, temperature=temperature, label="x", ignore_end=True, seed=3
    )
    assert set(found.text) <= {"a", "b"}
    assert len(found.text) == 60


@pytest.mark.parametrize(
    ("prompt", "named"),
    [
        pytest.param("abz", "z", id="a letter"),
        pytest.param("a明b月a明", "明 月", id="each symbol once"),
        pytest.param("a\tb", "U+0009", id="white space by its number"),
        pytest.param("a\u200bb", "U+200B", id="the invisible by its number"),
    ],
)
def test_a_prompt_with_unknown_symbols_is_refused_and_they_are_named(
    network_model, letters, prompt, named
):
    with pytest.raises(InputError) as caught:
        _write(network_model, letters, prompt)
    assert caught.value.values["symbols"] == named


# -- labels -------------------------------------------------------------------------------------


@pytest.fixture
def labelled() -> CharTokenizer:
    return CharTokenizer("ab", labels=["no", "yes"], name="char")


def test_the_label_wished_for_opens_the_text(reciter, labelled):
    heard = []
    model = reciter([4, 5], labelled.vocabulary_size, skipped=2)
    plain = model.advance

    def advance(state, tokens):
        heard.append(tokens.tolist())
        return plain(state, tokens)

    model.advance = advance
    (found,) = _write(model, labelled, tokens=2, label="yes")
    assert (found.label, found.text) == ("yes", "ab")
    assert heard[0] == [labelled.labels["yes"]]


def test_without_a_wish_the_model_draws_a_label_or_none(uniform, labelled):
    found = _write(uniform(labelled.vocabulary_size), labelled, samples=200, seed=0, tokens=2)
    assert {one.label for one in found} == {"no", "yes", None}


class _KnowsLabels:
    """A language model that writes "a" after the label `yes` and "b" after everything else."""

    def __init__(self, tokenizer):
        self.tokenizer, self.vocabulary_size = tokenizer, tokenizer.vocabulary_size
        self._a, self._b = (int(i) for i in tokenizer.encode("ab").ids)

    def start(self, batch):
        return np.zeros(batch, dtype=bool)

    def advance(self, state, tokens):
        is_yes = (state | (tokens == self.tokenizer.labels["yes"])) & (tokens != 0)
        weights = np.full((len(tokens), self.vocabulary_size), 0.01)
        weights[np.arange(len(tokens)), np.where(is_yes, self._a, self._b)] = 1.0
        return np.log(weights / weights.sum(axis=1, keepdims=True)), is_yes

    def read(self, state, tokens):
        columns = []
        for column in tokens.T:
            found, state = self.advance(state, column)
            columns.append(found)
        return np.stack(columns, axis=1), state

    def select(self, state, rows):
        return state[rows]


def test_the_label_that_is_drawn_fits_the_prompt(labelled):
    found = _write(_KnowsLabels(labelled), labelled, prompt="aaaa", samples=50, seed=0, tokens=1)
    assert {one.label for one in found} == {"yes"}


def test_an_unknown_label_is_refused_and_the_known_are_named(uniform, labelled):
    with pytest.raises(NotFoundError, match="no, yes"):
        _write(uniform(labelled.vocabulary_size), labelled, label="maybe")


def test_a_label_is_refused_where_there_are_none(network_model, letters):
    with pytest.raises(NotFoundError, match="yes"):
        _write(network_model, letters, label="yes")


# -- options ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "option"),
    [
        pytest.param({"tokens": 0}, "--tokens", id="no tokens"),
        pytest.param({"tokens": 10**9}, "--tokens", id="far too many tokens"),
        pytest.param({"samples": 0}, "--samples", id="no samples"),
        pytest.param({"temperature": -0.1}, "--temperature", id="below absolute zero"),
        pytest.param({"temperature": float("nan")}, "--temperature", id="no temperature"),
        pytest.param({"temperature": float("inf")}, "--temperature", id="without end"),
        pytest.param({"top_k": 0}, "--top-k", id="top none"),
        pytest.param({"top_p": 0.0}, "--top-p", id="no share"),
        pytest.param({"top_p": 1.1}, "--top-p", id="more than all"),
        pytest.param({"stop": ("a", "")}, "--stop", id="an empty stop"),
        pytest.param({"seed": -1}, "--seed", id="a negative seed"),
        pytest.param({"min_p": 0.0}, "--min-p", id="no least probability"),
        pytest.param({"min_p": float("nan")}, "--min-p", id="a least probability of no number"),
        pytest.param({"typical": 1.5}, "--typical", id="more than all of the typical"),
        pytest.param({"repetition_penalty": 0.0}, "--repetition-penalty", id="no power"),
        pytest.param({"repetition_penalty": float("nan")}, "--repetition-penalty", id="nan"),
        pytest.param({"presence_penalty": float("inf")}, "--presence-penalty", id="infinite"),
        pytest.param({"forbid": ("",)}, "--forbid", id="nothing forbidden"),
        pytest.param({"allow": ("a", "")}, "--allow", id="nothing allowed"),
        pytest.param({"tokens": 5, "min_tokens": 6}, "--min-tokens", id="more than the most"),
        pytest.param({"min_tokens": -1}, "--min-tokens", id="less than none"),
    ],
)
def test_an_impossible_option_is_refused_and_named(network_model, letters, options, option):
    with pytest.raises(ConfigError, match=option):
        _write(network_model, letters, **options)


def test_no_document_ends_before_so_many_tokens(reciter, letters):
    model, _ = _recite(reciter, letters, "abc", then_end=True)
    texts = [_write(model, letters, "", tokens=20, min_tokens=least)[0] for least in (0, 3, 4)]
    assert [one.text for one in texts][:2] == ["abc", "abc"]
    assert [one.ended_by for one in texts] == ["end"] * 3
    assert len(texts[2].text) > 4


@pytest.mark.parametrize("k", [12, 13, 10**9])
def test_a_top_k_beyond_the_vocabulary_keeps_all(network_model, letters, k):
    every = _write(network_model, letters, "a", seed=3)[0].text
    assert _write(network_model, letters, "a", seed=3, top_k=k)[0].text == every


@pytest.mark.parametrize("text", ["<end>", "<unknown>", "<label>", "</s><|endoftext|>"])
@pytest.mark.parametrize("kind", ["char", "byte", "bpe", "word"])
def test_the_text_of_a_special_token_stays_text(uniform, kind, text):
    tokenizer = (
        ByteTokenizer(labels=["label"], name="byte")
        if kind == "byte"
        else learn_tokenizer(
            kind, [text] * 3, size=300 if kind == "bpe" else None, labels=["label"]
        )
    )
    ids = tokenizer.encode(text).ids.tolist()
    assert min(ids) >= tokenizer.num_specials
    (found,) = _write(uniform(tokenizer.vocabulary_size), tokenizer, text, tokens=2, seed=1)
    assert found.prompt == text
    assert tokenizer.decode(ids) == text


@pytest.mark.parametrize("kind", ["lstm", "transformer"])
def test_a_prompt_longer_than_what_a_network_sees_is_read(kind, letters):
    sizes = {"embedding_width": 8, "hidden_width": 8, "layers": 1}
    window = {"window": 16, "heads": 2} if kind == "transformer" else {}
    config = describe_network(kind=kind, vocabulary_size=letters.vocabulary_size, **sizes, **window)
    model = NetworkModel(build_network(config, seed=1))
    long = "abc fed gah " * 200
    options = {"temperature": 0.0, "tokens": 8, "ignore_end": True}
    (found,) = _write(model, letters, long, **options)
    assert found.tokens == 8
    if config.reach is not None:  # what is farther back has no effect
        assert config.reach == 16
        assert _write(model, letters, "h" * 30 + long[-60:], **options)[0].text == found.text


# -- memory -------------------------------------------------------------------------------------


@pytest.fixture
def three_labels() -> CharTokenizer:
    return CharTokenizer("abcdefgh .", labels=["x", "y", "z"], name="char")


@pytest.mark.parametrize("label", [None, "x"])
def test_a_prompt_is_read_once_for_each_label_in_blocks_of_bounded_size(
    measured, three_labels, monkeypatch, label
):
    monkeypatch.setattr("memlm.generate.prompt._LARGEST_BLOCK_VALUES", 2000)
    model = measured(three_labels.vocabulary_size)
    _write(model, three_labels, "abc " * 100, samples=64, tokens=2, seed=1, label=label)
    assert max(model.read_values) <= 2000
    assert max(model.read_rows) <= 4


def test_samples_that_share_a_prompt_are_written_as_if_each_had_read_it(three_labels):
    sizes = {"embedding_width": 6, "hidden_width": 8, "layers": 1}
    labels = tuple(three_labels.labels.values())
    config = describe_network(
        kind="gru", vocabulary_size=three_labels.vocabulary_size, label_tokens=labels, **sizes
    )
    model = NetworkModel(build_network(config, seed=1))
    options = {"tokens": 6, "temperature": 0.0, "ignore_end": True}
    many = _write(model, three_labels, "abc", samples=12, seed=3, **options)
    assert len({one.label for one in many}) > 1
    for one in many:
        if one.label is not None:
            assert (
                one.text == _write(model, three_labels, "abc", label=one.label, **options)[0].text
            )


# -- what was erased ----------------------------------------------------------------------------


def test_blank_entry_is_never_written(reciter):
    tokenizer = CharTokenizer(["a", None, "c", None], labels=["yes", None], name="char")
    script = [tokenizer.num_specials + rank for rank in (1, 3)]
    model = reciter(script, tokenizer.vocabulary_size)
    found = _write(model, tokenizer, tokens=40, seed=1, ignore_end=True)[0]
    assert set(found.text) <= {"a", "c"}
    assert len(found.text) == found.tokens > 0


def test_model_whose_vocabulary_was_erased_has_nothing_to_write(uniform):
    tokenizer = CharTokenizer([None, None], labels=[], name="char")
    with pytest.raises(InputError) as caught:
        _write(uniform(tokenizer.vocabulary_size), tokenizer, ignore_end=True)
    assert caught.value.code == "nothing_to_write"
