"""How good are the answers to a task? The usual measures of each, with 95 % intervals.

    translate   BLEU (Papineni et al. 2002; Post 2018) and chrF (Popović 2015), by sacrebleu
    summarise   ROUGE-1, ROUGE-2, ROUGE-L (Lin 2004), and chrF
    reply       perplexity of the true replies; distinct-1 and distinct-2 (Li et al. 2016) of those
                that were written, and how much of them is recited
    classify    accuracy, macro F1, calibration error (Naeini et al. 2015), log loss

An interval is over the items of the test: the percentiles of 1000 resamples (Efron 1979), where
nothing else is said. The baseline of a finding is NaN until one has been measured.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt

from memlm.generate.evaluate import evaluate_labels
from memlm.records import Finding
from memlm.runtime import require_package, stream_seed

Floats = npt.NDArray[np.float64]
RESAMPLES = 1000
BINS = 15
_NORMAL_95 = 1.959964
_LEAST = 1e-9
"""What a label that has no probability costs is that of this one."""
_HAN = "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_HAN}]|[^\W_{_HAN}]+")
_CHARACTER_ORDER, _BETA = 6, 2  # of chrF


def metric_words(text: str) -> list[str]:
    """Return what ROUGE and distinct-n count: Chinese characters, and words in small letters.

    >>> metric_words("Two dogs, 两只狗")
    ['two', 'dogs', '两', '只', '狗']
    """
    return [word.lower() for word in _WORD.findall(text)]


def is_mostly_chinese(texts: Sequence[str]) -> bool:
    """Say whether more than half of the letters are Chinese characters."""
    letters = [one for text in texts for one in text if one.isalpha()]
    return 2 * len(re.findall(f"[{_HAN}]", "".join(letters))) > len(letters)


# -- translate ----------------------------------------------------------------------------------


def translation_findings(
    answers: Sequence[str], targets: Sequence[str], *, seed: int = 0
) -> dict[str, Finding]:
    """Return BLEU and chrF over all answers together, of 100."""
    return {
        "bleu": bleu_finding(answers, targets, seed=seed),
        "chrf": chrf_finding(answers, targets, seed=seed),
    }


def bleu_finding(answers: Sequence[str], targets: Sequence[str], *, seed: int = 0) -> Finding:
    """Return BLEU, with sacrebleu's tokenizer `zh` where the targets are mostly Chinese."""
    require_package("sacrebleu", extra="tasks")
    from sacrebleu.metrics.bleu import BLEU

    cut = _bleu_tokenizer(targets)
    # What looks as if it was cut into words before would be said, on standard error.
    value = BLEU(tokenize=cut, force=True).corpus_score(list(answers), [list(targets)]).score
    single = BLEU(tokenize=cut, effective_order=True, force=True)  # else single texts are warned of
    parts = [single.sentence_score(one, [two]) for one, two in zip(answers, targets, strict=True)]
    sums = _resampled(
        np.array([[*one.counts, *one.totals, one.sys_len, one.ref_len] for one in parts]), seed
    )
    found = [
        BLEU.compute_bleu(
            row[:4].tolist(), row[4:8].tolist(), int(row[8]), int(row[9]), smooth_method="exp"
        ).score
        for row in sums
    ]
    return _finding(value, found, len(parts), "of 100")


def chrf_finding(answers: Sequence[str], targets: Sequence[str], *, seed: int = 0) -> Finding:
    """Return chrF2, of 100."""
    require_package("sacrebleu", extra="tasks")
    from sacrebleu.metrics.chrf import CHRF

    value = CHRF().corpus_score(list(answers), [list(targets)]).score
    stats = np.array([_chrf_counts(*pair) for pair in zip(answers, targets, strict=True)])
    found = chrf_of_counts(_resampled(stats, seed))
    return _finding(value, found, len(stats), "of 100")


def signatures(targets: Sequence[str]) -> dict[str, str]:
    """Return how sacrebleu names what it measured, by finding."""
    require_package("sacrebleu", extra="tasks")
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    found = {}
    for name, metric in (
        ("bleu", BLEU(tokenize=_bleu_tokenizer(targets), force=True)), ("chrf", CHRF())
    ):  # fmt: skip
        metric.corpus_score(list(targets), [list(targets)])  # which counts the references
        found[name] = metric.get_signature().format()
    return found


def _bleu_tokenizer(targets: Sequence[str]) -> str:
    return "zh" if is_mostly_chinese(targets) else "13a"


def _chrf_counts(answer: str, target: str) -> list[int]:
    """Return for each order how many n-grams the answer has, the target, and both."""
    ours, theirs = ("".join(text.split()) for text in (answer, target))
    found = []
    for order in range(1, _CHARACTER_ORDER + 1):
        one, two = (
            Counter(text[place : place + order] for place in range(len(text) - order + 1))
            for text in (ours, theirs)
        )
        # As sacrebleu: what is too long for the target to have any does not count.
        found += [one.total() if two else 0, two.total(), (one & two).total()]
    return found


def chrf_of_counts(counts: npt.NDArray[np.int64] | Floats) -> Floats:
    """Return chrF of summed counts (..., 18): answer's, target's and both's n-grams by order."""
    ours, theirs, both = (
        counts[..., place::3].astype(np.float64) for place in range(3)
    )  # (..., 6) each
    counts_at_all = (ours > 0) & (theirs > 0)
    orders = np.maximum(1, counts_at_all.sum(axis=-1))
    precision, recall = (
        np.where(counts_at_all, both / np.maximum(1, one), 0.0).sum(axis=-1) / orders
        for one in (ours, theirs)
    )
    below = _BETA**2 * precision + recall
    above = (1 + _BETA**2) * precision * recall
    return np.asarray(100 * np.where(below > 0, above / np.where(below > 0, below, 1.0), 0.0))


# -- summarise ----------------------------------------------------------------------------------


def summary_findings(
    answers: Sequence[str], targets: Sequence[str], *, seed: int = 0
) -> dict[str, Finding]:
    """Return the mean F1 of ROUGE-1, ROUGE-2 and ROUGE-L, each from 0 to 1, and chrF of 100."""
    rows = np.array([rouge_scores(*pair) for pair in zip(answers, targets, strict=True)])
    names = ("rouge_1", "rouge_2", "rouge_l")
    found = {
        name: mean_finding(rows[:, place], unit="mean F1 of texts", seed=seed)
        for place, name in enumerate(names)
    }
    return found | {"chrf": chrf_finding(answers, targets, seed=seed)}


def rouge_scores(answer: str, target: str) -> tuple[float, float, float]:
    """Return the F1 of ROUGE-1, ROUGE-2 and ROUGE-L of one text; 0 where one of both is empty.

    Words are as they stand (no stemming), and ROUGE-L takes each text as one sentence.
    """
    ours, theirs = metric_words(answer), metric_words(target)
    counts = [
        [Counter(zip(*(words[place:] for place in range(order)), strict=False)) for order in (1, 2)]
        for words in (ours, theirs)
    ]
    one, two = (
        _f1((mine & yours).total(), mine.total(), yours.total())
        for mine, yours in zip(*counts, strict=True)
    )
    return one, two, _f1(common_length(ours, theirs), len(ours), len(theirs))


def common_length(one: Sequence[str], two: Sequence[str]) -> int:
    """Return the length of the longest common subsequence, a row of bits at a time (Hyyrö 2004)."""
    places: dict[str, int] = defaultdict(int)
    for place, word in enumerate(one):
        places[word] |= 1 << place
    whole = (1 << len(one)) - 1
    row = whole
    for word in two:
        hits = row & places.get(word, 0)
        row = ((row + hits) | (row - hits)) & whole
    return len(one) - row.bit_count()


def _f1(both: int, ours: int, theirs: int) -> float:
    return 2 * both / (ours + theirs) if both else 0.0


# -- reply --------------------------------------------------------------------------------------


def loss_findings(
    nats: Floats, tokens: npt.NDArray[np.int64], characters: npt.NDArray[np.int64], *, seed: int = 0
) -> dict[str, Finding]:
    """Return the perplexity per token and the nats per character of texts, from (N,) of each."""
    per_token = ratio_finding(nats, tokens, unit="", seed=seed)
    bounds = (per_token.value, per_token.low, per_token.high)
    value, low, high = (math.exp(min(700.0, bound)) for bound in bounds)
    return {
        "perplexity": Finding(
            value=value, low=low, high=high, n=len(nats), baseline=math.nan, unit="per token"
        ),
        "nats_per_character": ratio_finding(nats, characters, unit="per character", seed=seed),
    }


def distinct_finding(texts: Sequence[str], order: int) -> Finding:
    """Return how many of the n-grams of all texts together are different.

    The interval is the jackknife's (Efron and Stein 1981): a resample has texts twice, which makes
    any set of them poorer than it is.
    """
    own = []
    for text in texts:
        words = metric_words(text)
        own.append(Counter(zip(*(words[place:] for place in range(order)), strict=False)))
    holders = Counter(chain.from_iterable(own))  # texts that an n-gram stands in
    alone = np.array([sum(holders[gram] == 1 for gram in one) for one in own])
    sizes = np.array([one.total() for one in own])
    total, n = int(sizes.sum()), len(own)
    value = len(holders) / max(1, total)
    without = (len(holders) - alone) / np.maximum(1, total - sizes)
    spread = math.sqrt((n - 1) / n * float(((without - without.mean()) ** 2).sum()))
    return _around(value, spread, n, "of n-grams")


# -- classify -----------------------------------------------------------------------------------


def label_findings(
    true: Sequence[str], shares: Floats, labels: Sequence[str], *, seed: int = 0
) -> dict[str, Finding]:
    """Return what the probabilities (N, L) of labels are worth; a true label may be none of them.

    The first of the likeliest labels is what is predicted.
    """
    guesses = [labels[place] for place in shares.argmax(axis=1).tolist()]
    place_of = {label: place for place, label in enumerate(labels)}
    places = np.array([place_of.get(label, -1) for label in true])
    said = np.where(places >= 0, shares[np.arange(len(places)), places], 0.0)
    losses = -np.log(np.maximum(_LEAST, said))
    is_right = places == shares.argmax(axis=1)
    found = evaluate_labels(true, guesses, majority=labels[0], seed=seed)
    return found | {
        "calibration_error": calibration_finding(shares.max(axis=1), is_right, seed=seed),
        "log_loss": mean_finding(losses, unit="nats per text", seed=seed),
    }


def calibration_finding(sure: Floats, is_right: npt.NDArray[np.bool_], *, seed: int = 0) -> Finding:
    """Return the expected calibration error; its interval is 1.96 standard errors to each side.

    Resamples are worse calibrated than what they are drawn from, so they tell the error's spread
    but not its place.
    """
    random = np.random.Generator(np.random.Philox(stream_seed(seed, "bootstrap")))
    n = len(sure)
    found = [
        calibration_error(sure[rows], is_right[rows])
        for rows in (random.integers(n, size=n) for _ in range(RESAMPLES))
    ]
    return _around(calibration_error(sure, is_right), float(np.std(found)), n, "gap to accuracy")


def calibration_error(sure: Floats, is_right: npt.NDArray[np.bool_]) -> float:
    """Return the mean gap between how sure one was and how often right, over 15 equal groups.

    Texts of which one was equally sure count as right as they are on average, so that their order
    does not matter where a group ends among them.
    """
    _, group, sizes = np.unique(sure, return_inverse=True, return_counts=True)
    right = (np.bincount(group, weights=is_right) / sizes)[group]
    order = np.argsort(sure, kind="stable")
    edges = np.linspace(0, len(sure), min(BINS, len(sure)) + 1).astype(int)[:-1]
    gaps = np.add.reduceat((right - sure)[order], edges)
    return float(np.abs(gaps).sum() / len(sure))


# -- intervals ----------------------------------------------------------------------------------


def mean_finding(values: Floats, *, unit: str, seed: int = 0) -> Finding:
    """Return the mean of (N,) values."""
    return ratio_finding(values, np.ones(len(values), dtype=np.int64), unit=unit, seed=seed)


def ratio_finding(
    values: Floats, sizes: npt.NDArray[np.int64], *, unit: str, seed: int = 0
) -> Finding:
    """Return the sum of (N,) values over that of their sizes; 0 where there is nothing."""
    stats = np.stack([values, sizes.astype(np.float64)], axis=1)
    sums = _resampled(stats, seed)
    found = sums[:, 0] / np.where(sums[:, 1] > 0, sums[:, 1], 1.0)
    total = float(sizes.sum())
    return _finding(float(values.sum()) / (total or 1.0), found, len(values), unit)


def _resampled(stats: npt.NDArray[np.int64] | Floats, seed: int) -> npt.NDArray[np.float64]:
    """Return the sums of 1000 resamples of rows (N, K), as (1000, K)."""
    random = np.random.Generator(np.random.Philox(stream_seed(seed, "bootstrap")))
    n = len(stats)
    drawn = (random.integers(n, size=n) for _ in range(RESAMPLES))
    sums = [np.bincount(rows, minlength=n) @ stats for rows in drawn]
    return np.array(sums, dtype=np.float64)


def _finding(value: float, resamples: Sequence[float] | Floats, n: int, unit: str) -> Finding:
    low, high = np.quantile(np.asarray(resamples), [0.025, 0.975])
    return Finding(
        value=float(value), low=float(low), high=float(high), n=n, baseline=math.nan, unit=unit
    )


def _around(value: float, spread: float, n: int, unit: str) -> Finding:
    """Return a share with 1.96 standard errors to each side."""
    low, high = max(0.0, value - _NORMAL_95 * spread), min(1.0, value + _NORMAL_95 * spread)
    return Finding(value=value, low=low, high=high, n=n, baseline=math.nan, unit=unit)
