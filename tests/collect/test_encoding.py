"""The encoding of a file is found by evidence, never guessed silently."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from memlm.collect.encoding import find_encoding
from memlm.errors import ConfigError, InputError

ENGLISH = "It was a bright cold day in April, and the clocks were striking thirteen.\n"
CHINESE = "昔我往矣，杨柳依依。今我来思，雨雪霏霏。行道迟迟，载渴载饥。我心伤悲，莫知我哀。\n"
MODERN = "今天早上，我在火车站等了一个小时，可是他没有来。后来我才知道，他已经走了。\n"
FRENCH = "Où êtes-vous allés l'été dernier ? Nous étions à l'hôtel, près de la forêt.\n"
GERMAN = "Die Bäume grünen, und die Vögel üben für das große Fest über den Dächern.\n"
GREEK = (
    "Η γάτα κοιμάται στο παράθυρο και κοιτάζει τα πουλιά που πετούν πάνω από τη θάλασσα.\n"
    "Το βράδυ ο ψαράς γυρίζει στο σπίτι και η γάτα τον περιμένει στην πόρτα με χαρά.\n"
)
KOREAN = "오늘은 날씨가 좋아서 친구와 함께 공원에 갔다. 점심으로 비빔밥을 먹고 커피를 마셨다.\n"
RUSSIAN = "Все счастливые семьи похожи друг на друга, каждая несчастливая семья по-своему.\n"
BIG5 = "床前明月光，疑是地上霜。舉頭望明月，低頭思故鄉。這裡是臺灣，我們說國語。\n"


def write(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("text", [ENGLISH, CHINESE, MODERN, FRENCH, "a", "中文"])
@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
    ids=["UTF-8", "UTF-8 BOM", "UTF-16LE BOM", "UTF-16BE BOM", "UTF-32LE BOM", "UTF-32BE BOM"],
)
def test_marked_file_and_utf8_are_read(
    tmp_path: Path, text: str, mark: bytes, encoding: str
) -> None:
    data = mark + text.encode(encoding)
    assert data.decode(find_encoding(write(tmp_path, data)).name) == text


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "text",
    [ENGLISH, CHINESE, MODERN, FRENCH, ENGLISH + MODERN, "a word", "中文的书"],
    ids=["English", "classical", "modern", "French", "mixed", "short", "short Chinese"],
)
def test_unmarked_utf16_is_recognised(tmp_path: Path, text: str, encoding: str) -> None:
    assert find_encoding(write(tmp_path, text.encode(encoding))).name == encoding


@pytest.mark.parametrize(
    "text",
    [CHINESE, MODERN, ENGLISH + MODERN, "“你好”，他说。", "第１章 ＡＢＣ"],
    ids=["classical", "modern", "mixed", "quotes", "full width"],
)
def test_gb18030_is_recognised(tmp_path: Path, text: str) -> None:
    assert find_encoding(write(tmp_path, text.encode("gb18030"))).name == "gb18030"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8-r"),
        ("Zażółć gęślą jaźń, i wróć późną jesienią do żółtej łąki. " * 5, "cp1250"),
        ("Güneşli bir gün, çok güzel bir şehir; ışık güçlü. " * 9, "cp1254"),
        ("これは日本語の文章です。猫が好きです。\n", "euc-jp"),
        ("これは日本語の文章です。猫が好きです。\n", "shift-jis"),
        (KOREAN, "euc-kr"),
        (KOREAN * 50, "cp949"),
    ],
    ids=lambda value: value if value.isascii() else "text",
)
def test_other_encodings_are_refused_with_a_guess(tmp_path: Path, text: str, encoding: str) -> None:
    with pytest.raises(InputError) as caught:
        find_encoding(write(tmp_path, text.encode(encoding)))
    assert caught.value.code == "undecodable"
    guess = str(caught.value.values["guess"])
    assert guess in caught.value.hint
    assert codecs.lookup(guess)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [(RUSSIAN, "cp1251"), (GREEK, "cp1253")],
    ids=["Russian", "Greek"],
)
def test_letters_of_another_script_are_not_guessed_to_be_western(
    tmp_path: Path, text: str, encoding: str
) -> None:
    with pytest.raises(InputError) as caught:
        find_encoding(write(tmp_path, (text * 5).encode(encoding)))
    assert caught.value.values["guess"] == encoding


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (FRENCH * 3, "cp1252"),
        (GERMAN * 3, "cp1252"),
        ("Það er ekki allt gull sem glóir, sagði maðurinn; þögn og þoka lágu yfir ánni.", "cp1252"),
        ("“" + ENGLISH + "” – he said – “and so on” – " * 3, "cp1252"),
        (BIG5, "big5"),
        (BIG5 * 200, "big5"),
        (BIG5, "gb18030"),
        (ENGLISH + BIG5, "big5"),
        (BIG5 + "嘅喺咗", "big5hkscs"),
    ],
    ids=[
        "French",
        "German",
        "Icelandic",
        "quotes",
        "Big5",
        "much Big5",
        "traditional",
        "mixed",
        "Hong Kong",
    ],
)
def test_encoding_is_told_by_what_comes_out(tmp_path: Path, text: str, encoding: str) -> None:
    found = find_encoding(write(tmp_path, text.encode(encoding)))
    assert (found.name, found.is_doubtful) == (encoding, False)


def test_file_of_two_western_languages_is_doubtful(tmp_path: Path) -> None:
    found = find_encoding(write(tmp_path, ((FRENCH + GERMAN) * 9).encode("cp1252")))
    assert (found.name, found.is_doubtful) == ("cp1252", True)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("café", "latin-1"),
        ("Güneşli bir gün, çok güzel bir şehir; ağaçlar yeşil ve ışık güçlü.", "cp1254"),
        ("中文", "gb18030"),
    ],
    ids=["one letter", "few letters of no western language", "two hanzi"],
)
def test_what_is_only_just_the_best_is_doubtful(tmp_path: Path, text: str, encoding: str) -> None:
    assert find_encoding(write(tmp_path, text.encode(encoding))).is_doubtful


@pytest.mark.parametrize(
    ("head", "tail", "offset"),
    [
        (FRENCH.encode() * 4, FRENCH.encode("latin-1"), len(FRENCH.encode()) * 4 + 1),
        (FRENCH.encode("latin-1") * 4, FRENCH.encode(), len(FRENCH) * 4),
        (MODERN.encode("gb18030") * 9, CHINESE.encode(), len(MODERN) * 18 - 9),
    ],
    ids=["Latin-1 after UTF-8", "UTF-8 after Latin-1", "UTF-8 after GB 18030"],
)
def test_file_in_two_encodings_is_refused_with_the_byte(
    tmp_path: Path, head: bytes, tail: bytes, offset: int
) -> None:
    with pytest.raises(InputError) as caught:
        find_encoding(write(tmp_path, head + tail))
    assert (caught.value.code, caught.value.values["offset"]) == ("encodings_mixed", offset)


@pytest.mark.parametrize("cut", [1, 2])
def test_file_cut_within_a_character_is_read_to_there(tmp_path: Path, cut: int) -> None:
    data = MODERN.encode()[:-4][:-cut]
    found = find_encoding(write(tmp_path, data))
    assert (found.name, found.is_cut) == ("utf-8", True)


@pytest.mark.parametrize("data", [b"caf\xe9", "中文caf\xe9".encode("gb18030")], ids=["Latin", "GB"])
def test_last_letter_of_another_encoding_is_not_cut(tmp_path: Path, data: bytes) -> None:
    assert not find_encoding(write(tmp_path, data)).is_cut


def test_text_that_a_wrong_guess_has_spoilt_is_refused(tmp_path: Path) -> None:
    data = MODERN.encode("gb18030").decode("utf-8", "replace").encode()
    with pytest.raises(InputError) as caught:
        find_encoding(write(tmp_path, data))
    assert caught.value.code == "letters_lost"
    assert find_encoding(write(tmp_path, data), wish="utf-8").name == "utf-8"


def test_rare_replacement_character_is_taken(tmp_path: Path) -> None:
    assert find_encoding(write(tmp_path, (ENGLISH * 9 + "\ufffd").encode())).name == "utf-8"


def test_first_wrong_byte_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        find_encoding(write(tmp_path, b"abc \xe9\xf2\xe9\xf3 au lait"))
    assert caught.value.values["offset"] == 4


def test_late_accent_does_not_make_a_long_file_chinese(tmp_path: Path) -> None:
    # é and the n after it are one (rare) hanzi in GB 18030.
    data = (ENGLISH * 6_000).encode() + "Général".encode("latin-1")
    assert find_encoding(write(tmp_path, data)).name == "cp1252"


def test_late_hanzi_are_found(tmp_path: Path) -> None:
    data = (ENGLISH * 6_000).encode() + MODERN.encode("gb18030")
    assert find_encoding(write(tmp_path, data)).name == "gb18030"


def test_file_that_changes_its_encoding_is_refused(tmp_path: Path) -> None:
    data = CHINESE.encode() * 10 + MODERN.encode("gb18030")
    with pytest.raises(InputError) as caught:
        find_encoding(write(tmp_path, data))
    assert caught.value.code == "encodings_mixed"


def test_character_cut_by_a_block_is_whole(tmp_path: Path) -> None:
    data = b"a" * ((1 << 20) - 1) + "词".encode() * 3
    assert find_encoding(write(tmp_path, data)).name == "utf-8"


def test_wrong_byte_behind_a_cut_character_has_its_own_place(tmp_path: Path) -> None:
    data = b"a" * ((1 << 20) - 1) + "词".encode() + b"\xff"
    with pytest.raises(InputError) as caught:
        find_encoding(write(tmp_path, data))
    assert caught.value.values["offset"] == len(data) - 1


@pytest.mark.parametrize(
    "data",
    [bytes(range(256)) * 4, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(200), b"\0\1\2\3" * 50],
    ids=["all bytes", "PNG", "controls"],
)
def test_bytes_that_are_no_text_are_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InputError) as caught:
        find_encoding(write(tmp_path, data))
    assert caught.value.code == "not_text"


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "CP1252", "iso8859-15"])
def test_named_encoding_is_taken(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path, FRENCH.encode(encoding))
    assert path.read_text(find_encoding(path, wish=encoding).name) == FRENCH


def test_utf16_without_its_mark_is_refused_where_it_was_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        find_encoding(write(tmp_path, b"abcd\n"), wish="utf-16")
    assert caught.value.code == "not_in_encoding"


def test_named_encoding_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        find_encoding(write(tmp_path, b"abc\xff"), wish="utf-8")
    assert caught.value.code == "not_in_encoding"
    assert caught.value.values["offset"] == 3


@pytest.mark.parametrize(
    "wish",
    ["klingon", "", "rot13", "hex", "undefined", "punycode", "idna", "unicode_escape", "a\0"],
)
def test_encoding_that_does_not_exist_is_a_wrong_option(tmp_path: Path, wish: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_encoding(write(tmp_path, b"abc"), wish=wish)
    assert caught.value.code == "encoding_unknown"


@pytest.mark.parametrize("name", ["undefined", "idna", "punycode", "base64", "klingon"])
def test_encoding_that_no_file_is_in_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.txt").write_bytes(b"caf\xe9")
    with pytest.raises(ConfigError) as caught:
        find_encoding(tmp_path / "a.txt", wish=name)
    assert caught.value.code == "encoding_unknown"
