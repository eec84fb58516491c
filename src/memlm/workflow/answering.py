"""Answer: a model that learned a task is given a source, and says what it makes of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from memlm.collect import CollectConfig, Reading, is_table, normalise_text, read_file
from memlm.errors import InputError
from memlm.generate.answer_config import AnswerConfig
from memlm.language_model import LanguageModel
from memlm.messages import render
from memlm.models.config import LONGEST_PAST, NetworkConfig
from memlm.records import NearExample, SourceNote, SourceProblem, SourceText, TaskAnswer
from memlm.storage import read_json
from memlm.tasks import MARK, TaskKind, task_of, write_question
from memlm.workflow.blending import blended_predictor
from memlm.workflow.bringing import in_windows
from memlm.workflow.examples import NearExamples
from memlm.workflow.known_answers import NO_SUCH_COLUMN
from memlm.workflow.labelling import NEIGHBOURS, Labeller
from memlm.workflow.listener import Listener
from memlm.workflow.models import MEMORY, Model, writing_model
from memlm.workflow.opening import documents_of
from memlm.workflow.reading import existing_file, read_whole_text
from memlm.workspace import Workspace, read_run

if TYPE_CHECKING:
    from memlm.generate import GenerateConfig


def has_task(model: Model) -> bool:
    """Say whether a model was trained for a task."""
    try:
        return bool(task_of_model(model))
    except InputError:
        return False


def task_of_model(model: Model) -> TaskKind:
    """Return what a model was trained for; InputError if that is no task."""
    workspace = model.workspace
    if model.name == MEMORY:
        kind = workspace.task
    elif model.is_foreign and workspace.is_brought(model.name):
        kind = None
    else:
        kind = read_run(workspace.model(model.name)).get("task")
    if kind is None:
        raise InputError("model_without_task", model=model.name, workspace=workspace.path)
    return kind


def answer_task(
    model: Model,
    sources: Iterable[str],
    *,
    config: GenerateConfig | None = None,
    answering: AnswerConfig | None = None,
    memories: Sequence[str] | None = None,
    listener: Listener | None = None,
) -> list[TaskAnswer]:
    """Return what a model answers to each source, with the training examples nearest to it.

    `config` says how answers are written; what it leaves open is as usual for the task. `memories`
    that are named predict beside the weights, which answer alone otherwise; with an empty list the
    nearest examples have no say in labels either.
    A source that is longer than the network looks back is cut at its end, which is noted. Raises
    InputError for a model that was trained for no task, and for an empty source.
    """
    answerer = Answerer(model, config, answering, memories, listener)
    with answerer.ready():
        return [answerer.answer(source) for source in sources]


def read_questions(
    model: Model, path: Path | str, *, column: str | None = None, listener: Listener | None = None
) -> Iterator[str]:
    """Yield the sources of a file: of a table those of a column, else its lines.

    The column is that with the sources of the examples that were collected last, if the file has
    it, or one that is called as sources are. What is wrong with a row is noted, and the others go
    on.
    """
    listener = listener or Listener()
    file = existing_file(path)
    found = _rows if is_table(file.name) else _lines
    for line, text in found(model, file, column, listener):
        try:
            write_question(text)
        except InputError as error:
            _leave_out(line, error.code, error.values, listener)
        else:
            yield text


def _lines(
    model: Model, file: Path, column: str | None, listener: Listener
) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text that are not blank, with their numbers."""
    for number, line in enumerate(read_whole_text(file).splitlines()):
        if line.strip():
            yield number + 1, line


def _rows(
    model: Model, file: Path, column: str | None, listener: Listener
) -> Iterator[tuple[int, str]]:
    """Yield the sources of a table, with their lines."""
    for item in _read_rows(model, file, column):
        if isinstance(item, SourceProblem):
            _leave_out(item.position, item.code, item.values, listener)
        elif isinstance(item, SourceText):
            yield item.position or 0, item.text
        elif item.code == "header_taken":
            listener.note("header_not_asked", **item.values)


def _read_rows(
    model: Model, file: Path, column: str | None
) -> Iterator[SourceText | SourceProblem | SourceNote]:
    """Yield what a table holds, of the column that the last examples had where it has one."""
    kept = _column_of(model.workspace)
    names = task_of(task_of_model(model)).source_names
    for tried in dict.fromkeys((column or kept, column)):
        reading = Reading(config=CollectConfig(text_column=tried), text_names=names)
        items = iter(read_file(file, reading))
        try:
            first = next(items, None)
        except InputError as error:  # another table may call its column otherwise
            if tried == column or error.code not in NO_SUCH_COLUMN:
                raise
            continue
        if first is not None:
            yield first
            yield from items
        return


def _leave_out(
    line: int | None, code: str, values: Mapping[str, Any], listener: Listener
) -> None:  # Any: whatever the sentence formats
    reason = render(f"error.{code}.message", **values)
    listener.note("row_left_out", line=line, reason=reason)


def _column_of(workspace: Workspace) -> str | None:
    """Return the column with the sources of the last examples; None where it was not said."""
    column = workspace.settings().get("source_column")
    return column if isinstance(column, str) else None


class Answerer:
    """A model made ready for one question after the other."""

    def __init__(
        self,
        model: Model,
        config: GenerateConfig | None = None,
        answering: AnswerConfig | None = None,
        memories: Sequence[str] | None = None,
        listener: Listener | None = None,
    ) -> None:
        from memlm.generate import GenerateConfig as Config

        self.kind = task_of_model(model)
        self.config, self.how = config or Config(), answering or AnswerConfig()
        self.config.check()
        self._listener = listener or Listener()
        self._memories = None if memories is None else tuple(memories)
        self._model = writing_model(model, precision=self.config.precision)
        self._store = documents_of(model.workspace)
        self._near: NearExamples | None = None

    @contextmanager
    def ready(self) -> Iterator[Answerer]:
        """Inside the block the documents are open."""
        with self._store as store:
            self._near = NearExamples(self._model, store, self._listener)
            yield self
            self._near = None

    @cached_property
    def labeller(self) -> Labeller:
        """What tells labels, made ready when the first is asked for."""
        return Labeller(self._model, self.predictor, self.near, self._memories, self._listener)

    @cached_property
    def predictor(self) -> LanguageModel:
        """The weights, with the memories that were named.

        How text goes on says little of how a source is answered: nobody named, nobody is asked.
        """
        memories = self._memories or ()
        return blended_predictor(self._model, memories=memories, listener=self._listener)

    @property
    def near(self) -> NearExamples:
        """What finds the nearest examples."""
        assert self._near is not None, "outside its block"
        return self._near

    def answer(self, source: str) -> TaskAnswer:
        """Return the answer to one source, with the nearest examples."""
        from memlm.generate.answer import answer_config, answer_question

        source = normalise_text(source).strip()
        wanted = max(self.how.examples, self.how.recall, self._looked_at)
        examples = self.near.nearest(source, limit=wanted) if wanted else []
        shown = tuple(examples[: self.how.examples])
        ids, left_out = self._question(source, examples[: self.how.recall])
        if self.kind == "classify":
            shares = self.labeller.shares(source, ids, examples)
            label = max(shares, key=lambda label: shares[label])
            return TaskAnswer(
                asked=source, text=label, probabilities=shares, examples=shown, left_out=left_out
            )
        config = answer_config(self.kind, self.config, len(ids))
        found = answer_question(self.predictor, self._model.tokenizer, source, ids, config)
        texts = [one.text.strip() for one in found]
        return TaskAnswer(
            asked=source,
            text=texts[0],
            others=tuple(texts[1:]),
            examples=shown,
            left_out=left_out,
        )

    def question(self, source: str) -> npt.NDArray[np.int64]:
        """Return the tokens of a question as it is asked, recalled examples before it."""
        source, recall = normalise_text(source).strip(), self.how.recall
        return self._question(source, self.near.nearest(source, limit=recall) if recall else [])[0]

    @property
    def _looked_at(self) -> int:
        """How many nearest examples have a say."""
        return NEIGHBOURS if self.kind == "classify" and self._memories != () else 0

    def _question(
        self, source: str, before: Sequence[NearExample]
    ) -> tuple[npt.NDArray[np.int64], int]:
        """Return the tokens of a question, behind recalled examples, and what had no room."""
        from memlm.generate.answer import cut_question, encode_question

        tokenizer = self._model.tokenizer
        ids = encode_question(tokenizer, source)
        left_out = 0
        if self._longest is not None:
            sign = len(tokenizer.encode(MARK).ids)
            ids, left_out = cut_question(ids, sign, max(sign + 1, self._longest))
            if left_out:
                self._listener.note("source_cut", tokens=left_out, longest=self._longest)
        for example in before:  # the nearest comes last, as long as there is room
            answer = tokenizer.encode(example.answer).ids.astype(np.int64)
            asked, end = encode_question(tokenizer, example.asked), np.array([tokenizer.end])
            whole = np.concatenate([asked, answer, end, ids])
            if self._longest is not None and len(whole) > self._longest:
                break
            ids = whole
        return ids, left_out

    @cached_property
    def _longest(self) -> int | None:
        """Tokens that a question may have, so that an answer sees all of it; None: any number."""
        model = self._model
        if model.name == MEMORY:
            return None
        if model.is_foreign:
            window = in_windows(model, None)[1]
        else:
            path = model.workspace.model(model.name) / "config.json"
            blocks = NetworkConfig.from_json(read_json(path), path=path).blocks
            window = min(
                (one.window or LONGEST_PAST for one in blocks if one.attends), default=None
            )
        return None if window is None else window - window // 4
