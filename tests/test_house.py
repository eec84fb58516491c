"""The rules of the house that no other tool checks: names, light imports, sentences for all."""

from __future__ import annotations

import ast
import inspect
import re
import string
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path

import pytest

import memlm
from memlm import errors
from memlm.cli import app, options
from memlm.messages import LANGUAGES, Language, catalogue

SOURCE = Path(memlm.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "base"}
HEAVY = ("torch", "transformers", "tokenizers", "rjieba", "numba", "HanTa", "jinja2", "matplotlib")
ERROR_CLASSES = {
    name
    for name, found in vars(errors).items()
    if isinstance(found, type) and issubclass(found, errors.MemlmError)
}


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else ""
            yield function.id if isinstance(function, ast.Name) else name, node


def first_word(call: ast.Call) -> str | None:
    """The constant that a call begins with, or passes as `code`."""
    given = [word.value for word in call.keywords if word.arg == "code"] or call.args[:1]
    if given and isinstance(given[0], ast.Constant) and isinstance(given[0].value, str):
        return given[0].value
    return None


def uses_of_sentences() -> Iterator[tuple[str, str, frozenset[str] | None]]:
    """Every place of the source that names a sentence: (place, key, names that it fills in).

    The names are None where they are not written out.
    """
    for path in FILES:
        for name, call in calls(ast.parse(path.read_text("utf-8"))):
            word = first_word(call)
            if name == "_left_alone" and isinstance(call.args[-1], ast.Constant):
                word = call.args[-1].value
            prefix = {"note": "note.", "say": "", "render": "", "SourceNote": "note."}.get(name)
            if name in ERROR_CLASSES or name in ("SourceProblem", "_left_alone", "_say"):
                prefix = "error."
            if word is None or prefix is None:
                continue
            place = f"{path.relative_to(SOURCE)}:{call.lineno}"
            given = frozenset(keyword.arg or "**" for keyword in call.keywords)
            is_direct = (name in ERROR_CLASSES or name == "note") and len(call.args) == 1
            yield place, prefix + word, given if is_direct and "**" not in given else None


USES = [pytest.param(*use, id=f"{use[0]} {use[1]}") for use in uses_of_sentences()]


def keys_of(key: str) -> list[str]:
    return [f"{key}.message", f"{key}.hint"] if key.startswith("error.") else [key]


def placeholders(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


def option_classes() -> Iterator[type]:
    for found in vars(options).values():
        if isinstance(found, type) and is_dataclass(found):
            yield found


# -- names and imports --------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_module_is_named_after_what_it_does(path: Path) -> None:
    assert (
        not {part.removesuffix(".py") for part in path.relative_to(SOURCE).parts} & FORBIDDEN_NAMES
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_module_opens_with_a_sentence(path: Path) -> None:
    first = (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").split("\n\n")[0]
    assert first.rstrip().endswith((".", ":", "?"))


@pytest.mark.parametrize(
    "code",
    [
        "import memlm",
        "import memlm.cli.app; memlm.cli.app.run(['--help'])",
        "import memlm.cli.app; memlm.cli.app.run(['train', '--help'])",
    ],
    ids=["import", "help", "help of a command"],
)
def test_nothing_heavy_is_loaded_by(code: str) -> None:
    check = f"import sys\n{code}\nprint([n for n in {HEAVY} if n in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "[]\n")


def test_public_name_is_never_that_of_a_room() -> None:
    rooms = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert not rooms & set(memlm.__all__)
    assert all(inspect.ismodule(import_module(f"memlm.{room}")) for room in rooms)


@pytest.mark.parametrize("name", memlm.__all__)
def test_public_name_says_what_it_is(name: str) -> None:
    assert (inspect.getdoc(getattr(memlm, name)) or "").strip()


# -- sentences ----------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("place", "key", "given"), USES)
def test_sentence_that_the_source_names_exists(
    place: str, key: str, given: frozenset[str] | None, language: Language
) -> None:
    assert [one for one in keys_of(key) if one not in catalogue(language)] == []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("place", "key", "given"), [use for use in USES if use.values[2] is not None]
)
def test_sentence_is_filled_in_wholly(
    place: str, key: str, given: frozenset[str], language: Language
) -> None:
    needed = {name for one in keys_of(key) for name in placeholders(catalogue(language)[one])}
    assert needed <= given


def test_source_was_searched_at_all() -> None:
    assert len(USES) > 100


@pytest.mark.parametrize("key", sorted(key for key in catalogue("en") if key.startswith("error.")))
def test_error_has_both_its_sentences(key: str) -> None:
    assert catalogue("en").keys() >= set(keys_of(key.rpartition(".")[0]))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("command", app.COMMANDS)
def test_command_has_its_help_and_example(command: str, language: Language) -> None:
    assert catalogue(language)[f"help.{command}"]
    assert f"memlm {command}" in catalogue(language)[f"example.{command}"]


OPTIONS = [
    pytest.param(owner, field.name, id=f"{owner.__name__}.{field.name}")
    for owner in option_classes()
    for field in fields(owner)
]


@pytest.mark.parametrize(("owner", "name"), OPTIONS)
def test_option_has_chinese_help(owner: type, name: str) -> None:
    annotation = str(inspect.get_annotations(owner)[name])
    said = re.search(r"Parameter\(name='--([\w-]+)'", annotation)
    shown = said.group(1) if said else name.replace("_", "-")
    assert "show=False" in annotation or f"option.{shown}" in catalogue("zh")


@pytest.mark.parametrize(("owner", "name"), OPTIONS)
def test_option_has_a_docstring(owner: type, name: str) -> None:
    body = ast.parse(inspect.getsource(owner)).body[0]
    assert isinstance(body, ast.ClassDef)
    at = next(
        number
        for number, line in enumerate(body.body)
        if isinstance(line, ast.AnnAssign) and ast.unparse(line.target) == name
    )
    following = body.body[at + 1]
    assert isinstance(following, ast.Expr)
    assert isinstance(following.value, ast.Constant)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("command", app.COMMANDS)
def test_argument_of_a_command_has_help(command: str, language: Language) -> None:
    function = getattr(import_module(f"memlm.cli.{command}"), command)
    own = [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if 'Parameter(name="*")' not in str(parameter.annotation)
        and parameter.annotation not in OPTION_ALIASES
    ]
    words = [name.replace("_", "-") for name in own]
    known = catalogue(language)
    assert [
        word
        for word in words
        if f"option.{word}" not in known and f"option.{command}.{word}" not in known
    ] == []


OPTION_ALIASES = {
    "Common", "HoldOut", "Which", "Clean", "Collect", "Web", "Prepare", "Train", "Generate",
    "Memory", "Teach", "Answering",
}  # fmt: skip
