"""Which label? What the weights say of each, and what the nearest examples carry, as one share.

    p(label) = (1 - s) softmax(log p(label | source) / T) + s sum over the nearest e^(score / N)

as nearest-neighbour language models blend (Khandelwal et al. 2020). The share s, the temperatures T
and N are those with which held-out examples are likeliest; they are fitted when they are first
asked for, and kept beside the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from memlm.errors import CorruptArtefactError, InputError, NotFoundError
from memlm.language_model import LanguageModel
from memlm.records import NearExample
from memlm.storage import read_json, write_json
from memlm.tasks import read_example
from memlm.workflow.adapting import tokens_learned
from memlm.workflow.blend_fitting import weights_hash_of
from memlm.workflow.examples import NearExamples
from memlm.workflow.listener import Listener
from memlm.workflow.models import MEMORY, Model
from memlm.workspace import read_run

NEIGHBOURS = 16
_FILE, _FORMAT = "labels.json", 1
_MOST_FITTED = 500
_FEWEST_FITTED = 30
_TEMPERATURES = np.geomspace(0.25, 8.0, 41)
_NEAR_TEMPERATURES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
_SHARES = np.linspace(0.0, 0.9, 19)
_LEAST = 1e-9


@dataclass(frozen=True)
class LabelFit:
    """How scores become probabilities."""

    temperature: float = 1.0
    near_temperature: float = 4.0
    share: float = 0.0
    """Of the nearest examples."""
    examples: int = 0
    """Held-out examples that it was fitted on."""


class Labeller:
    """Tells the probabilities of all labels that a model has learned."""

    def __init__(
        self,
        model: Model,
        predictor: LanguageModel,
        near: NearExamples,
        memories: Sequence[str] | None,
        listener: Listener,
    ) -> None:
        self._model, self._predictor, self._near = model, predictor, near
        self._listener, self._uses_near = listener, memories != ()
        self.counts = _label_counts(model)
        self.labels = list(self.counts)
        key = "+".join(sorted(memories)) if memories else ("weights" if memories == () else "near")
        self._fit = self._kept_or_fitted(key)

    def shares(
        self, ids: npt.NDArray[np.int64], examples: Sequence[NearExample]
    ) -> dict[str, float]:
        """Return the probability of each label behind a question (its tokens); they sum to 1."""
        from memlm.generate.answer import label_scores

        scores = label_scores(self._predictor, self._model.tokenizer, ids, self.labels)
        near = _near_scores(examples, self.labels)
        found = _blended(scores[None], near[None], self._fit)[0]
        return dict(zip(self.labels, found.tolist(), strict=True))

    def _kept_or_fitted(self, key: str) -> LabelFit:
        if self._model.name == MEMORY:
            return LabelFit(share=0.5 if self._uses_near else 0.0)
        weights = weights_hash_of(self._model)
        kept = self._kept(weights)
        if key in kept:
            return LabelFit(**kept[key])
        self._listener.note("labels_fitting", model=self._model.name)
        fit = self._fitted()
        with self._model.workspace.writing():
            folder = self._model.workspace.model(self._model.name)
            fits = kept | {key: asdict(fit)}
            write_json(folder / _FILE, {"format": _FORMAT, "weights": weights, "fits": fits})
        return fit

    def _kept(self, weights: str) -> dict[str, Any]:  # Any: JSON
        path = self._model.workspace.model(self._model.name) / _FILE
        try:
            found = read_json(path)
            is_current = found["format"] == _FORMAT and found["weights"] == weights
            return dict(found["fits"]) if is_current else {}
        except NotFoundError:
            return {}
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptArtefactError("artefact_unreadable", path=path) from error

    def _fitted(self) -> LabelFit:
        """Return what fits the held-out examples best."""
        from memlm.generate.answer import encode_question, label_scores

        scores, near, right = [], [], []
        held_out = list(islice(self._held_out(), _MOST_FITTED))
        for number, (source, label) in enumerate(held_out):
            ids = encode_question(self._model.tokenizer, source)
            scores.append(label_scores(self._predictor, self._model.tokenizer, ids, self.labels))
            examples = self._near.nearest(source, limit=NEIGHBOURS) if self._uses_near else []
            near.append(_near_scores(examples, self.labels))
            right.append(self.labels.index(label))
            self._listener.progress("labels", number + 1, len(held_out))
        if len(right) < _FEWEST_FITTED:
            self._listener.note("labels_not_fitted", model=self._model.name, examples=len(right))
            return LabelFit()
        return _best_fit(np.array(scores), np.array(near), np.array(right), self._uses_near)

    def _held_out(self) -> Any:  # Any: an iterator of (source, label)
        store = tokens_learned(self._model)
        if store is None:
            return
        units = store.units_of("held_out")
        order = np.random.Generator(np.random.Philox(0)).permutation(len(units))
        for number in order.tolist():
            text = self._near.text_of(store.document_ids[int(units[number]["document"])])
            example = read_example(text) if text is not None else None
            if example is not None and example[1] in self.counts:
                yield example


def _label_counts(model: Model) -> Mapping[str, int]:
    """Return the labels that a model has learned, and how many examples carried each."""
    if model.name == MEMORY:
        raise InputError("labels_need_model")
    counts = read_run(model.workspace.model(model.name)).get("targets")
    if not counts:
        raise InputError("model_without_labels", model=model.name)
    return dict(counts)


def _near_scores(examples: Sequence[NearExample], labels: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return label number and score of each near example, (NEIGHBOURS, 2); -1 where none is."""
    found = np.full((NEIGHBOURS, 2), -1.0)
    place = {label: number for number, label in enumerate(labels)}
    known = [(place[one.answer], one.score) for one in examples if one.answer in place]
    for row, pair in enumerate(known[:NEIGHBOURS]):
        found[row] = pair
    return found


def _near_shares(
    near: npt.NDArray[np.float64], labels: int, temperature: float
) -> npt.NDArray[np.float64]:
    """Return what the nearest examples say of each label, (N, L); rows of none are all 0."""
    is_there = near[..., 0] >= 0
    best = np.where(is_there, near[..., 1], -np.inf).max(axis=1, initial=0.0, keepdims=True)
    weights = np.where(is_there, np.exp((near[..., 1] - best) / temperature), 0.0)
    found = np.zeros((len(near), labels))
    rows = np.repeat(np.arange(len(near)), near.shape[1])
    np.add.at(found, (rows, np.maximum(near[..., 0], 0).astype(int).ravel()), weights.ravel())
    return np.asarray(found / np.maximum(_LEAST, found.sum(axis=1, keepdims=True)))


def _blended(
    scores: npt.NDArray[np.float64], near: npt.NDArray[np.float64], fit: LabelFit
) -> npt.NDArray[np.float64]:
    """Return the probabilities (N, L) of scores (N, L) and near examples (N, NEIGHBOURS, 2)."""
    from memlm.generate.answer import shares_of

    weights = shares_of(scores, fit.temperature)
    said = _near_shares(near, scores.shape[1], fit.near_temperature)
    share = np.where(said.sum(axis=1, keepdims=True) > 0, fit.share, 0.0)
    return np.asarray((1 - share) * weights + share * said)


def _best_fit(
    scores: npt.NDArray[np.float64],
    near: npt.NDArray[np.float64],
    right: npt.NDArray[np.int64],
    uses_near: bool,
) -> LabelFit:
    """Return the fit with which the right labels are likeliest."""
    from memlm.generate.answer import shares_of

    rows = np.arange(len(right))
    by_weights = np.array([shares_of(scores, one)[rows, right] for one in _TEMPERATURES])
    best, found = np.inf, LabelFit(examples=len(right))
    for near_temperature in _NEAR_TEMPERATURES if uses_near else _NEAR_TEMPERATURES[:1]:
        said = _near_shares(near, scores.shape[1], near_temperature)
        is_there, said = said.sum(axis=1) > 0, said[rows, right]
        for share in _SHARES if uses_near else _SHARES[:1]:
            own = np.where(is_there, share, 0.0)
            losses = -np.log((1 - own) * by_weights + own * said + _LEAST).mean(axis=1)
            place = int(np.argmin(losses))
            if losses[place] < best:
                best = float(losses[place])
                found = LabelFit(
                    float(_TEMPERATURES[place]), near_temperature, float(share), len(right)
                )
    return found
