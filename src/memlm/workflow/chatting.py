"""A conversation in a workspace: held with a model and its memory, traced, and kept as it grows.

Before each turn it is looked up whether the documents have changed meanwhile, or the file of the
conversation: then the memory is brought in step, and the model reads again what is left. What is
kept therefore never comes from a memory of documents that are gone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

from memlm.collect import normalise_text
from memlm.errors import ConfigError, InputError, ResourceError
from memlm.generate import (
    DEFAULT_PATTERN,
    Conversation,
    GenerateConfig,
    parse_pattern,
)
from memlm.generate.prompt import unknown_symbols
from memlm.predict.blend import COUNTS
from memlm.records import Answer, Generation, Remembered, Turn
from memlm.workflow.asking import ensure_model
from memlm.workflow.blending import blended_predictor, memories_in
from memlm.workflow.chat_tracing import ChatTracer, shares_of_answer
from memlm.workflow.chats import (
    KeptChat,
    KeptTurn,
    documents_digest,
    find_in,
    keep_chat,
    model_of,
    new_chat_name,
    read_chat,
    text_of,
)
from memlm.workflow.collecting import collect_documents
from memlm.workflow.erasing import finish_erasing
from memlm.workflow.listener import Listener
from memlm.workflow.models import MEMORY
from memlm.workflow.opening import AnyWorkspace, as_workspace, documents_of
from memlm.workflow.precision import precision_cost
from memlm.workflow.reading import existing_file
from memlm.workflow.remembering import memory_model
from memlm.workspace import Workspace

_NOT_KEPT = ("workspace_busy", "cannot_write")


class Chat:
    """A conversation with a model of a workspace; see `open_chat`."""

    def __init__(
        self,
        workspace: Workspace,
        kept: KeptChat,
        *,
        model: str | None,
        memories: Sequence[str] | None,
        config: GenerateConfig,
        listener: Listener,
    ) -> None:
        self.workspace = workspace
        self._listener = listener
        self._memories = memories
        self._is_memory_on = True
        self._kept = kept
        self._on_disk: KeptChat | None = kept if kept.turns else None
        # Before the memory is read: documents that go meanwhile are then missed by `_keep`.
        self._digest = documents_digest(workspace)
        self._model = ensure_model(
            workspace, model, writes=True, precision=config.precision, listener=listener
        )
        self.precision_cost = precision_cost(self._model, config.precision, listener=listener)
        """What weights of a byte cost; None where they are as they were learned."""
        self._predictor = blended_predictor(self._model, memories=memories, listener=listener)
        self._conversation = Conversation(
            self._predictor,
            self._model.tokenizer,
            config,
            pattern=parse_pattern(kept.pattern),
            turns=[one.turn for one in kept.turns],
            label=kept.label,
        )
        self._tracer = ChatTracer(workspace, listener)
        self._remembered: tuple[str, ...] = ()
        self._is_unkept_said = False

    @property
    def name(self) -> str:
        """What the conversation is called."""
        return self._kept.name

    @property
    def model(self) -> str:
        """Name of the model that goes on."""
        return self._model.name

    @property
    def turns(self) -> tuple[Turn, ...]:
        """All turns, the first to the last."""
        return self._conversation.turns

    @property
    def is_kept(self) -> bool:
        """Whether the conversation lies on the disk as it is."""
        return self._on_disk == self._kept and bool(self._kept.turns)

    @property
    def memories(self) -> tuple[str, ...]:
        """The memories that take part; of the memory alone, what it counts."""
        return (COUNTS,) if self.model == MEMORY else memories_in(self._predictor)

    def answer(
        self,
        line: str,
        *,
        on_text: Callable[[str], None] = lambda text: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Answer:
        """Let the model go on with a line, trace what it wrote, and keep the turn.

        `on_text` hears the answer as it grows; once `should_stop` says so it ends where it is.
        Raises InputError if the vocabulary lacks a symbol of the line; and if the turn could not be
        kept, for documents were removed while it was written: it is then taken back.
        """
        self._catch_up()
        index = self._tracer.index(self._digest)  # now: it may have something to say
        written = self._conversation.answer(
            normalise_text(line), on_text=on_text, should_stop=should_stop
        )
        turn = written.turn
        text = text_of(self.turns, len(self.turns) - 1, self._conversation.pattern)
        finds = find_in(index, text) if index else (() if self._digest is None else None)
        kept = KeptTurn(turn=turn, model=self.model, finds=finds, remembered=self._remembered)
        self._keep((*self._kept.turns, kept))
        self._remembered = ()
        (trace,) = self._tracer.trace([turn], self._digest)
        shares = shares_of_answer(written, self._predictor, self.model)
        return Answer(turn=turn, trace=trace, shares=shares)

    def undo(self) -> Turn | None:
        """Take the last turn back, here and on the disk, and return it; None if there is none."""
        self._catch_up()
        turn = self._conversation.undo()
        if turn is not None:
            *kept, last = self._kept.turns
            self._keep(tuple(kept))
            # The documents are still there: the next turn is the first that draws on them.
            self._remembered = (*last.remembered, *self._remembered)
        return turn

    def set_temperature(self, temperature: float) -> None:
        """Write with another temperature from now on; ConfigError where that is impossible."""
        config = replace(self._conversation.config, temperature=temperature)
        config.check()
        self._conversation.config = config

    def use_memory(self, is_on: bool) -> None:
        """Let the memory take part from now on, or not; ConfigError if it is all that there is."""
        if self.model == MEMORY:
            if not is_on:
                raise ConfigError("chat_memory_alone")
            return
        self._is_memory_on = is_on
        self._load()

    def remember(self, path: Path | str) -> Remembered:
        """Collect a file, so that the next answer can draw on it.

        Raises NotFoundError or InputError if it cannot be read.
        """
        self._catch_up()
        file = existing_file(path)
        before = self._contents()
        report = collect_documents(self.workspace, file, listener=self._listener)
        fresh = {key: size for key, size in self._contents().items() if key not in before}
        if not fresh and report.rejected:
            first = report.rejected[0]
            raise InputError("nothing_readable", source=first.source, reason=first.reason)
        if fresh:
            self._load()
        self._remembered = (*self._remembered, *(identity for identity, _ in fresh))
        return Remembered(
            file=file.name,
            characters=sum(fresh.values()),
            takes_part=bool(self.memories),
            unknown=self._unknown_in(identity for identity, _ in fresh),
        )

    def sources(self) -> Generation:
        """Return the last answer with its trace, and what the page of a trace shows of it.

        Raises InputError where there is no answer, or no document.
        """
        self._catch_up()
        found = self._tracer.pages_of(self.turns[-1:], self._digest)
        if not found or found[0].trace is None:
            raise InputError("chat_untraced")
        return found[0]

    def traced_turns(self) -> list[Generation]:
        """Return all answers with their traces, each after its line."""
        return self._tracer.pages_of(self.turns, self._digest)

    def _catch_up(self) -> None:
        """Bring everything in step with documents and turns that another process has changed."""
        digest = documents_digest(self.workspace)
        on_disk = read_chat(self.workspace, self.name)
        # What was never kept may quote documents that are gone: nobody has looked.
        is_unkept = digest != self._digest and not self.is_kept and bool(self._kept.turns)
        if on_disk != self._on_disk or is_unkept:
            self._go_back(on_disk)
            self._listener.note("chat_changed_elsewhere", turns=len(self.turns))
        if digest != self._digest:
            finish_erasing(self.workspace, listener=self._listener)
            self._load()

    def _load(self) -> None:
        """Ask the memory as it is now; the model reads the conversation again."""
        self._digest = documents_digest(self.workspace)
        if self.model == MEMORY:
            self._model = memory_model(self.workspace, listener=self._listener)
        memories = self._memories if self._is_memory_on else ()
        if self._is_memory_on and memories == ():  # nobody wanted any, until now
            memories = None
        self._predictor = blended_predictor(self._model, memories=memories, listener=self._listener)
        self._conversation.go_on_with(self._predictor, self._model.tokenizer)

    def _go_back(self, on_disk: KeptChat | None) -> None:
        """Have only had the turns that lie on the disk."""
        self._on_disk = on_disk
        self._kept = on_disk or replace(self._kept, turns=())
        self._conversation.go_back_to([one.turn for one in self._kept.turns])

    def _keep(self, turns: tuple[KeptTurn, ...]) -> None:
        """Keep these turns on the disk, if it can be written; say once where it cannot."""
        self._kept = replace(self._kept, turns=turns, label=self._conversation.label)
        try:
            keep_chat(self.workspace, self._kept, before=self._on_disk, digest=self._digest)
            self._on_disk = self._kept if turns else None
        except (InputError, ResourceError) as error:
            if error.code not in _NOT_KEPT:
                self._go_back(read_chat(self.workspace, self.name))
                self._load()
                raise
            if not self._is_unkept_said:
                self._is_unkept_said = True
                self._listener.note("chat_not_kept", reason=str(error))

    def _unknown_in(self, identities: Iterable[str]) -> Counter[str]:
        """Return the symbols of documents that the model cannot write, and how often each."""
        found: Counter[str] = Counter()
        with documents_of(self.workspace) as store:
            for document in filter(None, map(store.get, identities)):
                found += unknown_symbols(self._model.tokenizer, document.text)
        return found

    def _contents(self) -> dict[tuple[str, str], int]:
        """Return the characters of every document by its id and what it says."""
        if not self.workspace.documents_file.exists():
            return {}
        with documents_of(self.workspace) as store:
            return {(key, content): size for key, content, size in store.sizes()}


def open_chat(
    workspace: AnyWorkspace,
    name: str | None = None,
    *,
    model: str | None = None,
    memories: Sequence[str] | None = None,
    config: GenerateConfig | None = None,
    pattern: str | None = None,
    today: date | None = None,
    listener: Listener | None = None,
) -> Chat:
    """Return a conversation with a model of a workspace: the one of this name, or a new one.

    A new one without a name is called after the day; it reaches the disk with its first turn. One
    that is there goes on with the model it had, unless another is named. `pattern` says how a turn
    is written for the model, see `generate/pattern.py`. Raises ConfigError where it is none, or
    another than the conversation has, and for options that a conversation has no use for.
    """
    opened, hears = as_workspace(workspace), listener or Listener()
    settled = config or GenerateConfig()
    settled.check()
    if settled.samples != 1 or settled.beams is not None:
        raise ConfigError("chat_one_answer")
    if settled.read_ahead == "on":
        raise ConfigError("chat_read_ahead")
    parse_pattern(pattern or DEFAULT_PATTERN)
    finish_erasing(opened, listener=hears)
    name = name or new_chat_name(opened, today or datetime.now().astimezone().date())
    kept = read_chat(opened, name)
    if kept is None:
        started = datetime.now().astimezone().isoformat(timespec="seconds")
        kept = KeptChat(name=name, started=started, pattern=pattern or DEFAULT_PATTERN)
    elif pattern not in (None, kept.pattern):
        raise ConfigError("chat_pattern_kept", name=name, pattern=kept.pattern)
    chat = Chat(
        opened,
        kept,
        model=model or model_of(opened, kept, hears),
        memories=memories,
        config=settled,
        listener=hears,
    )
    if model and kept.turns and kept.turns[-1].model != chat.model:
        hears.note("chat_other_model", before=kept.turns[-1].model, model=chat.model)
    return chat
