"""`memlm chat`: a conversation with a model that continues text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.text import Text

from memlm.cli.chat_terminal import (
    AnswerPrinter,
    decoded,
    is_interactive,
    piped_lines,
    print_refusal,
    say_aside,
    typed_lines,
)
from memlm.cli.console import (
    ConsoleListener,
    out,
    print_json,
    print_trace,
    shorten,
    trace_to_json,
    visible,
)
from memlm.cli.generate import as_documents_are
from memlm.cli.options import (
    Common,
    CommonOptions,
    Generate,
    Memory,
    MemoryOptions,
    ModelOptions,
    Which,
)
from memlm.cli.tables import print_table
from memlm.cli.trace_page import write_page_of
from memlm.collect import normalise_text
from memlm.errors import (
    ConfigError,
    InputError,
    MemlmError,
    MissingExtraError,
    NotFoundError,
    ResourceError,
)
from memlm.generate import COMMANDS, Command, is_command, parse_command, unescape
from memlm.generate.chat_commands import parse_temperature
from memlm.generate.config import GenerateConfig
from memlm.messages import render
from memlm.records import Answer
from memlm.runtime import Terminated, resend_signal, watch_signals
from memlm.workflow import MEMORY, Chat, check_memories, check_page_place, open_chat

_REFUSALS = (ConfigError, InputError, MissingExtraError, NotFoundError, ResourceError)
"""What costs a line, not the conversation."""
_SHOWN_SYMBOLS = 8


def chat(
    workspace: Path,
    /,
    *,
    name: str | None = None,
    pattern: str | None = None,
    plain: bool = False,
    html: Path | None = None,
    writing: Generate = GenerateConfig(),  # noqa: B008  # frozen
    which: Which = ModelOptions(),  # noqa: B008  # frozen
    remembering: Memory = MemoryOptions(),  # noqa: B008  # frozen
    common: Common = CommonOptions(),  # noqa: B008  # frozen
) -> int:
    check_memories(remembering.kinds)
    check_page_place(html)
    with ConsoleListener() as listener:
        opened = open_chat(
            workspace,
            name,
            model=which.model,
            memories=remembering.kinds,
            config=as_documents_are(writing),
            pattern=pattern,
            listener=listener,
        )
        talk = _Talk(opened, workspace, listener, is_plain=plain, is_silent=common.json)
        is_with_a_person = is_interactive() and not common.json
        code = talk.with_a_person() if is_with_a_person else talk.with_a_pipe()
        page = None
        if html is not None and opened.turns:
            page = write_page_of(workspace, opened.traced_turns(), html, listener)
    if common.json:
        print_json(talk.to_json() | ({"page": str(page)} if page else {}))
    elif page is not None:
        say_aside("chat.page", path=page)
    return code


@dataclass
class _Talk:
    """A conversation at the command line."""

    chat: Chat
    workspace: Path
    listener: ConsoleListener
    is_plain: bool
    is_silent: bool
    """Nothing is printed until the end."""
    answers: list[Answer] = field(default_factory=list)
    refused: list[dict[str, object]] = field(default_factory=list)

    def with_a_person(self) -> int:
        """Talk until the person leaves; return the exit code."""
        self.listener.rest()
        self._greet()
        code = 0
        try:
            for line in typed_lines():
                if not self._hear(line):
                    break
        except KeyboardInterrupt:
            out.print()
            code = 130
        except Terminated:
            out.print()
            raise
        if self.chat.is_kept:
            say_aside("chat.kept", name=self.chat.name, workspace=self.workspace)
        return code

    def with_a_pipe(self) -> int:
        """Answer every line; return 2 if one could not be."""
        for line in piped_lines():
            if not self._hear(line):
                break
        return 2 if self.refused else 0

    def to_json(self) -> dict[str, object]:
        """Return all that was said since the beginning of this command."""
        cost = self.chat.precision_cost
        told = {} if cost is None else {"precision": cost.to_json()}
        return told | {
            "chat": self.chat.name,
            "model": self.chat.model,
            "memories": self.chat.memories,
            "turns": [_to_json(answer) for answer in self.answers],
            "refused": self.refused,
        }

    def _greet(self) -> None:
        memories = self.chat.memories if self.chat.model != MEMORY else ()
        model = " + ".join([self.chat.model, *memories])
        say_aside("chat.welcome", name=self.chat.name, model=model)
        if self.chat.turns:
            last = self.chat.turns[-1]
            say_aside("chat.goes_on", turns=len(self.chat.turns))
            out.print(Text(visible(f"  {last.line}\n{last.shown}"), style="dim"))

    def _hear(self, given: str | bytes) -> bool:
        """Do what a line says, or say why that cannot be; False when it is to leave."""
        line = ""
        try:
            line = normalise_text(given) if isinstance(given, str) else decoded(given)
            if not is_command(line):
                self._answer(unescape(line))
                return True
            command = parse_command(line)
            if command.name == "quit":
                return False
            self._obey(command)
        except _REFUSALS as error:
            self._refuse(line, error)
        finally:
            self.listener.rest()
        return True

    def _refuse(self, line: str, error: MemlmError) -> None:
        said = {"code": error.code, "message": error.message, "hint": error.hint}
        self.refused.append({"line": line, **said})
        if not self.is_silent:
            print_refusal(error)

    def _answer(self, line: str) -> None:
        if self.answers and not self.is_silent and not is_interactive():
            out.print()
        printer = AnswerPrinter()

        def write(text: str) -> None:
            self.listener.rest()
            printer.write(text)

        with watch_signals() as watch:
            try:
                answer = self.chat.answer(
                    line,
                    on_text=write if not self.is_silent else lambda text: None,
                    should_stop=lambda: watch.name is not None,
                )
            except MemlmError:
                printer.break_off()
                raise
            self.answers.append(answer)
            self.listener.rest()
            if not self.is_silent:
                printer.finish(answer, with_figures=not self.is_plain)
                if is_interactive():
                    out.print()
        if watch.name is not None and (watch.name != "SIGINT" or not is_interactive()):
            resend_signal(watch.name)

    def _obey(self, command: Command) -> None:
        does: dict[str, Callable[[str], None]] = {
            "undo": self._undo,
            "sources": self._show_sources,
            "memory": self._switch_memory,
            "remember": self._remember,
            "temperature": self._set_temperature,
            "help": self._help,
        }
        does[command.name](command.argument)

    def _undo(self, _: str) -> None:
        turn = self.chat.undo()
        if turn is None:
            self._tell("chat.nothing_to_undo")
            return
        self.answers = self.answers[:-1]
        self._tell("chat.undone", line=shorten(turn.line or turn.shown))

    def _show_sources(self, _: str) -> None:
        found = self.chat.sources()
        if self.is_silent or found.trace is None:
            return
        print_trace(found.trace)
        page = write_page_of(self.workspace, [found], None, self.listener)
        if page is not None:
            self._tell("chat.page", path=page)

    def _switch_memory(self, wish: str) -> None:
        self.chat.use_memory(wish == "on")
        if wish == "off":
            self._tell("chat.memory_off")
        elif self.chat.memories:
            self._tell("chat.memory_on", memories=" + ".join(self.chat.memories))
        else:
            self._tell("chat.memory_idle")

    def _remember(self, file: str) -> None:
        found = self.chat.remember(file)
        if not found.characters:
            self._tell("chat.remembered_before", file=found.file)
        elif found.takes_part:
            self._tell("chat.remembered", file=found.file, characters=found.characters)
        else:
            self._tell("chat.remembered_unused", file=found.file, characters=found.characters)
        if found.unknown:
            first = [*found.unknown][:_SHOWN_SYMBOLS] + ["…"] * (
                len(found.unknown) > _SHOWN_SYMBOLS
            )
            count = sum(found.unknown.values())
            self._tell("chat.remembered_unknown", count=count, symbols=" ".join(first))

    def _set_temperature(self, wish: str) -> None:
        temperature = parse_temperature(wish)
        self.chat.set_temperature(temperature)
        self._tell("chat.temperature", temperature=temperature)

    def _help(self, _: str) -> None:
        if not self.is_silent:
            rows = [(render(f"chat.usage.{one}"), render(f"chat.about.{one}")) for one in COMMANDS]
            print_table(("", ""), rows)
            say_aside("chat.enter")

    def _tell(self, key: str, **values: object) -> None:
        if not self.is_silent:
            say_aside(key, **values)


def _to_json(answer: Answer) -> dict[str, object]:
    traced = trace_to_json(answer.trace) if answer.trace is not None else {"spans": []}
    return asdict(answer.turn) | traced | {"shares": dict(answer.shares)}
