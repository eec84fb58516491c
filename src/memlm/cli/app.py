"""From the words on the command line to a command, and from whatever happens to an exit code."""

from __future__ import annotations

import difflib
import os
import signal
import sys
import tempfile
import tomllib
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any, get_args

from cyclopts import App, CycloptsError, Parameter
from cyclopts.config import Dict
from cyclopts.exceptions import (
    CoercionError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from memlm import __version__
from memlm.cli.console import print_error
from memlm.cli.help import HelpFormatter, root_help
from memlm.cli.options import note_given
from memlm.errors import ConfigError, MemlmError, NotFoundError
from memlm.messages import LANGUAGES, Language, current_language, in_language, render
from memlm.runtime import Terminated, process_place

COMMANDS = (
    "demo", "train", "generate", "chat", "trace", "lookup", "collect", "prepare", "score",
    "do", "evaluate", "attend", "info", "models", "export",
)  # fmt: skip
_COMMON_WITH_VALUE = ("--language", "--config")
_COMMON = ("--json", "--debug", *_COMMON_WITH_VALUE)
_FLAGS = (
    "--json",
    "--debug",
    "--no-memory",
    "--trace",
    "--plain",
    "--ignore-end",
    "--statistics",
    "--fresh",
    "--resume",
    "--strict-resume",
    "--tensorboard",
    "--prune-checkpoints",
    "--yes",
    "--adapt",
    "--",
)
_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


def run(words: Sequence[str]) -> int:
    """Run one command; return its exit code."""
    _let_any_text_be_printed()
    # Where colorama is installed numba lets it write to the terminal once more at the very end.
    os.environ.setdefault("NUMBA_DISABLE_ERROR_MESSAGE_HIGHLIGHTING", "1")
    as_json, debug, language = _manner(words)
    is_first = process_place().is_first  # of several under torchrun, the one whose result is read
    as_json = as_json and is_first
    with in_language(language):
        try:
            return _dispatch(list(words))
        except MemlmError as error:
            # An option is as wrong in the first process, which says so; but not if torchrun, seeing
            # that another has failed, ends it before.
            if not is_first and (error.is_told or isinstance(error, ConfigError)):
                return _trace_if(debug, 0)
            print_error(error.code, error.message, error.hint, as_json=as_json)
            return _trace_if(debug, error.exit_code)
        except (KeyboardInterrupt, Terminated) as stop:
            name, code = ("SIGTERM", 143) if isinstance(stop, Terminated) else ("SIGINT", 130)
            if is_first:
                _say(as_json, "interrupted", signal=name)
            return _trace_if(debug, code)
        except BrokenPipeError:  # the reader of our output has left: nothing is wrong
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 128 + 13
        except Exception as error:
            if _lacks_memory(error):
                _say(as_json, "memory_full")
                return _trace_if(debug, 4)
            # Our own mistake, whatever it is.
            _say(as_json, "internal", kind=type(error).__name__, log=_log_mistake(error))
            return _trace_if(debug, 1)


def _dispatch(words: list[str]) -> int:
    leading = _leading_options(words)
    words = [*words[leading:], *words[:leading]]
    if words[:1] == ["help"] and words[1:2] and words[1] in COMMANDS:
        words = [words[1], "--help"]
    if leading == len(words) or words[0] in ("--help", "-h", "help"):
        root_help(COMMANDS)
        return 0
    if words[0] == "--version":
        print(__version__)
        return 0
    command = words[0]
    if command not in COMMANDS:
        raise ConfigError(
            "command_unknown", command=command, suggestion=_suggest(command, COMMANDS)
        )
    app = _app(command, words)
    try:
        with _terminable():
            result = app(_arguments(words), exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise _as_our_own(error, command) from error
    return result if isinstance(result, int) else 0


def _leading_options(words: list[str]) -> int:
    """Return how many words before the command are common options and their values."""
    width = 0
    while width < len(words) and words[width].partition("=")[0] in _COMMON:
        width += 2 if words[width] in _COMMON_WITH_VALUE else 1
    return min(width, len(words))


def _arguments(words: list[str]) -> list[str]:
    """Return what follows the command, `-` in a form that the parser takes for no option."""
    command, arguments = words[0], []
    for before, word in pairwise(words):
        if word != "-" or (before.startswith("--") and before not in _FLAGS):
            arguments.append(word)
        elif command not in (
            "generate",
            "attend",
            "lookup",
        ):  # which read standard input for want of a text
            arguments.append("./-")  # the same path
    return arguments


def _app(command: str, words: list[str]) -> App:
    from importlib import import_module

    function = getattr(import_module(f"memlm.cli.{command}"), command)
    app = App(
        name=f"memlm {command}",
        help=render(f"help.{command}"),
        help_epilogue=render(f"example.{command}"),
        help_format="plaintext",
        help_formatter=HelpFormatter(command),
        version_flags=(),
        suppress_keyboard_interrupt=False,  # `run` answers it, as JSON where that is wished
        default_parameter=Parameter(negative=()),
        config=[*_config_file(words, command), note_given],
        result_action="return_value",
    )
    app.default(function)
    return app


def _config_file(words: list[str], command: str) -> list[Dict]:
    values = _config_values(words, command)
    dashed = {name.replace("_", "-"): value for name, value in values.items()}
    source = str(_value_of(words, "--config"))
    return [Dict(dashed, source=source, use_commands_as_keys=False)] if dashed else []


def _config_values(words: Sequence[str], command: str) -> dict[str, Any]:  # Any: TOML values
    """Return the values of `--config FILE`: its own keys, then its table [command]."""
    path = _value_of(words, "--config")
    if path is None:
        return {}
    try:
        found: dict[str, Any] = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFoundError("source_missing", path=path) from error
    except (OSError, ValueError) as error:
        raise ConfigError("config_file_bad", path=path, reason=error) from error
    values = {name: value for name, value in found.items() if not isinstance(value, dict)}
    table = found.get(command)
    values |= table if isinstance(table, dict) else {}
    for name, value in found.items():
        if isinstance(value, dict) and name not in COMMANDS:
            raise ConfigError(
                "option_unknown",
                option=f"[{name}]",
                suggestion=_suggest(name, COMMANDS),
                command=command,
            )
    return values


def _as_our_own(error: CycloptsError, command: str) -> ConfigError:
    """Turn what the parser says into one of our sentences."""
    error.verbose = False
    if isinstance(error, UnknownOptionError):
        word = (error.token.keyword or error.token.value).strip("[]")  # from a file: [name]
        known = [name for argument in error.argument_collection for name in argument.names]
        option = word if word.startswith("-") else f"--{word}"
        return ConfigError(
            "option_unknown",
            option=option,
            suggestion=_suggest(option.split("=")[0], known),
            command=command,
        )
    if isinstance(error, UnusedCliTokensError):
        words = ", ".join(error.unused_tokens or [])
        return ConfigError("words_left_over", words=words, command=command)
    name = error.argument.name if error.argument else "?"
    if isinstance(error, CoercionError) and error.token is not None:
        choices = [str(choice) for choice in get_args(error.target_type) if choice is not None]
        if choices and all(isinstance(choice, str) for choice in get_args(error.target_type)):
            return ConfigError(
                "choice_unknown", option=name, value=error.token.value, choices=", ".join(choices)
            )
        expected = render(f"kind.{getattr(error.target_type, '__name__', 'str')}")
        return ConfigError("option_value", option=name, value=error.token.value, expected=expected)
    if isinstance(error, MissingArgumentError) and error.keyword and error.argument:
        expected, _ = error.argument.token_count()
        return ConfigError(
            "option_incomplete",
            option=error.keyword,
            expected=expected,
            given=len(error.tokens_so_far) % max(1, expected),
            command=command,
        )
    if isinstance(error, MissingArgumentError):
        return ConfigError("argument_missing", argument=name, command=command)
    if isinstance(error, RepeatArgumentError):
        return ConfigError("option_repeated", option=name)
    return ConfigError("arguments_bad", reason=" ".join(str(error).split()), command=command)


def _suggest(word: str, known: Sequence[str]) -> str:
    bare = {name.lstrip("-"): name for name in known}  # all options share their dashes
    close = [bare[one] for one in difflib.get_close_matches(word.lstrip("-"), bare, n=1)]
    if not close:
        return ""
    gap = "" if current_language() == "zh" else " "
    return render("suggestion", known=close[0]) + gap


def _manner(words: Sequence[str]) -> tuple[bool, bool, Language | None]:
    """Return --json, --debug and --language, which count before the words are parsed."""
    words = list(takewhile(lambda word: word != "--", words))
    command = next(iter(words[_leading_options(words) :]), "")
    values: dict[str, Any] = {}  # Any: TOML values
    with suppress(MemlmError):  # it comes again, and is reported, when the command is built
        values = _config_values(words, command)
    wish = _value_of(words, "--language") or values.get("language")
    return (
        "--json" in words or values.get("json") is True,
        "--debug" in words or values.get("debug") is True,
        next((language for language in LANGUAGES if language == wish), None),
    )


def _value_of(words: Sequence[str], option: str) -> str | None:
    """Return what follows `option`, which must be known before the words are parsed."""
    for number, word in enumerate(words):
        if word == option and number + 1 < len(words):
            return words[number + 1]
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return None


def _say(as_json: bool, code: str, **values: Any) -> None:  # Any: what the sentence formats
    message, hint = (render(f"error.{code}.{part}", **values) for part in ("message", "hint"))
    print_error(code, message, hint, as_json=as_json)


def _trace_if(debug: bool, exit_code: int) -> int:
    if debug:
        traceback.print_exc()
    return exit_code


def _log_mistake(error: Exception) -> Path:
    """Write where our code failed to a file, without any value that may be somebody's text."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f"memlm {__version__}, Python {sys.version.split()[0]}", type(error).__name__]
    lines += [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames]
    descriptor, name = tempfile.mkstemp(prefix="memlm-", suffix=".log")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    return Path(name)


def _let_any_text_be_printed() -> None:
    """Keep a console that lacks a character (cp936, Latin-1) from ending the program."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def _terminable() -> Iterator[None]:
    """Inside the block SIGTERM raises `Terminated`, where Python allows handlers at all."""
    before: Any = None  # Any: what the signal module calls a handler
    with suppress(ValueError):  # not in the main thread
        before = signal.signal(signal.SIGTERM, _on_terminate)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _lacks_memory(error: Exception) -> bool:
    """Say whether the machine has run out of memory; torch says so in words only."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in said for words in _NO_MEMORY)
    )


def _on_terminate(number: int, frame: object) -> None:
    raise Terminated
