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
    assert data.decode(find_encoding(write(tmp_path, data))) == text


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "text",
    [ENGLISH, CHINESE, MODERN, FRENCH, ENGLISH + MODERN, "a word", "中文的书"],
    ids=["English", "classical", "modern", "French", "mixed", "short", "short Chinese"],
)
def test_unmarked_utf16_is_recognised(tmp_path: Path, text: str, encoding: str) -> None:
    assert find_encoding(write(tmp_path, text.encode(encoding))) == encoding


@pytest.mark.parametrize(
    "text",
    [CHINESE, MODERN, ENGLISH + MODERN, "“你好”，他说。", "第１章 ＡＢＣ"],
    ids=["classical", "modern", "mixed", "quotes", "full width"],
)
def test_gb18030_is_recognised(tmp_path: Path, text: str) -> None:
    assert find_encoding(write(tmp_path, text.encode("gb18030"))) == "gb18030"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (FRENCH, "latin-1"),
        ("café", "latin-1"),
        ("déjà vu", "latin-1"),
        ("Général, là-bas: été, où, naïveté", "cp1252"),
        (GERMAN, "cp1252"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8-r"),
        (BIG5, "big5"),
        ("これは日本語の文章です。猫が好きです。\n", "euc-jp"),
        ("これは日本語の文章です。猫が好きです。\n", "shift-jis"),
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


def test_first_wrong_byte_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        find_encoding(write(tmp_path, b"abc caf\xe9 au lait"))
    assert caught.value.values["offset"] == 7


def test_late_accent_does_not_make_a_long_file_chinese(tmp_path: Path) -> None:
    # é and the n after it are one (rare) hanzi in GB 18030.
    data = (ENGLISH * 6_000).encode() + "Général".encode("latin-1")
    with pytest.raises(InputError) as caught:
        find_encoding(write(tmp_path, data))
    assert caught.value.values["offset"] == len(data) - 6


def test_late_hanzi_are_found(tmp_path: Path) -> None:
    data = (ENGLISH * 6_000).encode() + MODERN.encode("gb18030")
    assert find_encoding(write(tmp_path, data)) == "gb18030"


def test_file_that_changes_its_encoding_is_refused(tmp_path: Path) -> None:
    data = CHINESE.encode() * 10 + MODERN.encode("gb18030")
    with pytest.raises(InputError) as caught:
        find_encoding(write(tmp_path, data))
    assert caught.value.code == "undecodable"


def test_character_cut_by_a_block_is_whole(tmp_path: Path) -> None:
    data = b"a" * ((1 << 20) - 1) + "词".encode() * 3
    assert find_encoding(write(tmp_path, data)) == "utf-8"


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
    assert path.read_text(find_encoding(path, wish=encoding)) == FRENCH


def test_named_encoding_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        find_encoding(write(tmp_path, b"abc\xff"), wish="utf-8")
    assert caught.value.code == "not_in_encoding"
    assert caught.value.values["offset"] == 3


@pytest.mark.parametrize("wish", ["klingon", "", "rot13", "hex"])
def test_encoding_that_does_not_exist_is_a_wrong_option(tmp_path: Path, wish: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_encoding(write(tmp_path, b"abc"), wish=wish)
    assert caught.value.code == "encoding_unknown"
