"""Characters by script."""

import pytest

from memlm.prepare.character_counts import CharacterCounts


def counted(*texts):
    counts = CharacterCounts()
    for text in texts:
        counts.add(text)
    return counts


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("aÉｚ", "latin"),
        ("汉字𠀀", "hanzi"),
        ("ひカ", "kana"),
        ("한", "hangul"),
        ("Я", "cyrillic"),
        ("ω", "greek"),
        ("ع", "arabic"),
        ("1２½", "digits"),
        (".，$—", "signs"),
        (" \n\t\u3000", "spaces"),
        ("\x07\u200b", "controls"),
        ("א", "others"),
    ],
)
def test_character_belongs_to_its_script(text, script):
    assert counted(text).by_script() == {script: len(text)}


def test_size_is_that_of_utf_8():
    text = "a é 汉 𠀀\n" * 7
    assert counted(text, text).size_bytes == 2 * len(text.encode())


def test_different_characters_are_counted_over_all_texts():
    assert counted("abc", "bcd").distinct == 4


def test_commonest_script_comes_first():
    assert list(counted("ab c 汉字汉字").by_script()) == ["hanzi", "latin", "spaces"]


def test_long_text_is_counted_in_parts(monkeypatch):
    monkeypatch.setattr("memlm.prepare.character_counts._AT_ONCE", 10)
    assert counted("ab" * 33, "c").by_script() == {"latin": 67}
