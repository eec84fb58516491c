"""The tokenizer of somebody else's model as one of ours, and what is refused of it."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from memlm.errors import CorruptArtefactError, InputError
from memlm.prepare import foreign_tokenizer, load_tokenizer
from memlm.prepare.patterns import is_safe_pattern

pytest.importorskip("tokenizers")
from foreign_makers import TEXT, byte_level_tokenizer, piece_tokenizer

SIZE = 400
TEXTS = [
    pytest.param("The lamp was lit", id="words"),
    pytest.param("夜里 é 😀 x", id="bytes"),
    pytest.param("a <|endoftext|> b <s> c </s>", id="special tokens as text"),
    pytest.param(" \n\n\t two  spaces ", id="white space"),
    pytest.param(TEXT, id="long"),
]


@pytest.fixture(params=[byte_level_tokenizer, piece_tokenizer], ids=["byte level", "pieces"])
def tokenizer(request):
    text = request.param().to_str()
    return foreign_tokenizer(text, name="tiny-01234567", size=SIZE, end=0, model_size=SIZE)


@pytest.mark.parametrize("text", TEXTS)
def test_text_comes_back(tokenizer, text):
    ids = tokenizer.encode(text).ids
    assert tokenizer.decode(ids) == text
    decoder = tokenizer.decoder()
    parts = [decoder.feed(int(token)) for token in ids]
    assert "".join(parts) + decoder.finish() == text
    assert not any("\ufffd" in part for part in parts)


@pytest.mark.parametrize("text", TEXTS)
def test_starts_are_places_in_the_text(tokenizer, text):
    found = tokenizer.encode(text)
    assert len(found.starts) == len(found.ids)
    assert found.starts[0] == 0
    assert (np.diff(found.starts) >= 0).all()
    assert found.starts[-1] < len(text)


def test_no_special_token_comes_out_of_text(tokenizer):
    ids = tokenizer.encode("<|endoftext|><s></s><unk>").ids
    special = {"<|endoftext|>", "<s>", "</s>", "<unk>"}
    described = tokenizer.to_json()["symbols"]["library"]["added_tokens"]
    numbers = {one["id"] for one in described if one["content"] in special}
    assert numbers
    assert not numbers & set(ids.tolist())


def test_tokenizer_of_a_workspace_is_the_same(tokenizer, tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(tokenizer.to_json()), "utf-8")
    again = load_tokenizer(path)
    assert again.to_json() == tokenizer.to_json()
    assert np.array_equal(again.encode(TEXT).ids, tokenizer.encode(TEXT).ids)


def test_ids_without_a_token_are_blank(tokenizer):
    assert SIZE - 1 in tokenizer.blanks
    assert tokenizer.end not in tokenizer.blanks
    assert tokenizer.decode([SIZE - 1, 5]) == tokenizer.decode([5])


def test_tokenizer_of_another_model_is_refused():
    with pytest.raises(InputError) as caught:
        foreign_tokenizer(byte_level_tokenizer().to_str(), name="x", size=9, end=0, model_size=9)
    assert caught.value.code == "foreign_vocabulary"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"model": 3}', "[" * 100_000])
def test_what_is_no_tokenizer_is_refused_in_one_line(text):
    with pytest.raises(CorruptArtefactError) as caught:
        foreign_tokenizer(text, name="x", size=9, end=0, model_size=9)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", ["pre_tokenizer", "normalizer"])
def test_catastrophic_pattern_is_refused_at_once(place):
    described = json.loads(byte_level_tokenizer().to_str())
    pattern = {"Regex": r"(a+)+b"}
    described[place] = {
        "pre_tokenizer": {
            "type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False,
        },
        "normalizer": {"type": "Replace", "pattern": pattern, "content": ""},
    }[place]  # fmt: skip
    before = time.monotonic()
    with pytest.raises(InputError) as caught:
        foreign_tokenizer(json.dumps(described), name="x", size=SIZE, end=0, model_size=SIZE)
    assert caught.value.code == "foreign_pattern"
    assert time.monotonic() - before < 2


@pytest.mark.parametrize("place", ["normalizer", "decoder"])
def test_replacements_that_multiply_text_are_refused(place):
    described = json.loads(byte_level_tokenizer().to_str())
    one = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 10}
    key = {"normalizer": "normalizers", "decoder": "decoders"}[place]
    described[place] = {"type": "Sequence", key: [one] * 9}
    with pytest.raises(InputError) as caught:
        foreign_tokenizer(json.dumps(described), name="x", size=SIZE, end=0, model_size=SIZE)
    assert caught.value.code == "foreign_growth"


@pytest.mark.parametrize("kind", [RuntimeError, type("PanicException", (BaseException,), {})])
def test_panic_of_the_library_is_one_of_our_errors(tokenizer, monkeypatch, kind):
    class Panicking:
        def encode(self, *given, **more):
            raise kind("index out of bounds")

        decode = encode

    monkeypatch.setattr(tokenizer, "_library", Panicking())
    for call in (lambda: tokenizer.encode("a"), lambda: tokenizer.decode([5])):
        with pytest.raises(CorruptArtefactError):
            call()


def word_pieces():
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens = ["[UNK]", "[SEP]", "cat", "##s", "sing", "##ing"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    found = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    found.pre_tokenizer = pre_tokenizers.Whitespace()
    found.decoder = decoders.WordPiece()
    found.add_special_tokens([AddedToken(name, special=True) for name in tokens[:2]])
    return found.to_str()


def test_pieces_are_what_tokens_write():
    found = foreign_tokenizer(word_pieces(), name="x", size=7, end=1, model_size=7)
    assert found.pieces() == [b"", b"", b"cat", b"s", b"sing", b"ing", b""]


def test_special_tokens_write_nothing(tokenizer):
    pieces = tokenizer.pieces()
    assert not any(name in pieces for name in (b"<s>", b"</s>", b"<unk>", b"<|endoftext|>"))


GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
DEEPSEEK = r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"


@pytest.mark.parametrize("pattern", [GPT2, LLAMA3, O200K, DEEPSEEK, r" {2,}", r"(?=(\d{3})+)"])
def test_patterns_of_well_known_models_are_taken(pattern):
    assert is_safe_pattern(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+b", r"(a|a)*b", r"(a*)*", r"(.*.*)+x", r"((a|b))+", r"(\w+\s?)*$", r"(a)\1",
        r"(a?){30}a{30}", r"(a|aa){50}b", "a?" * 30 + "a" * 30, "a*" * 6 + "b", "a{0,900}" * 6,
        r"(a+)(?#x)+b", r"(?x)(a+) +b", r"(?i-m:(?mx:(a+) +b))", r"\c[(a+)+b]", r"\C-[(a+)+b]",
        r"\M-[(a+)+b]", r"(\(+)+b", r"(\(?){30}b", r"a{1,9}+b", r"\s*\s*\s*\s*x",
        "((a", "a)", "a\\", "a" * 5000,
    ],
)  # fmt: skip
def test_patterns_that_could_take_for_ever_are_not(pattern):
    assert not is_safe_pattern(pattern)
