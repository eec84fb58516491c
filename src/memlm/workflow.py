"""What must have run before what: the one file that joins the rooms.

Every verb takes a workspace (its folder, or what `open_workspace` returned), first runs what is
missing or stale, says so through its `listener`, and returns a record.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memlm import messages
from memlm.collect import (
    CollectConfig,
    Collection,
    Reading,
    TextFromMemory,
    list_files,
    normalise_text,
    read_file,
    read_text_file,
)
from memlm.documents import DocumentStore
from memlm.errors import ConfigError, CorruptArtefactError, InputError, NotFoundError
from memlm.index import SegmentDocument, is_current, open_index, refresh_index
from memlm.memory import trace_spans
from memlm.prepare import (
    TOKENIZERS,
    CleanConfig,
    CleanedDocuments,
    PrepareConfig,
    TokenStore,
    clean_documents,
    is_clean,
    load_tokenizer,
    settle_config,
    survey_parts,
    tokenizer_name,
    write_token_store,
)
from memlm.records import (
    CollectReport,
    Finding,
    Generation,
    PrepareReport,
    Score,
    SourceProblem,
    SourceText,
    Split,
    Trace,
    TrainReport,
)
from memlm.runtime import choose_device, resend_signal, watch_signals
from memlm.storage import (
    new_file,
    new_folder,
    read_json,
    read_manifest,
    scratch_folder,
    verify_folder,
)
from memlm.train import TrainConfig
from memlm.workspace import Workspace, open_workspace

if TYPE_CHECKING:
    from memlm.generate import GenerateConfig
    from memlm.language_model import LanguageModel, Tokenizer
    from memlm.train.loop import Step
    from memlm.train.run import TrainingRun

_SAMPLES_WHILE_TRAINING = 5
_SAMPLE_TOKENS = 80
AnyWorkspace = Workspace | Path | str


class Listener:
    """Hears what a verb does while it does it. This one writes to the log `memlm`; subclass it."""

    def note(self, code: str, **values: Any) -> None:  # Any: whatever the sentence formats
        """Something that was decided or found: `note.<code>` is its sentence."""
        logging.getLogger("memlm").info(messages.render(f"note.{code}", **values))

    def progress(self, stage: str, done: int, total: int) -> None:
        """How far a long stage is: `stage.<stage>` is its name."""

    def step(self, run: TrainingRun, step: Step, sample: Callable[[], str] | None) -> None:
        """A step of training; `sample()` writes a few words, where that may be shown now."""


# -- collect and prepare ------------------------------------------------------------------------


def collect_documents(
    workspace: AnyWorkspace,
    *sources: Path | str,
    texts: Iterable[TextFromMemory] | None = None,
    config: CollectConfig | None = None,
    split: Split | None = None,
    listener: Listener | None = None,
) -> CollectReport:
    """Bring sources (files, folders, or `texts` from Python) into the documents of a workspace.

    Collecting the same again changes nothing. `split` puts what is collected on one side for good.
    Raises NotFoundError for a source that does not exist, before anything is written, and
    ConfigError for a column that no table has; whatever else cannot be read is in `rejected`.

    >>> import tempfile
    >>> report = collect_documents(tempfile.mkdtemp(), texts=["one text", "and another"])
    >>> report.documents_added, report.characters
    (2, 19)
    """
    hears = listener or Listener()
    if not sources and texts is None:
        raise ConfigError("no_sources")
    paths = [Path(source).expanduser() for source in sources]
    listed = [(path, list(list_files(path))) for path in paths]
    opened = _open(workspace, create=True)
    with (
        opened.writing(),
        DocumentStore(opened.documents_file) as store,
        scratch_folder(opened.path) as scratch,
    ):
        collection = Collection(
            store,
            config or CollectConfig(),
            split=split,
            scratch=scratch,
            note=lambda note: hears.note(note.code, **note.values),
            progress=lambda done, total: hears.progress("collect", done, total),
        )
        for source, files in listed:
            collection.read_source(source, files)
        if texts is not None:
            collection.read_texts(texts)
        report = collection.finish()
        with (
            new_file(opened.rejected_file) as temporary,
            temporary.open("w", encoding="utf-8") as f,
        ):
            f.writelines(json.dumps(asdict(r), ensure_ascii=False) + "\n" for r in store.rejected())
    return report


def prepare_documents(
    workspace: AnyWorkspace,
    *,
    config: PrepareConfig | None = None,
    cleaning: CleanConfig | None = None,
    held_out: Iterable[Path | str] = (),
    processes: int | None = None,
    listener: Listener | None = None,
) -> PrepareReport:
    """Clean the documents and cut them into tokens, unless that was done and nothing has changed.

    Without `config` the tokenizer prepared last is used again, else one that suits the text; so is
    the cleaning. Files in `held_out` are collected as text that is measured on and never learned
    from. The result does not depend on `processes` (None: one a core where there is much to do).
    """
    hears = listener or Listener()
    opened = _open(workspace)
    held_out_files = list(held_out)
    if held_out_files:
        collect_documents(opened, *held_out_files, split="held_out", listener=listener)
    wish = config if config is not None and config != PrepareConfig() else None
    wish = wish or _last_prepare_config(opened) or PrepareConfig()
    wish.check()
    with opened.writing(), _documents(opened) as store:
        digest = store.digest()
        cleaned = _clean(opened, digest, _cleaning(opened, cleaning), processes, hears)
        parts = cleaned.parts()
        settled = settle_config(
            survey_parts(parts), wish, note=lambda code, values: hears.note(code, **values)
        )
        name = tokenizer_name(settled.tokenizer, settled.vocabulary_size)
        folder = opened.prepared(name)
        # A file of a tokenizer lies outside the workspace: it is known by its name from now on.
        kept = settled if settled.tokenizer in TOKENIZERS else replace(settled, tokenizer=name)
        made_from = {
            "documents": digest,
            "config": asdict(kept),
            "cleaning": cleaned.header["config"],
        }
        if not _is_made_from(folder, made_from):
            hears.note("preparing", tokenizer=folder.name)
            with new_folder(folder, made_from=made_from) as temporary:
                write_token_store(
                    temporary,
                    parts,
                    settled,
                    dropped=cleaned.folder / "dropped.jsonl",
                    work=opened.unfinished(name),
                    processes=processes,
                    progress=lambda done, total: hears.progress("prepare", done, total),
                )
        opened.remember(tokenizer=folder.name)
    repeats = cleaned.header["repeats"]
    return replace(
        _open_tokens(folder).report(),
        repeated_passages=repeats["passages"],
        repeated_characters=repeats["characters"],
        cut_characters=repeats["cut"],
    )


def _clean(
    workspace: Workspace,
    digest: str,
    config: CleanConfig,
    processes: int | None,
    listener: Listener,
) -> CleanedDocuments:
    if is_clean(workspace.cleaned, digest=digest, config=config):
        return CleanedDocuments(workspace.cleaned, workspace.documents_file)
    return clean_documents(
        workspace.cleaned,
        workspace.documents_file,
        config,
        processes=processes,
        progress=lambda done, total: listener.progress("clean", done, total),
    )


def _cleaning(workspace: Workspace, wish: CleanConfig | None) -> CleanConfig:
    """Return how to clean: as wished, else as last time."""
    if wish is None and (workspace.cleaned / "cleaned.json").exists():
        last = CleanedDocuments(workspace.cleaned, workspace.documents_file)
        return CleanConfig.from_json(last.header["config"])
    return wish or CleanConfig()


def _last_prepare_config(workspace: Workspace) -> PrepareConfig | None:
    name = workspace.settings().get("tokenizer")
    if name is None or not (workspace.prepared(name) / "manifest.json").exists():
        return None
    last = PrepareConfig(**read_manifest(workspace.prepared(name))["made_from"]["config"])
    if last.tokenizer in TOKENIZERS:
        return last
    return replace(last, tokenizer=str(workspace.prepared(name) / "tokenizer.json"))


def _open_tokens(folder: Path) -> TokenStore:
    verify_folder(folder)
    return TokenStore(folder)


# -- train --------------------------------------------------------------------------------------


def train_model(
    workspace: AnyWorkspace,
    *sources: Path | str,
    config: TrainConfig | None = None,
    collect: CollectConfig | None = None,
    prepare: PrepareConfig | None = None,
    held_out: Iterable[Path | str] = (),
    resume: bool = False,
    listener: Listener | None = None,
) -> TrainReport:
    """Train a network on the documents; collect `sources` and prepare first where that is needed.

    Ctrl-C and SIGTERM end it early with everything saved; `resume` goes on to the same result.
    """
    config, hears = config or TrainConfig(), listener or Listener()
    config.check()
    choose_device(config.device)
    from memlm.train.run import resume_run

    for source in sources:
        if not Path(source).expanduser().exists():
            raise NotFoundError("source_missing", path=source)
    opened = _open(workspace, create=bool(sources))
    if config.name is not None and not resume and opened.model(config.name).exists():
        raise ConfigError("model_exists", model=config.name)
    with opened.writing():
        if sources:
            report = collect_documents(opened, *sources, config=collect, listener=listener)
            hears.note("collected", **asdict(report))
            for item in report.rejected:
                hears.note("rejected", **asdict(item))
        if resume:
            name = config.name or _unfinished(opened)
            run = resume_run(opened.model(name), _tokens_of(opened, name), config)
        else:
            prepare_documents(opened, config=prepare, held_out=held_out, listener=listener)
            run = _new_run(opened, config)
        return _run_training(run, hears)


def _new_run(workspace: Workspace, config: TrainConfig) -> TrainingRun:
    from memlm.train.run import start_run

    tokenizer = workspace.settings()["tokenizer"]
    store = _open_tokens(workspace.prepared(tokenizer))
    documents = read_manifest(store.folder)["made_from"]["documents"]
    name = config.name or _new_name(workspace, config)
    made_from = {"documents": documents, "tokenizer": tokenizer}
    return start_run(workspace.model(name), store, config, made_from=made_from)


def _run_training(run: TrainingRun, listener: Listener) -> TrainReport:
    from memlm.train.run import is_memorising

    listener.note("training", **_plan_facts(run))
    for name in run.damaged_checkpoints:
        listener.note("checkpoint_damaged", checkpoint=name)
    if run.training.step:
        listener.note("resumed", step=run.training.step)
    had_steps, has_warned = run.plan.steps, False
    with watch_signals() as signals:
        for step in run.steps(should_stop=lambda: signals.name is not None):
            if had_steps is None and run.plan.steps is not None:
                had_steps = run.plan.steps
                listener.note("plan_fixed", steps=had_steps)
            listener.step(run, step, _sampler(run, step))
            if step.held_out_loss is not None and not has_warned:
                train_loss = run.per_character(step.loss)
                if is_memorising(train_loss, step.held_out_loss, run.training.best_loss):
                    has_warned = True
                    listener.note("memorising", train=train_loss, held_out=step.held_out_loss)
        return run.finish(stopped_by=signals.name)


def _sampler(run: TrainingRun, step: Step) -> Callable[[], str] | None:
    """Return what writes a sample after this step, at a few steps of the training only."""
    every = max(1, (run.plan.steps or 0) // _SAMPLES_WHILE_TRAINING)
    if run.plan.steps is None or step.step % every or step.step == run.plan.steps:
        return None

    def write() -> str:
        from memlm.generate import GenerateConfig, generate_texts
        from memlm.models.network import NetworkModel

        network = run.training.network
        config = GenerateConfig(tokens=_SAMPLE_TOKENS, seed=step.step, ignore_end=True)
        written = generate_texts(NetworkModel(network), run.store.tokenizer, "", config)
        network.train()
        return written[0].text

    return write


def _plan_facts(run: TrainingRun) -> dict[str, object]:
    shape = run.plan.network
    return {
        "model": run.folder.name,
        "network": shape.kind,
        "parameters": shape.num_parameters,
        "layers": shape.layers,
        "hidden_width": shape.hidden_width,
        "tokens": run.facts.train_tokens,
        "batch_size": run.plan.batch_size,
        "sequence_length": run.plan.sequence_length,
        "threads": run.plan.threads,
        "device": run.training.device,
    }


def _new_name(workspace: Workspace, config: TrainConfig) -> str:
    kind = "lstm" if config.network == "auto" else config.network
    number = 1
    while workspace.model(f"{kind}-{number}").exists():
        number += 1
    return f"{kind}-{number}"


def _unfinished(workspace: Workspace) -> str:
    for name in reversed(workspace.model_names()):
        if read_json(workspace.model(name) / "run.json")["status"] != "finished":
            return name
    raise NotFoundError("nothing_to_resume", path=workspace.path)


def _tokens_of(workspace: Workspace, model: str) -> TokenStore:
    path = workspace.model(model) / "run.json"
    if not path.exists():
        raise NotFoundError("model_missing", model=model, known=_known_models(workspace))
    folder = workspace.prepared(read_json(path)["made_from"]["tokenizer"])
    if not folder.exists():
        raise InputError("resume_other_tokens", model=model)
    return _open_tokens(folder)


# -- models -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Model:
    """A trained model with its tokenizer, ready to be asked."""

    name: str
    predictor: LanguageModel
    tokenizer: Tokenizer
    label_counts: Mapping[str, int]
    """Training documents of each label."""
    documents_digest: str
    """What the documents were when it was trained."""


def load_model(workspace: AnyWorkspace, name: str | None = None, *, device: str = "auto") -> Model:
    """Load a model of a workspace, the newest if no name is given.

    Raises NotFoundError if there is none, CorruptArtefactError if its files have changed.
    """
    opened = _open(workspace)
    if name is None:
        name = next(iter(reversed(_usable_models(opened))), None)
        if name is None:
            raise NotFoundError("no_model", path=opened.path)
    elif not (opened.model(name) / "manifest.json").exists():
        raise NotFoundError("model_missing", model=name, known=_known_models(opened))
    torch_device = choose_device(device)
    from memlm.models.network import NetworkModel, load_network

    folder = opened.model(name)
    verify_folder(folder)
    run = read_json(folder / "run.json")
    try:
        label_counts, documents = run["labels"], run["made_from"]["documents"]
    except (KeyError, TypeError) as error:
        raise CorruptArtefactError("artefact_unreadable", path=folder / "run.json") from error
    return Model(
        name=name,
        predictor=NetworkModel(load_network(folder, device=torch_device)),
        tokenizer=load_tokenizer(folder / "tokenizer.json"),
        label_counts=label_counts,
        documents_digest=documents,
    )


def ensure_model(
    workspace: AnyWorkspace,
    name: str | None = None,
    *,
    config: TrainConfig | None = None,
    prepare: PrepareConfig | None = None,
    listener: Listener | None = None,
) -> Model:
    """Load a model, training one first where the workspace has documents but no model."""
    opened = _open(workspace)
    hears = listener or Listener()
    if name is None and not _usable_models(opened):
        _documents(opened)  # nothing to train on is said as such
        hears.note("no_model_yet")
        report = train_model(opened, config=config, prepare=prepare, listener=listener)
        if report.stopped_by is not None:
            hears.note(
                "stopped",
                signal=report.stopped_by,
                step=report.steps,
                workspace=opened.path,
                model=report.model,
            )
            resend_signal(report.stopped_by)
        name = report.model
    elif (config or TrainConfig()).changed().keys() - {"device"} or prepare not in (
        None,
        PrepareConfig(),
    ):
        hears.note("options_without_training")
    model = load_model(opened, name, device=config.device if config else "auto")
    if opened.documents_file.exists():
        with _documents(opened) as store:
            if store.digest() != model.documents_digest:
                hears.note("model_is_stale", model=model.name)
    return model


def _usable_models(workspace: Workspace) -> list[str]:
    names = workspace.model_names()
    return [name for name in names if (workspace.model(name) / "manifest.json").exists()]


def _known_models(workspace: Workspace) -> str:
    return ", ".join(_usable_models(workspace)) or "—"


# -- ask ----------------------------------------------------------------------------------------


def score_text(model: Model, text: str, *, window: int | None = None) -> Score:
    """Return how well a model predicts a text; see `predict/score.py` for the protocol."""
    from memlm.predict import score_text as score

    return score(model.predictor, model.tokenizer, text, window=window)


def generate_text(
    model: Model,
    prompt: str = "",
    *,
    config: GenerateConfig | None = None,
    trace_in: AnyWorkspace | None = None,
    on_text: Callable[[int, str], None] = lambda sample, text: None,
    listener: Listener | None = None,
) -> list[Generation]:
    """Write texts that go on from a prompt, each traced if `trace_in` names a workspace."""
    from memlm.generate import GenerateConfig as Config
    from memlm.generate import generate_texts

    written = generate_texts(
        model.predictor, model.tokenizer, prompt, config or Config(), on_text=on_text
    )
    if trace_in is None:
        return written
    return [
        replace(one, trace=trace_text(trace_in, one.text, listener=listener)) for one in written
    ]


def trace_text(workspace: AnyWorkspace, text: str, *, listener: Listener | None = None) -> Trace:
    """Trace a text against all documents: which spans are recited or recombined, and from where."""
    opened = _open(workspace)
    _ensure_index(opened, listener or Listener())
    with _documents(opened) as store:
        names: dict[str, str] = {}

        def source_of(identity: str) -> str:
            if identity not in names:
                names[identity] = store.source_of(identity) or identity
            return names[identity]

        return trace_spans(open_index(opened.character_index), text, source_of=source_of)


def evaluate_task(
    model: Model,
    path: Path | str,
    *,
    config: CollectConfig | None = None,
    workspace: AnyWorkspace | None = None,
    listener: Listener | None = None,
) -> dict[str, Finding]:
    """Predict the label of every text in a file and compare: accuracy and macro F1.

    With `workspace`, texts that stand in its documents are noted: they are no test.
    Raises InputError if the file has no labels or the model learned none.
    """
    from memlm.generate.evaluate import evaluate_labels, majority_label
    from memlm.predict import label_probabilities

    if not model.label_counts:
        raise InputError("model_without_labels", model=model.name)
    texts = _labelled_texts(path, config or CollectConfig(), listener or Listener())
    true = [str(item.label) for item in texts]
    never_seen = sum(label not in model.label_counts for label in true)
    if never_seen == len(true):
        found_labels, known = sorted(set(true)), ", ".join(model.label_counts)
        raise InputError("labels_all_unknown", found=", ".join(found_labels[:10]), known=known)
    if never_seen:
        (listener or Listener()).note("labels_never_seen", count=never_seen)
    if workspace is not None:
        collected = count_collected(workspace, [item.text for item in texts], listener=listener)
        if collected:
            (listener or Listener()).note("learned_texts", count=collected, n=len(texts))
    total = sum(model.label_counts.values()) + len(model.label_counts)
    priors = {label: (count + 1) / total for label, count in model.label_counts.items()}
    found = label_probabilities(
        model.predictor, model.tokenizer, [item.text for item in texts], priors=priors
    )
    predicted = [max(shares, key=lambda label: shares[label]) for shares in found]
    return evaluate_labels(true, predicted, majority=majority_label(Counter(model.label_counts)))


def _labelled_texts(
    path: Path | str, config: CollectConfig, listener: Listener
) -> list[SourceText]:
    items = list(read_file(_existing_file(path), Reading(config=config)))
    for item in items:
        if isinstance(item, SourceProblem):
            reason = messages.render(f"error.{item.code}.message", **item.values)
            listener.note("row_left_out", line=item.position, reason=reason)
    texts = [item for item in items if isinstance(item, SourceText)]
    labelled = [item for item in texts if item.label is not None]
    if not labelled:
        raise InputError("file_without_labels", path=path)
    if len(labelled) < len(texts):
        listener.note("rows_without_label", count=len(texts) - len(labelled))
    return labelled


def count_collected(
    workspace: AnyWorkspace, texts: Iterable[str], *, listener: Listener | None = None
) -> int:
    """Return how many of these texts stand whole in the documents, where a model learns them."""
    opened = _open(workspace)
    if not opened.documents_file.exists():
        return 0
    _ensure_index(opened, listener or Listener())
    index = open_index(opened.character_index)
    return sum(index.count(text) > 0 for text in texts)


def read_whole_text(path: Path | str, encoding: str | None = None) -> str:
    """Return a whole file as one text, whatever its ending, decoded and normalised as in `collect`.

    Raises NotFoundError if there is no such file, InputError if it is not text.
    """
    found = read_text_file(_existing_file(path), Reading(config=CollectConfig(encoding=encoding)))
    return next(item.text for item in found if isinstance(item, SourceText))


def text_from_bytes(data: bytes) -> str:
    """Return bytes that came through a pipe as text; InputError if they are not UTF-8."""
    try:
        return normalise_text(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(
            "not_in_encoding", path="-", offset=error.start, encoding="utf-8"
        ) from error


def _existing_file(path: Path | str) -> Path:
    file = Path(path).expanduser()
    if not file.exists():
        raise NotFoundError("source_missing", path=file)
    if not file.is_file():
        raise InputError("not_a_file", path=file)
    return file


# -- shared -------------------------------------------------------------------------------------


def _open(workspace: AnyWorkspace, *, create: bool = False) -> Workspace:
    if isinstance(workspace, Workspace):
        return workspace
    return open_workspace(workspace, create=create)


def _documents(workspace: Workspace) -> DocumentStore:
    if not workspace.documents_file.exists():
        raise NotFoundError("no_documents", path=workspace.path)
    return DocumentStore(workspace.documents_file)


def _ensure_index(workspace: Workspace, listener: Listener) -> None:
    with _documents(workspace) as store:
        if is_current(workspace.character_index, digest=store.digest()):
            return
    with workspace.writing(), _documents(workspace) as store:
        digest = store.digest()
        if store.count() == 0:
            raise NotFoundError("no_documents", path=workspace.path)
        listener.note("indexing", characters=store.characters())
        known = {identity: (content, size) for identity, content, size in store.sizes()}

        def read(identities: Iterable[str]) -> Iterator[SegmentDocument]:
            for identity in identities:
                document = store.get(identity)
                assert document is not None  # nobody else writes while we hold the lock
                yield SegmentDocument(identity, known[identity][0], document.text)

        refresh_index(
            workspace.character_index,
            digest=digest,
            documents=known,
            read=read,
            progress=lambda done, total: listener.progress("index", done, total),
        )


def _is_made_from(folder: Path, made_from: Mapping[str, object]) -> bool:
    if not (folder / "manifest.json").exists():
        return False
    return bool(read_manifest(folder)["made_from"] == made_from)
