"""Personal data is found by what proves it, wherever it stands, and its text goes nowhere."""

from __future__ import annotations

import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memlm.errors import MissingExtraError
from memlm.messages import LANGUAGES, Language, catalogue
from memlm.prepare.check_digits import is_chinese_id, is_iban, passes_luhn
from memlm.prepare.personal import find_personal_data, halfwidth
from memlm.prepare.phones import numbering_plans
from memlm.records import PERSONAL_KINDS

# Numbers that their issuers publish as examples, or that nobody can have.
CARD = "4111111111111111"
IBAN = "GB82WEST12345698765432"
CHINESE_ID = "11010519491231002X"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow+/=\n-----END RSA PRIVATE KEY-----"
TOKEN = "ghp_" + "a1B2c3" * 6
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJlLW9mLWl0"
EXAMPLES = {
    "email": "ada.lovelace@example.org",
    "phone": "13812345678",
    "ip_address": "203.0.113.77",
    "payment_card": CARD,
    "iban": IBAN,
    "chinese_id": CHINESE_ID,
    "us_ssn": "123-45-6789",
    "private_key": PEM,
    "access_token": TOKEN,
}


def found_in(text: str) -> list[tuple[str, str]]:
    return [(one.kind, text[one.start : one.end]) for one in find_personal_data(text)]


def test_every_kind_has_an_example() -> None:
    assert EXAMPLES.keys() == set(PERSONAL_KINDS)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", PERSONAL_KINDS)
def test_every_kind_has_a_name(kind: str, language: Language) -> None:
    assert catalogue(language)[f"personal.{kind}"]


@pytest.mark.parametrize("kind", PERSONAL_KINDS)
@pytest.mark.parametrize(
    "around",
    ["{}", "It is {}.", "({})", "是{}，", "“{}”", "：{}。", "a\n{}\nb", "<td>{}</td>", "「{}」"],
)
def test_kind_is_found_between(kind: str, around: str) -> None:
    assert found_in(around.format(EXAMPLES[kind])) == [(kind, EXAMPLES[kind])]


@pytest.mark.parametrize("kind", ["phone", "payment_card", "chinese_id", "email", "ip_address"])
def test_full_width_writing_counts(kind: str) -> None:
    wide = "".join(chr(ord(sign) + 0xFEE0) for sign in EXAMPLES[kind])
    assert found_in(f"电话：{wide}，谢谢") == [(kind, wide)]


@pytest.mark.parametrize("text", ["", "全角１３８ａ＠．", "plain", "，。：（）"])
def test_full_width_text_keeps_its_length(text: str) -> None:
    assert len(halfwidth(text)) == len(text)


# -- check digits -------------------------------------------------------------------------------


def test_card_with_one_digit_changed_is_none() -> None:
    changed = [
        CARD[:place] + str((int(CARD[place]) + 1) % 10) + CARD[place + 1 :] for place in range(16)
    ]
    assert not any(passes_luhn(number) for number in changed)
    assert passes_luhn(CARD)


@pytest.mark.parametrize("after", ["", " 123-45-6789", " 12 of them", " 2027"])
def test_spaced_card_ends_where_its_digits_end(after: str) -> None:
    assert found_in(f"4111 1111 1111 1111{after}")[0] == ("payment_card", "4111 1111 1111 1111")


@pytest.mark.parametrize("place", range(len(IBAN)))
def test_account_number_with_one_sign_changed_is_none(place: int) -> None:
    other = "A" if IBAN[place].isalpha() and IBAN[place] != "A" else "7"
    other = "8" if IBAN[place] == "7" else other
    assert is_iban(IBAN)
    assert not is_iban(IBAN[:place] + other + IBAN[place + 1 :])


@pytest.mark.parametrize("place", range(17))
def test_identity_number_with_one_digit_changed_is_none(place: int) -> None:
    changed = str((int(CHINESE_ID[place]) + 1) % 10)
    assert is_chinese_id(CHINESE_ID)
    assert not is_chinese_id(CHINESE_ID[:place] + changed + CHINESE_ID[place + 1 :])


@pytest.mark.parametrize(
    "number",
    ["110105194913310020", "110105194902300020", "990105194912310020", "110105189912310020"],
    ids=["no such month", "no such day", "no such province", "born too early"],
)
def test_identity_number_needs_a_province_and_a_birth_date(number: str) -> None:
    assert not any(is_chinese_id(number[:17] + check) for check in "0123456789X")


@pytest.mark.parametrize(
    "number", ["000-12-3456", "666-12-3456", "912-12-3456", "123-00-4567", "123-45-0000"]
)
def test_security_number_that_was_never_given_out_is_none(number: str) -> None:
    assert found_in(f"SSN: {number}") == []


@pytest.mark.parametrize("kind", ["phone", "payment_card", "chinese_id", "us_ssn", "email"])
@pytest.mark.parametrize("sign", [",", "/", "、", ";", "|", "\t", ", "])
def test_neighbours_in_a_list_are_both_found(kind: str, sign: str) -> None:
    example = EXAMPLES[kind]
    assert found_in(f"1:{example}{sign}{example}") == [(kind, example)] * 2


@pytest.mark.parametrize("text", ["SSN 123456789", "social security number: 123 45 6789"])
def test_security_number_without_dashes_needs_its_word(text: str) -> None:
    assert [kind for kind, _ in found_in(text)] == ["us_ssn"]


# -- boundaries ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["phone", "payment_card", "chinese_id", "us_ssn", "ip_address"])
@pytest.mark.parametrize("around", ["{}7", "7{}", "x{}", "{}a", "0.{}", "{}.5"])
def test_number_inside_a_longer_one_is_none(kind: str, around: str) -> None:
    assert (kind, EXAMPLES[kind]) not in found_in(around.format(EXAMPLES[kind]))


@pytest.mark.parametrize(
    "text",
    [
        "born 1914-1918, 2020-06-20 14:11:22, 12.05.1999, 1 000 000 000 people",
        "version 203.0.113.77 of it, section 1.2.3.4, v10.20.30.40",
        "at 127.0.0.1 and 255.255.255.0, ::1, std::cout, 12:30:45",
        "icon@2x.png git@github.com:who/what.git @somebody a@b",
        "ISBN 9780306406157, order 20210304123456, π = 3.14159265358979",
        "the password: forgotten. password = os.environ['PASSWORD']; password: null",
        "api_key = '${API_KEY}', token: word, secret=<your secret>, pass: true",
        "第12345678号文件，2021年3月4日，共1234567890元",
        "if password == 'secret1' then",
    ],
)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    assert found_in(text) == []


# -- phones -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "phone",
    [
        "+44 20 7946 0958",
        "+46 (0)8 928 571 38",
        "001-518-640-0854",
        "(212) 555-0123",
        "212-555-0123x45",
        "0049 30 123456",
        "+86 138-1234-5678",
        "138 1234 5678",
        "010-62781234",
        "（0571）87654321",
        "400-810-1234",
        "01.84.17.61.18",
        "020 7946 0958",
    ],
)
def test_phone_needs_no_word_beside_it(phone: str) -> None:
    assert found_in(f"so {phone} it is") == [("phone", phone)]


@pytest.mark.parametrize("text", ["Phone: {}", "call me at {}", "{} (fax)", "电话：{}", "座机{}。"])
def test_local_number_needs_a_word_beside_it(text: str) -> None:
    assert found_in(text.format("358 0594")) == [("phone", "358 0594")]
    assert found_in("and 358 0594 more") == []


@pytest.mark.parametrize("gap", range(1, 24))
def test_number_is_whole_however_near_another_stands(gap: int) -> None:
    text = f"{CHINESE_ID}{'中' * gap}+8613812345678"
    assert found_in(text) == [("chinese_id", CHINESE_ID), ("phone", "+8613812345678")]


def test_two_numbers_side_by_side_are_two() -> None:
    assert [text for _, text in found_in("13812345678 139-1234-5678")] == [
        "13812345678",
        "139-1234-5678",
    ]


# -- keys and passwords -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("password=hunter22", "hunter22"),
        ('{"password": "swordfish"}', "swordfish"),
        ("DB_PASS=irc_pass\n", "irc_pass"),
        ("  api_key: 3b6311afca5bd8aa", "3b6311afca5bd8aa"),
        ("$config['secret_key'] = 'a1b2c3d4';", "a1b2c3d4"),
        ("<Pass>ExamplePas123</Pass>", "ExamplePas123"),
        ('<Pass encoding="base64">RXhhbXBsZQ==</Pass>', "RXhhbXBsZQ=="),
        ("localhost:5432:main:me:s3cret", "s3cret"),
        ("machine a login b password pass123", "pass123"),
        ("https://user:s3cret!@example.org/", "s3cret!"),
        ("密码：abc12345，请勿外传", "abc12345"),
        ("密码是abc12345。", "abc12345"),
        ("the password is hunter22", "hunter22"),
        (f"Bearer {JWT}", JWT),
        ("key AKIA" + "Q" * 16, "AKIA" + "Q" * 16),
        ("x $2y$12$" + "ab./" * 13 + "c", "$2y$12$" + "ab./" * 13 + "c"),
    ],
)
def test_secret_is_found_without_its_name(text: str, secret: str) -> None:
    assert found_in(text) == [("access_token", secret)]


@pytest.mark.parametrize("kind", ["OPENSSH PRIVATE KEY", "PGP PRIVATE KEY BLOCK", "PRIVATE KEY"])
def test_key_is_found_from_its_first_mark_to_its_last(kind: str) -> None:
    block = f"-----BEGIN {kind}-----\nVersion: 1\n\nabc+/=\n-----END {kind}-----"
    assert found_in(f"a\n{block}\nb") == [("private_key", block)]


def test_keys_of_putty_are_found() -> None:
    block = "PuTTY-User-Key-File-2: ssh-rsa\nPrivate-Lines: 1\nAAAA\nPrivate-MAC: a1b2"
    assert found_in(f"{block}\nmore\n{block}") == [("private_key", block)] * 2


def test_key_cut_short_is_found_to_where_it_ends() -> None:
    assert found_in("-----BEGIN PRIVATE KEY-----\nabcd")[0][1].endswith("abcd")


def test_public_key_is_no_secret() -> None:
    assert found_in("-----BEGIN PUBLIC KEY-----\nabcd\n-----END PUBLIC KEY-----") == []


@pytest.mark.parametrize("text", ["anything", "13812345678"])
def test_missing_numbering_plans_are_named_with_their_command(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setitem(sys.modules, "phonenumbers", None)
    numbering_plans.cache_clear()
    with pytest.raises(MissingExtraError) as caught:
        find_personal_data(text)
    assert "memlm[words]" in str(caught.value)
    assert text not in str(caught.value)


# -- altogether ---------------------------------------------------------------------------------

pieces = st.lists(
    st.sampled_from(
        [*EXAMPLES.values(), " ", "，", "电话", "x", "1", ".", "@", ":", "-", "\n", "a"]
    )
).map("".join)


@given(pieces)
def test_places_are_in_order_and_never_overlap(text: str) -> None:
    found = find_personal_data(text)
    ends = [0, *(one.end for one in found)]
    assert all(
        one.start >= end and one.end > one.start for one, end in zip(found, ends, strict=False)
    )
    assert ends[-1] <= len(text)


@given(pieces)
def test_record_of_a_place_never_holds_the_secret(text: str) -> None:
    for place in find_personal_data(text):
        secret = text[place.start : place.end]
        assert secret not in repr(place).replace(str(place.start), "").replace(str(place.end), "")


@pytest.mark.parametrize(
    "unit",
    ["1", "1 ", "@", "a@", ":", "1:", "1.", "://a:", "password=", "-----BEGIN PRIVATE KEY-----"],
)
def test_long_nonsense_takes_no_long_time(unit: str) -> None:
    started = time.process_time()
    find_personal_data(unit * (100_000 // len(unit)))
    assert time.process_time() - started < 2.0
