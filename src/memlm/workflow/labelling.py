"""Which label? What the weights say of each, the words that stood under it, the nearest examples.

    p(label) ~ exp(sum over k of w_k log p_k(label))      k: network, word counts, nearest examples

The weights w are those with which held-out examples are likeliest, a convex problem; so is how sure
each is (a single w is the temperature of Guo et al. 2017). Of the nearest examples each has a say
of e^(score / N), as in nearest-neighbour language models (Khandelwal et al. 2020). All is fitted
when it is first asked for, and kept beside the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from memlm.errors import CorruptArtefactError, InputError, NotFoundError
from memlm.language_model import LanguageModel
from memlm.memory.label_counts import LabelCounts
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
_MOST_FITTED = 1000
_FEWEST_FITTED = 30
_NEAR_TEMPERATURES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
_EVEN_SHARE = 0.1
"""Of what the nearest examples say, for labels that none of them carries."""
_PRIOR = 2.0
"""Held-out examples that an even weight of each is worth: few that are all right prove little."""
_MOST_ROUNDS = 100
_EVEN = (1 / 3, 1 / 3, 1 / 3)
Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LabelFit:
    """How much each is believed."""

    weights: tuple[float, ...] = (1.0, 0.0, 0.0)
    """Of the network, the word counts, the nearest examples."""
    near_temperature: float = 4.0
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
        self, source: str, ids: npt.NDArray[np.int64], examples: Sequence[NearExample]
    ) -> dict[str, float]:
        """Return the probability of each label of a source; they sum to 1.

        `ids` are the tokens of the question, `examples` those that are nearest to it.
        """
        own, counted = self._network_says(ids), self._counts_say(source)
        near = _near_says(_near_scores(examples, self.labels)[None], self._fit, len(self.labels))
        found = _blended(np.stack([own, counted, near[0]])[None], self._fit.weights)[0]
        return dict(zip(self.labels, found.tolist(), strict=True))

    def _network_says(self, ids: npt.NDArray[np.int64]) -> Scores:
        from memlm.generate.answer import label_scores

        scores = label_scores(self._predictor, self._model.tokenizer, ids, self.labels)
        return _normalised(scores)

    def _counts_say(self, source: str) -> Scores:
        if not self._uses_near:
            return np.zeros(len(self.labels))
        return self._word_counts.log_probabilities(source)

    @cached_property
    def _word_counts(self) -> LabelCounts:
        return LabelCounts(self._near.examples(), self.labels)

    def _kept_or_fitted(self, key: str) -> LabelFit:
        weights = weights_hash_of(self._model)
        kept = self._kept(weights)
        if key in kept:
            return LabelFit(**kept[key] | {"weights": tuple(kept[key]["weights"])})
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
        from memlm.generate.answer import encode_question

        said, near, right = [], [], []
        held_out = list(islice(self._held_out(), _MOST_FITTED))
        for number, (source, label) in enumerate(held_out):
            ids = encode_question(self._model.tokenizer, source)
            said.append([self._network_says(ids), self._counts_say(source)])
            examples = self._near.nearest(source, limit=NEIGHBOURS) if self._uses_near else []
            near.append(_near_scores(examples, self.labels))
            right.append(self.labels.index(label))
            self._listener.progress("labels", number + 1, len(held_out))
        if len(right) < _FEWEST_FITTED:
            self._listener.note("labels_not_fitted", model=self._model.name, examples=len(right))
            return LabelFit(weights=_EVEN if self._uses_near else (1.0, 0.0, 0.0))
        return _best_fit(np.array(said), np.array(near), np.array(right), self._uses_near)

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


def _near_says(near: Scores, fit: LabelFit, labels: int) -> Scores:
    """Return the logarithm of what the nearest examples say of each label, (N, L)."""
    is_there = near[..., 0] >= 0
    best = np.where(is_there, near[..., 1], -np.inf).max(axis=1, initial=0.0, keepdims=True)
    says = np.where(is_there, np.exp((near[..., 1] - best) / fit.near_temperature), 0.0)
    found = np.zeros((len(near), labels))
    rows = np.repeat(np.arange(len(near)), near.shape[1])
    np.add.at(found, (rows, np.maximum(near[..., 0], 0).astype(int).ravel()), says.ravel())
    total = found.sum(axis=1, keepdims=True)
    shares = np.divide(found, total, out=np.full_like(found, 1 / labels), where=total > 0)
    return np.asarray(np.log((1 - _EVEN_SHARE) * shares + _EVEN_SHARE / labels))


def _normalised(scores: Scores) -> Scores:
    scores = scores - scores.max(axis=-1, keepdims=True)
    return np.asarray(scores - np.log(np.exp(scores).sum(axis=-1, keepdims=True)))


def _blended(said: Scores, weights: Sequence[float]) -> Scores:
    """Return the probabilities (N, L) of what was said (N, K, L), as logarithms, by each of K."""
    return np.asarray(np.exp(_normalised(np.einsum("nkl,k->nl", said, np.array(weights)))))


def _best_fit(
    said: Scores, near: Scores, right: npt.NDArray[np.int64], uses_near: bool
) -> LabelFit:
    """Return the fit with which the right labels are likeliest."""
    best, found, labels = np.inf, LabelFit(examples=len(right)), said.shape[2]
    for temperature in _NEAR_TEMPERATURES if uses_near else _NEAR_TEMPERATURES[:1]:
        fit = LabelFit(near_temperature=temperature, examples=len(right))
        whole = np.concatenate([said, _near_says(near, fit, labels)[:, None]], axis=1)
        is_free = np.array([True, uses_near, uses_near])
        weights, loss = _fit_weights(whole, right, is_free)
        if loss < best:
            best, found = loss, replace(fit, weights=tuple(weights.tolist()))
    return found


def _fit_weights(
    said: Scores, right: npt.NDArray[np.int64], is_free: npt.NDArray[np.bool_]
) -> tuple[Scores, float]:
    """Return weights (K,), none below 0, and the mean loss in nats: Newton's steps, each projected.

    The loss is convex in the weights. Their prior is normal around even ones.
    """
    rows, pull = np.arange(len(right)), _PRIOR / len(right)
    even = np.where(is_free, 1.0 / is_free.sum(), 0.0)
    weights = even

    def loss_of(weights: Scores) -> float:
        shares = _blended(said, weights.tolist())[rows, right]
        return float(-np.log(shares + 1e-12).mean() + pull * ((weights - even) ** 2).sum())

    loss = loss_of(weights)
    for _ in range(_MOST_ROUNDS):
        shares = _blended(said, weights.tolist())
        mean = np.einsum("nkl,nl->nk", said, shares)
        slope = (mean - said[rows, :, right]).mean(axis=0) + 2 * pull * (weights - even)
        spread = np.einsum("nkl,njl,nl->kj", said, said, shares) / len(right)
        bend = spread - mean.T @ mean / len(right) + 2 * pull * np.eye(len(weights))
        step = np.where(is_free, np.linalg.solve(bend, slope), 0.0)
        size = 1.0
        while size > 1e-6:
            tried = np.maximum(weights - size * step, 0.0)
            if (now := loss_of(tried)) < loss - 1e-9:
                break
            size /= 2
        else:
            break
        weights, loss = tried, now
    return weights, loss
