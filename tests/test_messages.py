"""Every sentence in two languages."""

from __future__ import annotations

import string

import pytest

from memlm.messages import (
    LANGUAGES,
    Language,
    catalogue,
    current_language,
    find,
    in_language,
    language_of_locale,
    render,
)

VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")


@pytest.fixture
def no_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


def placeholders(template: str) -> dict[str, str]:
    return {
        name: spec or ""
        for _, name, spec, _ in string.Formatter().parse(template)
        if name is not None and "|" not in (spec or "")  # Chinese has no plural
    }


@pytest.mark.usefixtures("no_locale")
@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize(
    ("value", "language"),
    [("zh_CN.UTF-8", "zh"), ("zh_TW", "zh"), ("en_GB.UTF-8", "en"), ("C", "en"), ("de_DE", "en")],
)
def test_language_follows_the_locale(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, language: Language
) -> None:
    monkeypatch.setenv(variable, value)
    assert language_of_locale() == language


@pytest.mark.usefixtures("no_locale")
def test_first_variable_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert language_of_locale() == "en"


def test_chosen_language_holds_inside_its_block_only() -> None:
    before = current_language()
    with in_language("zh"):
        with in_language("en"):
            assert current_language() == "en"
        assert current_language() == "zh"
    assert current_language() == before


def test_sentence_is_filled_in() -> None:
    with in_language("en"):
        assert render("note.best_kept", step=12345) == (
            "The weights of step 12,345 were the best on held-out text and are kept"
        )


@pytest.mark.parametrize(("count", "said"), [(1, "1 document new"), (2, "2 documents new")])
def test_words_agree_with_their_number(count: int, said: str) -> None:
    values = dict.fromkeys(("changed", "removed", "unchanged", "rejected"), 0)
    numbers = {f"documents_{name}": value for name, value in values.items()}
    with in_language("en"):
        found = render("note.collected", documents_added=count, characters=9, **numbers)
    assert said in found


def test_unknown_sentence_is_not_found() -> None:
    assert find("error.there_is_none.message") is None
    with pytest.raises(KeyError):
        render("error.there_is_none.message")


def test_both_catalogues_have_the_same_sentences() -> None:
    # Chinese has the help of options too, whose English is the docstring of their fields.
    english, chinese = (
        {key for key in catalogue(language) if not key.startswith("option.")}
        for language in LANGUAGES
    )
    assert english ^ chinese == set()


@pytest.mark.parametrize("key", sorted(set(catalogue("en")) & set(catalogue("zh"))))
def test_both_sentences_have_the_same_places_to_fill(key: str) -> None:
    assert placeholders(catalogue("en")[key]) == placeholders(catalogue("zh")[key])


def test_arguments_are_explained_in_both_languages() -> None:
    english, chinese = (
        {key for key in catalogue(language) if key.startswith("option.")} for language in LANGUAGES
    )
    assert english <= chinese


@pytest.mark.parametrize("key", sorted(key for key in catalogue("zh") if key.startswith("error.")))
def test_chinese_error_is_chinese(key: str) -> None:
    text = catalogue("zh")[key]
    assert not text or "pip install" in text or any(character >= "\u4e00" for character in text)
