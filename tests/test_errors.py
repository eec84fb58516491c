"""One family of exceptions, whose sentences come from the catalogues."""

from __future__ import annotations

import pytest

from memlm import errors
from memlm.errors import InputError, MemlmError, MissingExtraError, NotFoundError
from memlm.messages import in_language


def test_error_says_what_is_wrong_and_what_to_do() -> None:
    with in_language("en"):
        text = str(NotFoundError("source_missing", path="notes.txt"))
    assert text == "notes.txt does not exist. Check the spelling."


def test_error_speaks_the_language_in_force_when_it_is_read() -> None:
    error = NotFoundError("source_missing", path="notes.txt")
    with in_language("zh"):
        assert error.message == "notes.txt 不存在。"


def test_error_without_a_hint_has_no_space_at_its_end() -> None:
    with in_language("en"):
        assert str(InputError("file_empty", path="a.txt")) == "a.txt has no text in it."


def test_values_with_braces_are_left_alone() -> None:
    assert "{path}" in str(NotFoundError("source_missing", path="{path}"))


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("MemlmError", 1),
        ("InputError", 2),
        ("ConfigError", 2),
        ("NotFoundError", 2),
        ("CorruptArtefactError", 3),
        ("ResourceError", 4),
        ("MissingExtraError", 4),
        ("DivergedError", 5),
    ],
)
def test_exit_code_of(name: str, code: int) -> None:
    error = getattr(errors, name)
    assert issubclass(error, MemlmError)
    assert error.exit_code == code


def test_missing_package_comes_with_the_command_that_installs_it() -> None:
    error = MissingExtraError("extra_missing", package="torch", extra="train")
    assert "pip install 'memlm[train]'" in error.hint
