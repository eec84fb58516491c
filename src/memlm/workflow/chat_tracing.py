"""Where the answers of a conversation come from, and whose they are.

The index stays open from turn to turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from memlm.errors import InputError, NotFoundError, ResourceError
from memlm.generate import WrittenAnswer
from memlm.index import SuffixIndex, open_index
from memlm.language_model import LanguageModel
from memlm.predict.blend import COUNTS, WEIGHTS, BlendedModel
from memlm.records import Generation, Trace, Turn
from memlm.workflow.listener import Listener
from memlm.workflow.models import MEMORY
from memlm.workflow.opening import ensure_index
from memlm.workflow.tracing import trace_texts
from memlm.workspace import Workspace


class ChatTracer:
    """Traces answers in the documents of a workspace."""

    def __init__(self, workspace: Workspace, listener: Listener) -> None:
        self._workspace, self._listener = workspace, listener
        self._opened: tuple[str, SuffixIndex] | None = None
        """The index, and the digest of the documents that it holds."""

    def index(self, digest: str | None) -> SuffixIndex | None:
        """Return the index in step with the documents of this digest; None if there is none now.

        That is so without documents, or while another process writes or nobody may.
        """
        if digest is None:
            return None
        if self._opened is None or self._opened[0] != digest:
            try:
                ensure_index(self._workspace, self._listener)
            except (InputError, NotFoundError, ResourceError) as error:
                self._listener.note("chat_not_traced", reason=str(error))
                return None
            self._opened = digest, open_index(self._workspace.character_index)
        return self._opened[1]

    def trace(
        self, turns: Sequence[Turn], digest: str | None, *, with_excerpts: bool = False
    ) -> Sequence[Trace | None]:
        """Return the traces of answers as people see them; None each where there is no index."""
        index = self.index(digest)
        if index is None:
            return [None] * len(turns)
        return trace_texts(
            self._workspace,
            [turn.shown for turn in turns],
            index=index,
            with_excerpts=with_excerpts,
            listener=self._listener,
        )

    def pages_of(self, turns: Sequence[Turn], digest: str | None) -> list[Generation]:
        """Return answers as the page of a trace takes them: each after its line, with excerpts."""
        return [
            Generation(
                prompt=turn.line,
                text=turn.shown,
                label=None,
                tokens=turn.tokens,
                tokens_per_second=turn.tokens_per_second,
                ended_by="length" if turn.ended_by == "interrupt" else turn.ended_by,
                trace=trace,
            )
            for turn, trace in zip(
                turns, self.trace(turns, digest, with_excerpts=True), strict=True
            )
        ]


def shares_of_answer(
    written: WrittenAnswer, predictor: LanguageModel, model: str
) -> Mapping[str, float]:
    """Return whose an answer is: of the weights, of each memory; nothing where it has no tokens."""
    if len(written.ids) < 2:
        return {}
    if isinstance(predictor, BlendedModel):
        found = predictor.shares(written.ids, written.state)
        return {name: float(part.mean()) for name, part in found.items()}
    return {COUNTS if model == MEMORY else WEIGHTS: 1.0}
