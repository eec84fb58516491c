"""Masking takes every secret out, keeps apart who is who, and knows the way back."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memlm.prepare.clean_config import CleanConfig
from memlm.prepare.draft import Draft, with_edits
from memlm.prepare.personal import find_personal_data
from memlm.prepare.redact import PLACEHOLDER_WORDS, RedactStep, redact_draft
from memlm.prepare.text_steps import text_steps
from memlm.records import PERSONAL_KINDS, Document, Dropped

SECRETS = [
    "ada@example.org",
    "bob@example.org",
    "13812345678",
    "+86 138-1234-5678",
    "4111111111111111",
    "4111 1111 1111 1111",
    "GB82WEST12345698765432",
    "11010519491231002X",
    "123-45-6789",
    "203.0.113.77",
    "password=hunter22",
    "ghp_" + "a1B2c3" * 6,
]


def draft_of(text: str) -> Draft:
    return Draft(document=Document(id="d", text=text, source="notes.txt"), text=text)


def masked(text: str) -> str:
    return RedactStep().run(draft_of(text)).text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ada@example.org, bob@example.org", "[EMAIL_1], [EMAIL_2]"),
        ("Ada@Example.org = ada@example.org", "[EMAIL_1] = [EMAIL_1]"),
        ("13812345678、138-1234-5678、+86 13812345678", "[PHONE_1]、[PHONE_1]、[PHONE_1]"),
        ("１３８１２３４５６７８或13812345678", "[PHONE_1]或[PHONE_1]"),
        ("212-555-0123x1 or 212-555-0123x2", "[PHONE_1] or [PHONE_2]"),
        ("4111 1111 1111 1111 4111111111111111", "[CARD_1] [CARD_1]"),
        ("身份证11010519491231002x邮箱a1@qq.com", "身份证[CHINESE_ID_1]邮箱[EMAIL_1]"),
        ("password=hunter22", "password=[SECRET_1]"),
        ("nothing", "nothing"),
    ],
)
def test_secret_becomes_its_placeholder(text: str, expected: str) -> None:
    assert masked(text) == expected


def test_numbers_begin_anew_in_each_document() -> None:
    step = RedactStep()
    texts = [step.run(draft_of(f"{name}@example.org")).text for name in ("ada", "bob")]
    assert texts == ["[EMAIL_1]", "[EMAIL_1]"]


def test_placeholder_that_the_text_holds_already_is_not_given_out() -> None:
    assert masked("[EMAIL_1] wrote to ada@example.org") == "[EMAIL_1] wrote to [EMAIL_2]"


def test_every_kind_has_a_placeholder_of_its_own() -> None:
    assert len({PLACEHOLDER_WORDS[kind] for kind in PERSONAL_KINDS}) == len(PERSONAL_KINDS)


def test_draft_without_secrets_comes_back_as_it_was() -> None:
    draft = draft_of("nothing here")
    assert RedactStep().run(draft) is draft


def test_every_character_knows_where_it_was() -> None:
    text = "To ada@example.org: ok"
    draft = RedactStep().run(draft_of(text))
    assert draft.text == "To [EMAIL_1]: ok"
    assert draft.origin is not None
    assert draft.origin.tolist() == [*range(3), *range(3, 12), *range(18, 22)]


def test_places_are_those_of_the_collected_text() -> None:
    text = "\x07\x07To ada@example.org"
    draft = with_edits(draft_of(text), [(0, 2, "")])
    _, (place,) = redact_draft(draft)
    assert (text[place.start : place.end], place.document_id, place.source, place.kind) == (
        "ada@example.org",
        "d",
        "notes.txt",
        "email",
    )


@st.composite
def texts(draw: st.DrawFn) -> str:
    between = st.text(st.sampled_from("ab 词，。:-1\n電[_]@."), max_size=6)
    parts: Iterator[str] = iter(draw(st.lists(st.sampled_from(SECRETS), max_size=5)))
    return draw(between) + "".join(part + draw(between) for part in parts)


@st.composite
def sentences(draw: st.DrawFn) -> str:
    between = st.sampled_from(
        [" ", "，", "\n", " 電話 ", "（", "; ", " [x] ", ",", "和", "：", "/"]
    )
    parts = draw(st.lists(st.tuples(between, st.sampled_from(SECRETS)), max_size=6))
    return "".join(gap + secret for gap, secret in parts) + draw(between)


@given(sentences())
def test_no_found_secret_stays_in_the_text(text: str) -> None:
    found = find_personal_data(text)
    after = masked(text)
    assert not [one for one in found if text[one.start : one.end] in after]


@given(sentences())
def test_every_secret_that_stands_for_itself_is_found(text: str) -> None:
    after = masked(text)
    assert not [one for one in SECRETS if one in after]


@given(texts())
def test_nothing_is_found_in_a_masked_text(text: str) -> None:
    assert find_personal_data(masked(text)) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Phone: 358 0594. I said 3580594!", "Phone: [PHONE_1]. I said [PHONE_1]!"),
        ("password=hunter22\nuse hunter22", "password=[SECRET_1]\nuse [SECRET_1]"),
        ('password="open"\nopen the door', 'password="[SECRET_1]"\nopen the door'),
    ],
    ids=["number", "password", "word"],
)
def test_what_was_given_away_once_is_masked_everywhere(text: str, expected: str) -> None:
    assert masked(text) == expected


@given(texts())
def test_masking_twice_is_masking_once(text: str) -> None:
    once = masked(text)
    assert masked(once) == once


@given(texts())
def test_origins_never_go_back(text: str) -> None:
    draft = RedactStep().run(draft_of(text))
    if draft.origin is not None:
        assert len(draft.origin) == len(draft.text)
        assert (np.diff(draft.origin) >= 0).all()


@given(texts())
def test_what_prints_itself_shows_no_secret(text: str) -> None:
    _, places = redact_draft(draft_of(text))
    shown = repr(places)
    assert not [one for one in SECRETS if one in shown]


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("password = cafÃ©Ã© end", "cafÃ©Ã©"),
        ("password = caf&eacute;8&amp;&eacute; end", "caf&eacute;8&amp;&eacute;"),
        ("password = cafÃ©8Ã©", "cafÃ©8Ã©"),
        ("password = cafe8xyz\x07\x07 end", "cafe8xyz"),
    ],
    ids=["mojibake", "entities", "at the end", "control characters"],
)
def test_place_of_a_repaired_secret_holds_all_of_it(text: str, secret: str) -> None:
    draft: Draft | Dropped = Draft(document=Document(id="0", text=text), text=text)
    for step in text_steps(CleanConfig(redact=True, quality="off")):
        assert isinstance(draft, Draft)
        draft = step.run(draft)
    assert isinstance(draft, Draft)
    (place,) = draft.masked
    assert text[place.start : place.end] == secret
