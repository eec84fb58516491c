"""The frozen records that travel between rooms; they do nothing but show themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from html import escape
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from memlm.errors import MissingExtraError

Split = Literal["train", "held_out", "sealed"]
SPLITS: tuple[Split, ...] = ("train", "held_out", "sealed")
SpanKind = Literal["recited", "recombined", "new"]
Fold = Literal["case", "width", "space"]
"""What makes no difference when a text is compared, because that was asked for."""
AttentionKind = Literal["attention", "saliency"]
PersonalKind = Literal[
    "email",
    "phone",
    "ip_address",
    "payment_card",
    "iban",
    "chinese_id",
    "us_ssn",
    "private_key",
    "access_token",
]
PERSONAL_KINDS: tuple[PersonalKind, ...] = get_args(PersonalKind)


@dataclass(frozen=True, kw_only=True)
class Document:
    """One text and what is known of it; `id` never changes while it stays in its place."""

    id: str
    text: str
    label: str | None = None
    fields: Mapping[str, object] = field(default_factory=dict)
    source: str = ""
    """Where it lies, as people name it: `notes/monday.txt`, `train.csv:12`."""
    split: Split | None = None
    """The split that the user asked for; None leaves it to the hash."""


@dataclass(frozen=True, kw_only=True)
class SourceText:
    """A text as a reader found it, before it has an id."""

    text: str
    position: int | None = None
    """Line (tables, JSON lines) where it begins, from 1; None for a whole file."""
    key: str | None = None
    """The row's own id, where it has one."""
    label: str | None = None
    fields: Mapping[str, object] = field(default_factory=dict)
    member: str = ""
    """Path inside the archive, where the file is one."""
    blocks: Callable[[], Iterator[str]] | None = None
    """Reads a text that is too long to hold, anew at each call, in blocks; `text` is then empty.

    They must be asked for before the reader goes on to its next text.
    """


@dataclass(frozen=True, kw_only=True)
class SourceProblem:
    """What is wrong with a row or a file: the code of a sentence and what fills it in."""

    code: str
    values: Mapping[str, object]
    position: int | None = None
    """Line, from 1; None for a whole file."""
    member: str = ""
    """Path inside the archive, where the file is one."""
    hides: Literal["here", "file"] | None = None
    """Where texts that were read before may still be, behind it: in its member (in the file if it
    has none), or anywhere in the file. Their documents stay."""


@dataclass(frozen=True, kw_only=True)
class SourceNote:
    """Something about a source that its owner should know, though it could be read."""

    code: str
    values: Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """Something in a source that could not become a document, and why."""

    source: str
    position: int | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class Vanished:
    """A file or page that was collected and is no longer where it was."""

    source: str
    documents: int


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """A collected document that the preparation left out, and why."""

    document_id: str
    step: str
    reason: str
    """Code of the sentence `dropped.<reason>`."""
    values: Mapping[str, object] = field(default_factory=dict)
    """The numbers that decided, and what fills in the sentence; never text of the document."""


@dataclass(frozen=True)
class PersonalData:
    """Where a text holds something personal or secret; never what it is."""

    kind: PersonalKind
    start: int
    end: int
    """Code points of the text that was searched, end not included."""


@dataclass(frozen=True, kw_only=True)
class PersonalPlace:
    """Where a collected document holds something personal or secret; never what it is."""

    document_id: str
    source: str
    kind: PersonalKind
    start: int
    end: int
    """Code points of the collected text, end not included."""


@dataclass(frozen=True, kw_only=True)
class CollectReport:
    """What one call of `collect_documents` changed."""

    documents_added: int
    documents_unchanged: int
    documents_changed: int
    documents_removed: int
    documents_rejected: int
    rejected: tuple[Rejected, ...]
    """The first thousand of them; `rejected.jsonl` in the workspace has all."""
    characters: int
    """Code points of all documents that the workspace holds now."""
    vanished: tuple[Vanished, ...] = ()
    """What was collected and is gone; removed too if that was wished."""


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """What one call of `export_documents` wrote."""

    documents: int
    characters: int
    file: str
    """Path of the file, as it was named."""


@dataclass(frozen=True, kw_only=True)
class ModelExportReport:
    """What one call of `export_model` wrote."""

    model: str
    layout: str
    """`qwen3` or `huggingface`, which everybody's programs load, `memlm`, our own, or `peft`."""
    parameters: int
    recited_share: float | None
    """Of the characters of some texts that it wrote; None without documents to trace them in."""
    folder: str
    """Path of the folder, as it was named."""


@dataclass(frozen=True, kw_only=True)
class PrepareReport:
    """What one call of `prepare_documents` made."""

    documents: int
    dropped: int
    dropped_by_reason: Mapping[str, int]
    tokens: Mapping[str, int]
    """Tokens of each split: train, held_out, sealed."""
    tokenizer: str
    vocabulary_size: int
    unknown: int
    """Symbols of the texts that the vocabulary lacks, counted with repetition."""
    characters: int
    removed: Mapping[str, int] = field(default_factory=dict)
    """Code points that cleaning took out of documents that stay, by reason."""
    masked: Mapping[str, int] = field(default_factory=dict)
    """Personal data that was masked, by kind."""
    repeated_passages: int = 0
    """Passages of at least 100 characters that occur before in the documents that are kept."""
    repeated_characters: int = 0
    """Characters of the cleaned text that are in such a passage."""
    cut_characters: int = 0
    """Characters that were left out as repeated; the rest of their documents was kept."""
    documents_rejected: int = 0
    """What could not be read of the files that were named to be held out."""
    rejected: tuple[Rejected, ...] = ()
    """The first thousand of them."""
    is_new: bool = True
    """Whether this call made the tokens; else they were made before, and nothing has changed."""


@dataclass(frozen=True, kw_only=True)
class TrainReport:
    """How a training ended."""

    model: str
    network: str
    parameters: int
    steps: int
    seconds: float
    held_out_nats_per_character: float | None
    held_out_bits_per_byte: float | None
    held_out_characters: int
    train_nats_per_character: float | None
    best_step: int
    stopped_by: str | None = None
    """Name of the signal that ended it early, else None."""
    curves: str | None = None
    """Where its losses are drawn, from the folder of the workspace on; None before any step."""
    task: str | None = None
    """What it was trained for; None: it goes on with texts."""


@dataclass(frozen=True, kw_only=True)
class PruneReport:
    """Which checkpoints were deleted."""

    models: tuple[str, ...]
    """Those that had any."""
    checkpoints: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class TextCopy:
    """A document that stays and holds the text of one that was erased, or nearly."""

    document_id: str
    source: str
    of: str
    """Id of the document that was erased."""
    is_exact: bool


@dataclass(frozen=True, kw_only=True)
class EraseReport:
    """What one call of `erase_documents` erased, and what it could not."""

    documents: int
    characters: int
    copies: tuple[TextCopy, ...] = ()
    """Near copies are known where the documents were cleaned since they last changed."""
    models: tuple[str, ...] = ()
    """Those that learned from one of the documents, or may have: that stays in their weights."""
    rewritten: tuple[str, ...] = ()
    """What was made anew or deleted, by its place in the workspace."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """How well a model predicts a text."""

    nats_per_character: float
    low: float
    high: float
    """95 % interval of `nats_per_character` over blocks of the text."""
    bits_per_byte: float
    perplexity_per_token: float
    tokens: int
    characters: int
    bytes: int
    unknown: int
    unknown_bytes: int
    baseline_nats_per_character: float
    """Every symbol of the vocabulary equally likely."""
    protocol: str
    window: int | None = None
    """Tokens of the windows that the weights read in; None where there are none."""
    memories: tuple[str, ...] = ()
    """Those that predicted beside the weights."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One measured value with its interval, sample size and baseline."""

    value: float
    low: float
    high: float
    n: int
    baseline: float
    unit: str


@dataclass(frozen=True, kw_only=True, eq=False)
class TaskFindings(Mapping[str, Finding]):
    """What a model's answers to a file are worth: findings by their names, as a mapping."""

    model: str
    task: str | None
    """translate, reply, summarise or classify; None: the labels of texts, told by Bayes' rule."""
    findings: Mapping[str, Finding]
    """The baseline of each is the best of those below."""
    baselines: Mapping[str, Mapping[str, float]]
    """What else was measured in the same run: by its name, then by that of the finding."""
    signatures: Mapping[str, str] = field(default_factory=dict)
    """How a finding was measured, where there is an agreed way to write that down."""
    answers: str | None = None
    """The file with all answers, if one was written."""

    def __getitem__(self, name: str) -> Finding:
        """Return one finding."""
        return self.findings[name]

    def __iter__(self) -> Iterator[str]:
        """Yield the names of the findings."""
        return iter(self.findings)

    def __len__(self) -> int:
        """Return how many findings there are."""
        return len(self.findings)


@dataclass(frozen=True, kw_only=True)
class NearExample:
    """An example of a task that a model learned from, near to what it was asked."""

    document_id: str
    source: str
    """Where it lies, as people name it."""
    asked: str
    answer: str
    score: float
    """How near: BM25 over the words of both, without a unit."""


@dataclass(frozen=True, kw_only=True)
class TaskAnswer:
    """What a model answers to the source of a task."""

    asked: str
    text: str
    """The likeliest answer."""
    probabilities: Mapping[str, float] = field(default_factory=dict)
    """Of every label, where the answer is one; they sum to 1."""
    others: tuple[str, ...] = ()
    """Further answers, where more than one was asked for."""
    examples: tuple[NearExample, ...] = ()
    """The training examples nearest to what was asked, the nearest first."""
    left_out: int = 0
    """Tokens at the end of the source that were not read, for want of room."""


@dataclass(frozen=True, kw_only=True)
class SpanSource:
    """One place in the collected documents where a span occurs."""

    document_id: str
    source: str
    start: int
    end: int
    """Code points of the collected text, end not included."""
    masked: tuple[PersonalKind, ...] = ()
    """Kinds of personal data in it that were masked when the documents were last prepared."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """A stretch of a traced text that occurs in the collected documents."""

    start: int
    end: int
    """Code points of the traced text, end not included."""
    text: str
    kind: SpanKind
    count: int
    """How often it occurs in all documents together."""
    expected_by_chance: float
    sources: tuple[SpanSource, ...]
    """The first places where it occurs; `count` says how many there are."""


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """A stretch of a collected document that holds some sources, with what stands around them."""

    document_id: str
    start: int
    """Code point of the collected text."""
    text: str


@dataclass(frozen=True, kw_only=True)
class TokenShare:
    """How much of a token's probability came from the weights, and how much from each memory."""

    start: int
    end: int
    """Code points of the text, end not included.

    Where tokens are only parts of characters, all that together spell some have the same place.
    """
    shares: Mapping[str, float]
    """By expert: weights, counts, cache, vectors, ...; they sum to 1."""
    sources: tuple[SpanSource, ...] = ()
    """Places in the documents that stand behind what the memories said, the strongest first."""


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Where the words of a text come from."""

    text: str
    characters: int
    recited_share: float
    recombined_share: float
    new_share: float
    spans: tuple[Span, ...]
    folded: tuple[Fold, ...] = ()
    """What was not told apart."""
    name: str = ""
    """The file, or row of a file, that it is of."""
    excerpts: tuple[Excerpt, ...] = field(default=(), repr=False)
    """The documents around the sources, as far as the page shows them; see `with_excerpts`."""
    shares: tuple[TokenShare, ...] = field(default=(), repr=False)
    """Of the tokens that were written, in order, where a blend wrote them."""

    def to_rows(self) -> dict[str, object]:
        """Return the fields as a page takes them: plain mappings, not copied."""
        spans = [_row(span) | {"sources": [*map(_row, span.sources)]} for span in self.spans]
        own = {"spans": spans, "excerpts": [*map(_row, self.excerpts)]}
        return _row(self) | own | {"shares": _share_rows(self.shares), "is_traced": True}

    def _repr_html_(self) -> str | None:
        """Return the page in a frame, as notebooks show it; None where jinja2 is missing."""
        from memlm.pages.trace import trace_page

        try:
            return _framed(trace_page([self.to_rows()]))
        except MissingExtraError:
            return None


ContinuationKind = Literal["text", "part", "end", "label", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Continuation:
    """A token that may come next, as a memory has it, and where it came in the documents."""

    kind: ContinuationKind
    """What the token stands for: text, text that ends within a character (of bytes), the end of a
    document, a label that opens one, or any symbol that the vocabulary lacks."""
    text: str
    """Of the token, with U+FFFD for part of a character; or the name of the label."""
    token: int
    probability: float
    context: str
    """The longest end of the text after which the token came."""
    order: int
    """Tokens of that context; 0 where it came after none of them. A document's begin is one."""
    count: int
    """How often it came after that."""
    following: str
    """How the first place goes on behind it, as it was prepared: a few tokens. It begins with the
    whole character of which the token is a part."""
    sources: tuple[SpanSource, ...]
    """The first places where it did: context and continuation together, as they were collected."""


@dataclass(frozen=True, kw_only=True)
class Lookup:
    """What a memory holds for a text: how it would go on, and where that comes from."""

    text: str
    """As it was asked."""
    tokenizer: str
    """Whose tokens the memory counts."""
    tokens: int
    """Of the text, from behind the last symbol that the vocabulary lacks."""
    context: str
    """The longest end of the text that occurs in the memory, of at most 64 tokens."""
    order: int
    """Tokens of it."""
    count: int
    """How often it occurs; for no text, how many documents there are; where none does, tokens."""
    continuations: tuple[Continuation, ...]
    """The likeliest, by falling probability; those of all tokens sum to 1."""


@dataclass(frozen=True, kw_only=True)
class Generation:
    """A text that a model wrote."""

    prompt: str
    text: str
    """What was written, without the prompt."""
    label: str | None
    tokens: int
    tokens_per_second: float
    ended_by: Literal["length", "end", "stop", "forbidden"]
    """`forbidden`: nothing that might be written was left."""
    trace: Trace | None = None
    shares: tuple[TokenShare, ...] = field(default=(), repr=False)
    """Of each token that was written, where a blend wrote it."""

    def to_rows(self) -> dict[str, object]:
        """Return what was written as the page of a trace takes it, traced or not."""
        traced = self.trace or Trace(
            text=self.text,
            characters=len(self.text),
            recited_share=0.0,
            recombined_share=0.0,
            new_share=1.0,
            spans=(),
        )
        own = {"prompt": self.prompt, "is_traced": self.trace is not None}
        shares = _share_rows(traced.shares or self.shares)
        return traced.to_rows() | own | {"shares": shares}

    def _repr_html_(self) -> str | None:
        """Return the page of its trace in a frame, as notebooks show it; None without jinja2."""
        from memlm.pages.trace import trace_page

        try:
            return _framed(trace_page([self.to_rows()]))
        except MissingExtraError:
            return None


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What a person said in a conversation, and what a model went on with."""

    line: str
    answer: str
    """As it was written, with the white space at its beginning."""
    ended_by: Literal["length", "end", "stop", "forbidden", "interrupt"]
    tokens: int
    tokens_per_second: float

    @property
    def shown(self) -> str:
        """The answer as people see it."""
        return self.answer.strip()


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A turn of a conversation, and where its answer comes from."""

    turn: Turn
    trace: Trace | None
    """Of the answer as people see it; None where there are no documents to trace it in."""
    shares: Mapping[str, float]
    """Of the answer as a whole, by expert: weights, counts, ...; they sum to 1."""


@dataclass(frozen=True, kw_only=True)
class Remembered:
    """What was collected in the middle of a conversation."""

    file: str
    characters: int
    """Code points that are new; 0 where all of it was known."""
    takes_part: bool
    """Whether a memory that has it predicts beside the weights."""
    unknown: Mapping[str, int]
    """Symbols of it that the vocabulary lacks, in the order of the text, and how often each."""


def _row(record: object) -> dict[str, object]:
    return dict(vars(record))


def _share_rows(shares: tuple[TokenShare, ...]) -> list[dict[str, object]]:
    return [_row(token) | {"sources": [*map(_row, token.sources)]} for token in shares]


@dataclass(frozen=True, kw_only=True)
class ReadToken:
    """A token as a model read it, and how well it was predicted."""

    start: int
    end: int
    """Code points of the text, end not included; (0, 0) for the token that every text begins after.

    Where tokens are only parts of characters, all that together spell some have the same place.
    """
    text: str
    log_probability: float | None
    """In nats, given all tokens before; None for the first, which nothing predicts."""
    part: int = 1
    parts: int = 1
    """Which of how many tokens with the same place it is."""


@dataclass(frozen=True, kw_only=True, eq=False)
class AttentionLayer:
    """The weights of one block of a network."""

    layer: int
    """Number of the block, from 1; 0 for saliency, which is of the tokens themselves."""
    block: str
    """Kind of the block: attention or transformer; embedding for saliency."""
    heads: npt.NDArray[np.float32]
    """(heads, T, T): row t holds the weights of positions 0 to t, and sums to 1."""


def rounded_weights(row: npt.NDArray[np.float32]) -> list[float]:
    """Return weights as JSON has them: to six places."""
    found: list[float] = row.astype(float).round(6).tolist()
    return found


@dataclass(frozen=True, kw_only=True, eq=False)
class Attention:
    """What a model looked at while it read a text, or what its predictions depended on."""

    text: str
    model: str
    kind: AttentionKind
    tokens: tuple[ReadToken, ...]
    layers: tuple[AttentionLayer, ...]
    """Those that attend, first to last; one alone, with one head, for saliency."""

    def to_json(self) -> dict[str, object]:
        """Return the fields as JSON; row t of a head has its t + 1 weights only."""
        return self._fields(
            lambda head: [rounded_weights(row[: t + 1]) for t, row in enumerate(head)]
        )

    def to_rows(self) -> dict[str, object]:
        """Return the fields as `to_json` does, but every row of weights as an array.

        A weight takes 4 bytes so, and about 40 as a number of Python's.
        """
        return self._fields(lambda head: [row[: t + 1] for t, row in enumerate(head)])

    def _fields(
        self, rows_of: Callable[[npt.NDArray[np.float32]], list[object]]
    ) -> dict[str, object]:
        return {
            "model": self.model,
            "kind": self.kind,
            "tokens": [asdict(token) for token in self.tokens],
            "layers": [
                {
                    "layer": layer.layer,
                    "block": layer.block,
                    "heads": [rows_of(head) for head in layer.heads],
                }
                for layer in self.layers
            ],
        }

    def _repr_html_(self) -> str:
        """Return the page in a frame, as notebooks show it."""
        from memlm.pages.attention import attention_page

        return _framed(attention_page(self.to_rows()))


def _framed(page: str) -> str:
    """Return a page in a frame that may run its own script and nothing else."""
    style = "width: 100%; height: 44rem; border: 0"
    return f'<iframe srcdoc="{escape(page)}" sandbox="allow-scripts" style="{style}"></iframe>'
