"""One part of the corpus is cleaned: every document goes through the steps, and has its fate noted.

What is written depends on the documents and the steps alone, so parts can be cleaned by any process
in any order. What copies and repeats are told by later, hashes of the text and of its shingles, is
written here too: no text is read twice for it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from memlm.prepare.clean_config import CleanConfig
from memlm.prepare.cleaned import estimated_han, pack_origin
from memlm.prepare.draft import Draft
from memlm.prepare.duplicates import BANDS, Keys, sign_texts
from memlm.prepare.fates import FATE
from memlm.prepare.repeats import write_fingerprints
from memlm.prepare.text_steps import apply_steps, steps_around_copies
from memlm.prepare.winnow import fingerprints
from memlm.records import Document, Dropped

_SIGNED_AT_ONCE = 64
_SIGNED_CHARACTERS = 1_000_000
_MASK = (1 << 64) - 1
TARGETS = frozenset({
    "target", "targets", "answer", "answers", "summary", "highlights", "translation", "response",
    "reply", "output", "outputs", "completion", "chosen", "rejected", "solution", "gold",
    "reference", "目标", "摘要", "总结", "译文", "翻译", "回复", "回答", "答案", "答复", "响应",
    "输出", "目標", "總結", "譯文", "翻譯", "回覆", "輸出",
})  # fmt: skip
"""Fields, in small letters, that say what a document teaches, as its label does."""


class PartWriter:
    """Takes documents through the steps and writes what became of them."""

    def __init__(self, folder: Path, config: CleanConfig) -> None:
        self._folder, self._config = folder, config
        self._steps, self._last_steps = steps_around_copies(config)
        self._fates: list[tuple[Any, ...]] = []
        self._unsigned: list[str] = []
        self._final: list[str] = []
        self._keys: list[Keys] = []
        self._prints: list[tuple[Keys, npt.NDArray[np.int64]]] = []
        self._labels: Counter[str] = Counter()
        self._has_held_out = False
        self._bytes = self._stretches = self._signed = self._waiting = 0

    def __enter__(self) -> None:
        self._files = ExitStack()
        lists = ("dropped.jsonl", "personal.jsonl", "removed.jsonl")
        names = ("texts.bin", "origins.bin", "fates.bin", *lists)
        self._texts, self._origins, self._fate_file, self._drops, self._personal, self._removed = (
            self._files.enter_context((self._folder / name).open("wb")) for name in names
        )

    def __exit__(self, *error: object) -> None:
        if self._unsigned and error[0] is None:
            self._sign()
        self._files.close()

    def add(self, document: Document) -> None:
        """Clean one document and note its fate."""
        found = apply_steps(self._steps, Draft(document=document, text=document.text))
        compared = "" if isinstance(found, Dropped) else found.text
        if self._last_steps and isinstance(found, Draft):
            found = apply_steps(self._last_steps, found)
        text = "" if isinstance(found, Dropped) else found.text
        texts, stretches = self._bytes, self._stretches
        is_changed = isinstance(found, Draft) and found.origin is not None
        if isinstance(found, Dropped):
            self._drops.write(drop_line(found))
        else:
            self._note_kind(document)
            self._note_losses(found)
            if found.origin is not None:
                self._write_text(text, pack_origin(found.origin))
        kind = _hash64(document.label or "", *_targets(document))
        self._fates.append(
            (
                document.id.encode("ascii"),
                int(document.id, 16) & _MASK,
                isinstance(found, Draft),
                is_changed,
                document.split is not None,
                *(texts, self._bytes, stretches, self._stretches),
                len(text),
                estimated_han(text),
                tuple(_hash64(name, str(kind), compared) for name in "12"),
                _hash64(compared),
                kind,
                _hash_fields(document),
            )
        )
        self._unsigned.append(compared)
        self._final.append(text)
        self._waiting += len(text)
        if len(self._unsigned) >= _SIGNED_AT_ONCE or self._waiting >= _SIGNED_CHARACTERS:
            self._sign()

    def finish(self) -> None:
        """Write what is known only at the end."""
        with (self._folder / "signed.bin").open("wb") as file:
            # Band by band, as they are read: one band of all documents at a time fits in memory.
            for band in range(BANDS):
                file.writelines(keys[:, band].astype("<u8").tobytes() for keys in self._keys)
        hashes, places = (np.concatenate(found) for found in zip(*self._prints, strict=True))
        write_fingerprints(self._folder / "prints.bin", hashes, places)
        noted = {"labels": self._labels, "has_held_out": self._has_held_out}
        counts = {"survey": noted}
        (self._folder / "counts.json").write_text(json.dumps(counts), encoding="utf-8")

    def _note_kind(self, document: Document) -> None:
        """Note what must be known of all documents before they are cut."""
        if document.label is not None:
            self._labels[document.label] += 1
        self._has_held_out |= document.split == "held_out"

    def _note_losses(self, draft: Draft) -> None:
        """Write what one document lost; whether it counts is known when copies are."""
        if draft.removed:
            self._removed.write(_json_line({"document_id": draft.document.id, **draft.removed}))
        for place in draft.masked:
            self._personal.write(_json_line(asdict(place)))

    def _write_text(self, text: str, stretches: npt.NDArray[np.int64]) -> None:
        self._bytes += self._texts.write(text.encode("utf-8"))
        self._origins.write(stretches.astype("<i8").tobytes())
        self._stretches += len(stretches)

    def _sign(self) -> None:
        self._fate_file.write(np.array(self._fates, dtype=FATE).tobytes())
        if self._config.finds_near_copies:
            self._keys.append(sign_texts(self._unsigned))
        hashes, places = fingerprints(self._final if self._config.finds_repeats else [])
        self._prints.append((hashes, places + self._signed))
        self._signed += self._waiting
        self._fates, self._unsigned, self._final, self._waiting = [], [], [], 0


def drop_line(dropped: Dropped) -> bytes:
    """Return the line of `dropped.jsonl` for one document."""
    line = {
        "id": dropped.document_id,
        "step": dropped.step,
        "reason": dropped.reason,
        "values": dict(dropped.values),
    }
    return _json_line(line)


def _json_line(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8") + b"\n"


def _targets(document: Document) -> list[str]:
    named = ((name.strip().casefold(), value) for name, value in document.fields.items())
    found = sorted((name, str(value)) for name, value in named if name in TARGETS)
    return [text for pair in found for text in pair]


def _hash_fields(document: Document) -> int:
    return _hash64(json.dumps(dict(document.fields), sort_keys=True, ensure_ascii=False))


def _hash64(*texts: str) -> int:
    digest = hashlib.blake2b(digest_size=8)
    for text in texts:
        data = text.encode("utf-8")
        digest.update(len(data).to_bytes(8, "big") + data)
    return int.from_bytes(digest.digest(), "big")
