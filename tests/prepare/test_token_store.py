"""The token store: every token knows its document and its place in the collected text."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from memlm.errors import ConfigError, CorruptArtefactError, InputError
from memlm.prepare import (
    PartInMemory,
    PrepareConfig,
    TokenStore,
    settle_config,
    settling,
    survey_parts,
    tokenizer_name,
    write_token_store,
)
from memlm.prepare.cleaned import Survey
from memlm.prepare.config import DEFAULTS
from memlm.records import SPLITS, Document, PrepareReport
from memlm.storage import new_folder, verify_folder

KINDS = ("char", "byte", "bpe", "word", "whitespace")
Build = Callable[..., TokenStore]
AsParts = Callable[[Sequence[Document]], list[PartInMemory]]


def make_documents(number: int = 60) -> list[Document]:
    return [
        Document(
            id=f"{n:016x}",
            text=f"Text {n} says {n * 7919 % 1000}.\x07\n第{n}篇文章说天气很好😀\n" * (1 + n % 3),
            label="even" if n % 2 == 0 else "odd",
        )
        for n in range(number)
    ]


@pytest.fixture
def build(tmp_path: Path, as_parts: AsParts) -> Build:
    def run(documents: Sequence[Document], name: str = "store", **options) -> TokenStore:
        config = PrepareConfig(**{"tokenizer": "char"} | options)
        with new_folder(tmp_path / name, made_from={}) as temporary:
            report = write_token_store(temporary, as_parts(documents), config)
        store = TokenStore(tmp_path / name)
        assert store.report() == report
        return store

    return run


# -- tokens -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_of_a_unit_are_label_text_and_end(build: Build, kind: str) -> None:
    documents = make_documents()
    store = build(documents, tokenizer=kind)
    tokenizer = store.tokenizer
    for unit in store.units:
        document = documents[int(unit["document"])]
        tokens = store.tokens[int(unit["token_start"]) : int(unit["token_end"])].tolist()
        assert tokens[0] == tokenizer.labels[document.label or ""]
        assert tokens[-1] == tokenizer.end
        assert tokens[1:-1] == tokenizer.encode(document.text.replace("\x07", "")).ids.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_token_knows_its_document(build: Build, kind: str) -> None:
    documents = make_documents()
    store = build(documents, tokenizer=kind)
    assert list(store.document_ids) == [document.id for document in documents]
    ends = np.flatnonzero(store.tokens == store.tokenizer.end)
    assert [store.document_of(int(end)) for end in ends] == list(store.document_ids)
    assert [store.document_of(int(end) + 1) for end in ends[:-1]] == store.document_ids[1:]


@pytest.mark.parametrize("kind", ["char", "word"])
def test_offsets_slice_back_into_the_collected_text(build: Build, kind: str) -> None:
    documents = {document.id: document.text for document in make_documents()}
    store = build(make_documents(), tokenizer=kind)
    for position, token in enumerate(store.tokens.tolist()):
        text = store.tokenizer.decode([token])
        if text and token != store.tokenizer.unknown:
            document = documents[store.document_of(position)]
            assert document.startswith(text, int(store.offsets[position]))


@pytest.mark.parametrize("kind", KINDS)
def test_offsets_never_go_back_inside_a_unit(build: Build, kind: str) -> None:
    store = build(make_documents(), tokenizer=kind)
    for unit in store.units:
        offsets = store.offsets[int(unit["token_start"]) : int(unit["token_end"])].astype(int)
        assert (np.diff(offsets) >= 0).all()
        assert int(unit["text_start"]) <= offsets[0]
        assert offsets[-1] == int(unit["text_end"])


def test_document_ids_are_read_as_a_list_is(build: Build) -> None:
    documents = make_documents(9)
    store, ids = build(documents), [document.id for document in documents]
    assert store.document_ids[-1] == ids[-1]
    assert store.document_ids[2:5] == ids[2:5]
    assert ids[4] in store.document_ids


@pytest.mark.parametrize("content", [b"", b"0001\n02\n"], ids=["empty", "of two lengths"])
def test_damaged_list_of_document_ids_is_refused(build: Build, content: bytes) -> None:
    store = build(make_documents(9))
    (store.folder / "documents.txt").write_bytes(content)
    with pytest.raises(CorruptArtefactError):
        TokenStore(store.folder)


def test_long_document_is_encoded_in_parts(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "A line of words.\nAnother one without end" * 40
    whole = build([Document(id="0" * 16, text=text)], "whole").tokens.tolist()
    monkeypatch.setattr("memlm.prepare.token_parts.LARGEST_ENCODED_AT_ONCE", 50)
    assert build([Document(id="0" * 16, text=text)], "parts").tokens.tolist() == whole


def test_large_vocabulary_has_wider_tokens(build: Build) -> None:
    text = "".join(map(chr, range(0x4E00, 0x9FA5))) + "".join(map(chr, range(0xAC00, 0xD7A4)))
    text += "".join(map(chr, range(0x20000, 0x29000)))
    store = build([Document(id="0" * 16, text=text)], held_out_share=0)
    assert store.tokens.dtype == np.dtype("<u4")
    assert store.tokenizer.decode(store.tokens) == text


# -- counts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_counts_add_up(build: Build, kind: str) -> None:
    documents = make_documents()
    store = build(documents, tokenizer=kind)
    report = store.report()
    texts = [document.text.replace("\x07", "") for document in documents]
    assert sum(report.tokens.values()) == len(store.tokens)
    assert report.characters == sum(map(len, texts)) == store.units["characters"].sum()
    assert store.units["bytes"].sum() == sum(len(text.encode()) for text in texts)
    for split in SPLITS:
        units = store.units_of(split)
        assert (units["token_end"] - units["token_start"]).sum() == report.tokens[split]


def test_unknown_symbols_are_counted_and_charged(build: Build) -> None:
    store = build(make_documents(), vocabulary_size=20)
    ids = store.tokens == store.tokenizer.unknown
    assert store.report().unknown == ids.sum() == store.units["unknown"].sum() > 0
    assert store.units["unknown_bytes"].sum() >= ids.sum()


def test_vocabulary_is_learned_from_the_train_side_only(build: Build) -> None:
    documents = [
        Document(id="0" * 16, text="aaaa", split="train"),
        Document(id="1" * 16, text="aabb", split="held_out"),
    ]
    store = build(documents)
    assert store.report().unknown == 2
    assert store.units["unknown"].tolist() == [0, 2]


# -- splits -------------------------------------------------------------------------------------


def sides(store: TokenStore) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for unit in store.units:
        split = SPLITS[int(unit["split"])]
        found.setdefault(store.document_ids[int(unit["document"])], set()).add(split)
    return found


def test_adding_a_document_moves_no_other(build: Build) -> None:
    documents = make_documents(401)
    before, after = sides(build(documents[:400], "a")), sides(build(documents, "b"))
    assert {identity: after[identity] for identity in before} == before


@pytest.mark.parametrize("number", [2, 3, 5, 10, 25])
def test_small_collection_has_text_on_both_sides(build: Build, number: int) -> None:
    tokens = build(make_documents(number)).report().tokens
    assert tokens["train"] > 0
    assert tokens["held_out"] > 0


def test_dropped_document_is_not_all_that_is_held_out(build: Build) -> None:
    blank = [Document(id=f"f{n:015x}", text="\x07" * 3000) for n in range(10)]
    for seed in range(10):
        tokens = build([*make_documents(2), *blank], f"s{seed}", split_seed=seed).report().tokens
        assert tokens["held_out"] > 0


def test_one_long_document_is_held_out_in_blocks(build: Build) -> None:
    text = "".join(f"Line {n} of the book.\n" for n in range(8000))
    store = build([Document(id="0" * 16, text=text)])
    assert sides(store) == {"0" * 16: {"train", "held_out"}}
    held_out = store.units_of("held_out")
    assert 0.03 < held_out["characters"].sum() / len(text) < 0.2


def test_document_in_blocks_begins_once_and_ends_once(build: Build) -> None:
    text = "".join(f"Line {n} of the book.\n" for n in range(800))
    store = build([Document(id="0" * 16, text=text, label="book")])
    assert len(store.units) > 2
    assert (store.tokens == store.tokenizer.end).sum() == 1
    assert (store.tokens == store.tokenizer.labels["book"]).sum() == 1
    assert store.tokenizer.decode(store.tokens) == text


def test_held_out_files_take_the_place_of_a_share(build: Build) -> None:
    documents = make_documents(400)
    extra = Document(id="f" * 16, text="Held out.", split="held_out")
    held_out = {identity for identity, found in sides(build([*documents, extra])).items()
                if "held_out" in found}  # fmt: skip
    assert held_out == {"f" * 16}


def test_nothing_held_out_where_that_is_asked(build: Build) -> None:
    assert build(make_documents(), held_out_share=0).report().tokens["held_out"] == 0


@pytest.mark.parametrize(
    "documents",
    [
        [],
        [Document(id="0" * 16, text="")],
        [Document(id="0" * 16, text="\x07 \n")],
        [Document(id="0" * 16, text="text", split="held_out")],
    ],
    ids=["none", "empty", "blank", "all held out"],
)
def test_nothing_to_learn_from_is_refused(build: Build, documents: list[Document]) -> None:
    with pytest.raises(InputError) as caught:
        build(documents)
    assert caught.value.code == "nothing_to_prepare"


# -- on disk ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_two_builds_are_byte_identical(build: Build, kind: str) -> None:
    one = build(make_documents(), "one", tokenizer=kind).folder
    other = build(make_documents(), "other", tokenizer=kind).folder
    names = sorted(file.name for file in one.iterdir())
    assert names == sorted(file.name for file in other.iterdir())
    assert [
        name for name in names if (one / name).read_bytes() != (other / name).read_bytes()
    ] == []


FILES = ["tokens.bin", "offsets.bin", "units.bin", "documents.txt", "store.json", "tokenizer.json"]


@pytest.mark.parametrize("name", FILES)
def test_flipped_bit_in_a_store_is_detected(build: Build, name: str) -> None:
    file = build(make_documents()).folder / name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(CorruptArtefactError, match=name.replace(".", r"\.")):
        verify_folder(file.parent)


@pytest.mark.parametrize("name", FILES[:3])
def test_truncated_store_is_refused_though_nobody_verified_it(build: Build, name: str) -> None:
    file = build(make_documents()).folder / name
    os.truncate(file, file.stat().st_size - 1)
    with pytest.raises(CorruptArtefactError):
        TokenStore(file.parent)


# -- the tokenizer that suits -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind"),
    [("the cat sat ", "char"), ("他们昨天去了", "char"), ("他们昨天去了 the cat sat ", "byte")],
    ids=["English", "Chinese", "mixed"],
)
def test_tokenizer_suits_the_script_and_says_so(as_parts: AsParts, text: str, kind: str) -> None:
    notes: list[tuple[str, object]] = []
    config = settle_config(
        survey_parts(as_parts([Document(id="0" * 16, text=text * 20)])),
        PrepareConfig(),
        note=lambda code, values: notes.append((code, values["kind"])),
    )
    assert config.tokenizer == kind
    assert notes == [("auto_tokenizer", kind)]


@pytest.mark.parametrize(("text", "kind"), [("the cat sat ", "bpe"), ("他们昨天去了", "char")])
def test_large_text_gets_bpe_unless_it_is_chinese(
    monkeypatch: pytest.MonkeyPatch, as_parts: AsParts, text: str, kind: str
) -> None:
    monkeypatch.setattr(settling, "_LARGE_CHARACTERS", 1000)
    survey = survey_parts(as_parts([Document(id="0" * 16, text=text * 200)]))
    config = settle_config(survey, PrepareConfig())
    assert config.tokenizer == kind


def test_without_the_extra_characters_are_taken(
    monkeypatch: pytest.MonkeyPatch, as_parts: AsParts
) -> None:
    monkeypatch.setattr(settling, "is_installed", lambda package: False)
    assert (
        settle_config(survey_parts(as_parts(make_documents())), PrepareConfig()).tokenizer == "char"
    )


def test_named_tokenizer_is_kept(as_parts: AsParts) -> None:
    config = PrepareConfig(tokenizer="word", vocabulary_size=99)
    assert settle_config(survey_parts(as_parts(make_documents())), config) == config.over(DEFAULTS)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"tokenizer": "words"}, "choice_unknown"),
        ({"vocabulary_size": 1}, "value_too_small"),
        ({"vocabulary_size": -5}, "value_too_small"),
        ({"held_out_share": 1.0}, "share_outside"),
        ({"held_out_share": -0.1}, "share_outside"),
        ({"held_out_share": float("nan")}, "share_outside"),
    ],
)
def test_impossible_value_is_a_wrong_option(options: dict[str, object], code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PrepareConfig(**options).check()  # type: ignore[arg-type]
    assert caught.value.code == code


def test_config_and_report_can_be_written_as_json(build: Build) -> None:
    report = build(make_documents()).report()
    assert PrepareReport(**asdict(report)) == report
    assert tokenizer_name("char", None) == report.tokenizer


@pytest.mark.parametrize(
    ("characters", "size"), [(1000, 512), (1_100_000, 1024), (20_000_000, 4096), (10**12, 32_768)]
)
def test_size_of_bpe_follows_the_text(characters: int, size: int) -> None:
    config = settle_config(Survey(characters=characters), PrepareConfig(tokenizer="bpe"))
    assert config.vocabulary_size == size
