"""Where everything of one workspace lies, and whether it still fits what it was made from.

A workspace is a folder that mirrors the rooms; it holds no absolute path and can be moved. What an
artefact was made from stands in its own manifest, so that the two can never disagree;
`workspace.json` holds the schema version and which tokenizer and model were made last.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from memlm.errors import CorruptArtefactError, InputError, NotFoundError, ResourceError
from memlm.storage import (
    WriterLock,
    clean_leftovers,
    is_leftover,
    is_sealed,
    machine_errors,
    new_file,
    read_json,
    read_manifest,
    write_json,
)
from memlm.tasks import TASK_KINDS, TaskKind

SCHEMA_VERSION = 2
STATES_FILE = "memory.json"
"""Says what the states in a folder are of; written last."""
_CHAT_PATIENCE = 5.0
"""Seconds; whoever writes a conversation takes a moment."""
BROUGHT_FILE = "brought.json"
"""Says what a brought model is; its weights are not in the workspace."""
_WEIGHTS = (
    "model.safetensors",
    "huggingface/model*.safetensors",
    "adapter/adapter_model.safetensors",
)
"""Files of a model that change with what was learned; of several parts the first tells it."""
RUN_STATES = ("running", "stopped", "finished", "diverged")
_NAME = re.compile(r"[\w.-]+", re.UNICODE)
# What every `run.json` says, and as what.
_RUN = {
    "started": str, "status": str, "labels": dict, "config": dict,
    "made_from": {"documents": str, "tokenizer": str, "tokens": str},
    "plan": {"network": {"kind": str}},
}  # fmt: skip


class Workspace:
    """The paths of one workspace, the lock on it, and its few remembered choices."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = WriterLock(path / "lock")
        self._writers = 0

    @property
    def settings_file(self) -> Path:
        return self.path / "workspace.json"

    @property
    def documents_file(self) -> Path:
        return self.path / "documents.sqlite"

    @property
    def rejected_file(self) -> Path:
        return self.path / "rejected.jsonl"

    @property
    def statistics_file(self) -> Path:
        """What the documents are made of, as it was last measured."""
        return self.path / "statistics.json"

    @property
    def statistics_page(self) -> Path:
        """The same as a page for people."""
        return self.path / "statistics.html"

    @property
    def attention_page(self) -> Path:
        """What a model looked at in the text that it was asked about last."""
        return self.path / "attention.html"

    @property
    def trace_page(self) -> Path:
        """Where the words of the texts that were traced last come from."""
        return self.path / "trace.html"

    @property
    def character_index(self) -> Path:
        """Folder of the suffix segments over the characters of the collected text."""
        return self.path / "index" / "characters"

    def folded_index(self, folds: Iterable[str]) -> Path:
        """Folder of the same over documents that were folded: `characters-folded-case-space`."""
        return self.path / "index" / "-".join(["characters-folded", *folds])

    def folded_indexes(self) -> list[Path]:
        """Return the folders of all such indexes that are here."""
        return sorted(self.path.glob("index/characters-folded-*"))

    @property
    def cleaned(self) -> Path:
        """Folder of the cleaned documents, which all tokenizers share."""
        return self.path / "cleaned"

    def unfinished(self, tokenizer: str) -> Path:
        """Folder where parts of the tokens of `tokenizer` wait for the others."""
        return self.path / "prepared" / f".{tokenizer}.work"

    def unfinished_folders(self) -> list[Path]:
        """Return the folders of all parts that wait for others."""
        return sorted(self.path.glob("prepared/.*.work"))

    def prepared(self, tokenizer: str) -> Path:
        """Folder of the tokens that `tokenizer` made."""
        return self.path / "prepared" / tokenizer

    def counts_memory(self, tokenizer: str) -> Path:
        """Folder of the memory that counts the tokens of `tokenizer`."""
        return self.path / "memory" / "counts" / tokenizer

    def vector_memory(self, weights_hash: str) -> Path:
        """Folder of the states that the network with these weights had."""
        return self.path / "memory" / "vectors" / weights_hash[:16]

    def vector_memories(self) -> list[Path]:
        """Return the folders of all such states that are here."""
        return sorted(path.parent for path in self.path.glob(f"memory/vectors/*/{STATES_FILE}"))

    def chat(self, name: str) -> Path:
        """File of the conversation `name`; InputError if that cannot be the name of a file."""
        if not _is_name(name):
            raise InputError("chat_name", name=name)
        return self.chats / f"{name}.json"

    @property
    def chats(self) -> Path:
        """Folder of the conversations that were held with models."""
        return self.path / "chats"

    def chat_names(self) -> list[str]:
        """Return the names of all conversations, sorted."""
        found = (path for path in self.chats.glob("*.json") if not is_leftover(path.name))
        return sorted(path.stem for path in found if _is_name(path.stem))

    @contextmanager
    def writing_chats(self) -> Iterator[None]:
        """Hold the right to write conversations, for which no training need be waited for."""
        with machine_errors(self.chats):
            self.chats.mkdir(exist_ok=True)
        lock = WriterLock(self.chats / "lock")
        lock.acquire(patience_seconds=_CHAT_PATIENCE)
        try:
            with machine_errors(self.chats):
                clean_leftovers(self.chats)
            yield
        finally:
            lock.release()

    def memory_names(self) -> list[str]:
        """Return the tokenizers whose tokens a memory has counted."""
        folder = self.path / "memory" / "counts"
        return sorted(path.parent.name for path in folder.glob("*/segments.json"))

    def model(self, name: str) -> Path:
        """Folder of the model `name`; InputError if that cannot be the name of a folder."""
        if not _is_name(name):
            raise InputError("model_name", name=name)
        return self.path / "models" / name

    def has_model(self, name: str) -> bool:
        """Say whether the name is taken.

        A folder is nobody's where a start that failed has left it: empty, or with no more than the
        tokenizer.
        """
        folder = self.model(name)
        if not folder.is_dir():
            return folder.exists()
        return any(
            entry.name != "tokenizer.json" and not is_leftover(entry.name)
            for entry in folder.iterdir()
        )

    def model_names(self) -> list[str]:
        """Return the names of all models, finished or not, oldest first.

        One whose record is damaged counts as the oldest: it is nobody's first choice.
        """
        folder = self.path / "models"
        found = [run for run in folder.glob("*/run.json") if not is_leftover(run.parent.name)]
        return [run.parent.name for run in sorted(found, key=lambda run: (_started(run), run))]

    def has_written_model(self, name: str) -> bool:
        """Say whether there is a model of this name that was trained here, and can be asked."""
        return _is_name(name) and is_sealed(self.model(name)) and not self.is_brought(name)

    def brought_names(self) -> list[str]:
        """Return the names of all models that were brought here: their weights lie elsewhere."""
        return sorted(path.parent.name for path in self.path.glob(f"models/*/{BROUGHT_FILE}"))

    def is_brought(self, name: str) -> bool:
        """Say whether something was computed for a brought model of this name."""
        return _is_name(name) and (self.model(name) / BROUGHT_FILE).exists()

    def weights_hash(self, name: str) -> str | None:
        """Return the hash of a model's weights; None where it has none yet, or its list is lost."""
        try:
            manifest = read_manifest(self.model(name))
            if self.is_brought(name):
                return str(manifest["made_from"]["weights"])
            files = manifest["files"]
            names = (name for one in _WEIGHTS for name in sorted(files) if fnmatchcase(name, one))
            return str(files[next(names)]["sha256"])
        except (NotFoundError, CorruptArtefactError, KeyError, StopIteration):
            return None

    def models_with_states(self, folder: Path) -> list[str]:
        """Return the models whose network had the states in a folder."""
        return [
            name
            for name in (*self.model_names(), *self.brought_names())
            if (found := self.weights_hash(name)) and self.vector_memory(found) == folder
        ]

    def tokenizer_names(self) -> list[str]:
        """Return the names of all tokenizers whose tokens are here."""
        return sorted(entry.parent.name for entry in (self.path / "prepared").glob("*/store.json"))

    def settings(self) -> dict[str, Any]:  # Any: JSON values
        """Return what `workspace.json` says; nothing where that is not ours."""
        found = read_json(self.settings_file)
        if not isinstance(found, dict):
            return {}
        tokenizer = found.get("tokenizer", "")
        if "tokenizer" in found and not (isinstance(tokenizer, str) and _is_name(tokenizer)):
            raise CorruptArtefactError("artefact_unreadable", path=self.settings_file)
        return found

    @property
    def task(self) -> TaskKind | None:
        """What the documents are examples of; None: they are texts."""
        found = self.settings().get("task")
        return found if found in TASK_KINDS else None

    def remember(self, **choices: object) -> None:
        """Store choices (the last tokenizer, ...) in `workspace.json`; None is no choice."""
        found = self.settings() | choices
        kept = {name: value for name, value in found.items() if value is not None}
        write_json(self.settings_file, kept)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the right to write; nested calls in one process share it."""
        if self._writers == 0:
            self._lock.acquire()
        self._writers += 1
        try:
            if self._writers == 1:
                self._tidy()
            yield
        finally:
            self._writers -= 1
            if self._writers == 0:
                self._lock.release()

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Keep writers away while something is read in several steps.

        Where this process may not write, on a medium that is read only, say, it is read without.
        """
        with ExitStack() as held:
            with suppress(ResourceError):
                held.enter_context(self.writing())
            yield

    def discard(self) -> None:
        """Remove a workspace in which nothing was ever finished; its folder if it is then empty."""
        for file in (self.documents_file, self.settings_file, self._lock.path):
            file.unlink(missing_ok=True)
        with suppress(OSError):  # something else is in it
            self.path.rmdir()

    def _tidy(self) -> None:
        models = self.path / "models"
        with machine_errors(self.path):
            for folder in (
                self.path, self.character_index, *self.folded_indexes(), self.path / "prepared",
                models, self.cleaned, *self.unfinished_folders(), *self.path.glob("memory/*"),
                *self.path.glob("memory/*/*"),
            ):  # fmt: skip
                clean_leftovers(folder)
            for folder in (*models.glob("*"), *models.glob("*/checkpoints")):
                clean_leftovers(folder)


def open_workspace(path: Path | str, *, create: bool = False) -> Workspace:
    """Return the workspace in the folder `path`, made anew if `create` and there is none.

    Raises NotFoundError if there is none, InputError if the folder is something else or was
    written by a newer memlm.

    >>> import tempfile
    >>> open_workspace(tempfile.mkdtemp(), create=True).tokenizer_names()
    []
    """
    workspace = Workspace(Path(path).expanduser())
    with machine_errors(workspace.path):
        has_settings = workspace.settings_file.is_file()
    if has_settings:
        _check_schema(workspace)
        return workspace
    if workspace.path.exists() and not workspace.path.is_dir():
        raise InputError("workspace_is_a_file", path=workspace.path)
    if not create and not workspace.path.exists():
        raise NotFoundError("workspace_missing", path=workspace.path)
    if workspace.path.exists() and any(
        entry.name != "lock" and not is_leftover(entry.name) for entry in workspace.path.iterdir()
    ):
        raise InputError("workspace_is_another_folder", path=workspace.path)
    if not create:
        raise NotFoundError("workspace_missing", path=workspace.path)
    write_json(workspace.settings_file, {"schema_version": SCHEMA_VERSION})
    return workspace


def _check_schema(workspace: Workspace) -> None:
    version = workspace.settings().get("schema_version")
    if not isinstance(version, int) or version < 1:
        raise InputError("workspace_is_another_folder", path=workspace.path)
    if version > SCHEMA_VERSION:
        raise InputError(
            "workspace_is_newer", path=workspace.path, version=version, known=SCHEMA_VERSION
        )
    if version < SCHEMA_VERSION:
        # Said first, so that an older memlm keeps away; the documents follow when they are opened.
        with workspace.writing():
            workspace.remember(schema_version=SCHEMA_VERSION)


def find_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints below `folder`, newest first."""
    found = [path for path in folder.glob("step-*") if path.name[5:].isdigit()]
    return sorted(found, key=lambda path: int(path.name[5:]), reverse=True)


def name_latest(checkpoint: Path) -> None:
    """Write which checkpoint is the newest into the file `latest`, for people and scripts."""
    with new_file(checkpoint.with_name("latest")) as temporary:
        temporary.write_text(checkpoint.name + "\n", encoding="ascii")


def read_run(folder: Path) -> dict[str, Any]:  # Any: JSON values
    """Return what `run.json` says of the training in a model's folder.

    Raises NotFoundError if there is none, CorruptArtefactError if it is not as memlm writes it.
    """
    path = folder / "run.json"
    found = read_json(path)
    results = found.get("results") if isinstance(found, dict) else None
    if (
        not _has(found, _RUN)
        or found["status"] not in RUN_STATES
        or not all(type(count) is int for count in found["labels"].values())
        or not (results is None or _has(results, {"parameters": int}))
    ):
        raise CorruptArtefactError("artefact_unreadable", path=path)
    return dict(found)


def is_taught(run: Mapping[str, Any]) -> bool:  # Any: JSON
    """Say whether `run.json` tells of a model of the Hugging Face kind."""
    origin = run.get("origin")
    return isinstance(origin, dict) and origin.get("kind") == "huggingface"


def is_adapter(run: Mapping[str, Any]) -> bool:  # Any: JSON
    """Say whether only an adapter was learned."""
    plan = run.get("plan")
    return isinstance(plan, dict) and plan.get("adapter_rank") is not None


def _has(value: object, shape: Mapping[str, Any]) -> bool:  # Any: a type, or a shape again
    """Say whether a JSON value is an object that has these keys, with such values."""
    return isinstance(value, dict) and all(
        _has(value.get(name), expected)
        if isinstance(expected, Mapping)
        else isinstance(value.get(name), expected)
        for name, expected in shape.items()
    )


def _is_name(name: str) -> bool:
    """Say whether this can be the name of a folder of ours."""
    return _NAME.fullmatch(name) is not None and not name.startswith(".")


def _started(run: Path) -> str:
    try:
        found = read_json(run)
    except CorruptArtefactError:
        return ""
    return str(found["started"]) if _has(found, {"started": str}) else ""
