"""Tasks as text: a source and its target are written as one document, and the target is read back.

    source ␟ target        the sign between them, a token of its own, stands in no other place

So whatever learns, remembers, traces and forgets text does so with a task too, and knows nothing of
it: a question is a text that ends with the sign, and its answer is how the text goes on. Floor 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

from memlm.errors import ConfigError, InputError

TaskKind = Literal["translate", "reply", "summarise", "classify"]
TASK_KINDS: tuple[TaskKind, ...] = get_args(TaskKind)

MARK = "\u241f"
"""␟, the visible sign for Unicode's unit separator: nobody types it."""

_LABELS = ("label", "category", "class", "sentiment", "intent", "标签", "类别", "分类", "情感")
_SOURCES = ("source", "src", "input", "question", "prompt", "原文", "输入", "问题")
_TEXTS = ("text", "content", "body", "article", "document", "review", "sentence", "message")
_TEXTS_ZH = ("文本", "内容", "正文", "评论", "句子", "文章")


@dataclass(frozen=True)
class Task:
    """What one kind of task calls its columns."""

    kind: TaskKind
    source_names: tuple[str, ...]
    target_names: tuple[str, ...]


_TASKS = {
    "translate": Task("translate", (*_SOURCES, "text"), ("target", "tgt", "translation", "译文")),
    "reply": Task(
        "reply",
        (*_SOURCES, "context", "message", "text", "对话", "上文"),
        ("target", "reply", "response", "answer", "output", "回复", "回答"),
    ),
    "summarise": Task(
        "summarise",
        (*_SOURCES, *_TEXTS, "abstract", *_TEXTS_ZH, "摘要"),
        ("target", "summary", "title", "subject", "headline", "output", "概要", "标题"),
    ),
    "classify": Task("classify", (*_TEXTS, *_SOURCES, *_TEXTS_ZH), (*_LABELS, "target")),
}  # fmt: skip


def task_of(kind: str) -> Task:
    """Return the task of this name; ConfigError if there is none."""
    if kind not in _TASKS:
        raise ConfigError("task_unknown", task=kind, known=", ".join(TASK_KINDS))
    return _TASKS[kind]


def write_example(source: str, target: str) -> str:
    """Return an example as one text; InputError for a part that is empty or has the sign in it.

    >>> write_example("Good night.", "Gute Nacht.")
    'Good night.␟Gute Nacht.'
    """
    return write_question(source) + _part(target, "target_empty")


def write_question(source: str) -> str:
    """Return the text whose continuation is the answer."""
    return _part(source, "source_empty") + MARK


def read_example(text: str) -> tuple[str, str] | None:
    """Return the source and the target of an example; None for a text that is none."""
    source, mark, target = text.partition(MARK)
    return (source, target) if mark else None


def stretches_of(text: str, start: int = 0, end: int | None = None) -> list[tuple[int, int]]:
    """Return where the parts of an example lie between two places: source, sign, target.

    What is cut into tokens apart has the sign as tokens of its own. A text that is no example is
    one stretch.
    """
    end = len(text) if end is None else end
    mark = text.find(MARK, start, end)
    if mark < 0:
        return [(start, end)]
    cuts = (start, mark, mark + len(MARK), end)
    return [(low, high) for low, high in pairwise(cuts) if low < high]


def _part(text: str, if_empty: str) -> str:
    text = text.strip()
    if not text:
        raise InputError(if_empty)
    if MARK in text:
        raise InputError("mark_in_text", mark=MARK)
    return text
