"""Metrics over all sites' examples together, read from the sum of their histograms of scores.

A mean of the sites' own AUCs is not the AUC of all their examples, since pairs
of examples from two sites are in none of them. The histogram that
`hanse.binned_scores` makes at each site adds up, and its sum states everything but
the order of the scores inside a bin. What that may change is stated as a bound.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hanse.core.values.parameters import Array
from hanse.errors import UpdateError

_EXPANDED_FROM = 256
"""From here on four terms of the expansion of a harmonic number are exact to 1e-17."""


@dataclass(frozen=True, slots=True)
class Bounded:
    """A metric of all examples, as far as a histogram states it.

    Attributes:
        value: The middle of what it may be.
        bound: Largest distance of the metric of the scores themselves from `value`, but for rounding.
    """

    value: float
    bound: float


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Agreement of scores with the part of positive examples.

    Attributes:
        error: Expected calibration error: the mean distance, by group of scores and weighted by examples,
            of mean score and part of positive examples.
        table: Vectors with an entry for each group that has an example, from low scores to high ones:
            `from` and `to`, the group's scores; `examples`, int64; `score`, their mean score to half the
            width of a bin; `positive`, the part of them that is positive.
    """

    error: Bounded
    table: Mapping[str, Array]


def auc(histogram: npt.ArrayLike) -> Bounded | None:
    """Area under the ROC curve: the part of pairs of a positive and a negative that are in order.

    Args:
        histogram: Sum of what `binned_scores` gave at the sites, (2, bins).

    Returns:
        The area, where pairs in one bin count one half; its bound is half of their part in all pairs. None
        where it is not defined: all examples are of one class.

    Raises:
        UpdateError: It is not such a histogram.
    """
    negatives, positives = _counts(histogram)
    pairs = sum(negatives) * sum(positives)
    if not pairs:
        return None
    higher = together = below = 0
    for negative, positive in zip(negatives, positives, strict=True):
        higher += positive * below
        together += positive * negative
        below += negative
    return Bounded((2 * higher + together) / (2 * pairs), together / (2 * pairs))


def average_precision(histogram: npt.ArrayLike) -> Bounded | None:
    """Mean, over the positive examples, of the precision at the threshold of each: sum of (R_n - R_n-1) P_n.

    Args:
        histogram: As for `auc`.

    Returns:
        The middle of the least and the most that it may be: in each bin all negatives score higher than the
        positives, or all positives share a score above the negatives'. None where there is no positive.

    Raises:
        UpdateError: As `auc`.
    """
    negatives, positives = _counts(histogram)
    total = sum(positives)
    if not total:
        return None
    least, most = [], []
    true = false = 0
    for negative, positive in zip(reversed(negatives), reversed(positives), strict=True):
        if positive:
            most.append(positive * ((true + positive) / (true + positive + false)))
            least.append(_precisions(true, positive, false + negative))
        true, false = true + positive, false + negative
    lower, upper = math.fsum(least) / total, math.fsum(most) / total
    return Bounded((lower + upper) / 2, (upper - lower) / 2)


def calibration(histogram: npt.ArrayLike, groups: int = 10) -> Calibration | None:
    """Compare scores with how often examples of such scores are positive.

    Guo, Pleiss, Sun and Weinberger (2017), "On Calibration of Modern Neural Networks", ICML,
    https://arxiv.org/abs/1706.04599, equation 3, of the score of the positive class.

    Args:
        histogram: As for `auc`.
        groups: Groups of equal width into which the scores are divided, at least 1; at most as many as
            there are bins. A bin across the edge of two groups counts to the lower one, and the table says
            so; a number of bins that the groups divide, such as 1000, has none and the tightest bound.

    Returns:
        Error and table. The error is bounded by half the width of a bin, whose scores count as its middle,
        and by what the bins across an edge may change. None where there is no example.

    Raises:
        UpdateError: As `auc`.
        ValueError: `groups` is below 1.
    """
    if groups < 1:
        raise ValueError(f"groups must be at least 1, got {groups}")
    negatives, positives = (np.array(row, np.float64) for row in _counts(histogram))
    bins = len(negatives)
    groups = min(groups, bins)
    edges = np.array([-(-group * bins // groups) for group in range(groups + 1)])
    examples = np.add.reduceat(negatives + positives, edges[:-1])
    if not examples.sum():
        return None
    seen = examples > 0
    middles = (np.arange(bins) + 0.5) / bins
    score = np.add.reduceat((negatives + positives) * middles, edges[:-1])[seen] / examples[seen]
    positive = np.add.reduceat(positives, edges[:-1])[seen] / examples[seen]
    apart = float(np.sum(examples[seen] * np.abs(score - positive)) / examples.sum())
    table = {
        "from": edges[:-1][seen] / bins,
        "to": edges[1:][seen] / bins,
        "examples": examples[seen].astype(np.int64),
        "score": score,
        "positive": positive,
    }
    bound = 0.5 / bins + _across(negatives, positives, groups) / float(examples.sum())
    return Calibration(Bounded(apart, bound), table)


def pooled_metrics(name: str, histogram: npt.ArrayLike) -> dict[str, float]:
    """Name all metrics of a histogram and their bounds, to be committed with a round.

    Args:
        name: Of the group whose histogram it is: `scores`.
        histogram: As for `auc`.

    Returns:
        `scores.auc`, `scores.average_precision` and `scores.calibration_error` (of ten groups), and each
        with `_bound` at its end; without those that are not defined.

    Raises:
        UpdateError: As `auc`.
    """
    calibrated = calibration(histogram)
    read = {
        "auc": auc(histogram),
        "average_precision": average_precision(histogram),
        "calibration_error": None if calibrated is None else calibrated.error,
    }
    named = dict[str, float]()
    for metric, found in read.items():
        if found is not None:
            named |= {f"{name}.{metric}": found.value, f"{name}.{metric}_bound": found.bound}
    return named


def _across(negatives: Array, positives: Array, groups: int) -> float:
    """Most that examples of bins across the edge of two groups change the error times all examples."""
    # The error is the sum over groups of |sum of d|, divided by the number of examples; an example's d is its
    # score, less 1 where it is positive. An example in the other group changes one of these sums by d and
    # another by -d, together by at most 2 |d|. In the bin from a to b, |d| is at most b of a negative and
    # 1 - a of a positive. Scores that then count as the middle of their bin change each d by half a bin at
    # most, whichever groups they are in, so that the two bounds add.
    bins = len(negatives)
    inner = np.arange(1, groups) * bins
    bin_ = inner[inner % groups != 0] // groups
    return float(2 * np.sum(negatives[bin_] * (bin_ + 1) + positives[bin_] * (bins - bin_)) / bins)


def _counts(histogram: npt.ArrayLike) -> tuple[list[int], list[int]]:
    """Negatives and positives by bin, as whole numbers of any size."""
    counts = np.asarray(histogram)
    if counts.ndim != 2 or len(counts) != 2 or not counts.shape[1] or counts.dtype.kind not in "iu":
        raise UpdateError(
            f"a histogram of scores is whole numbers of shape (2, bins), not {counts.dtype} of "
            f"{counts.shape}",
            mend="Sum what `hanse.binned_scores` gives at the sites.",
        )
    if (counts < 0).any():
        raise UpdateError("a histogram of scores has a count below 0")
    negatives, positives = counts.tolist()
    return negatives, positives


def _precisions(true: int, positive: int, false: int) -> float:
    """Sum of (true + k) / (true + k + false) for k from 1 to `positive`."""
    return positive - false * _harmonic(true + false, true + false + positive)


def _harmonic(first: int, last: int) -> float:
    """Sum of 1 / k for k above `first` up to `last`."""
    near = min(last, max(first, _EXPANDED_FROM))
    terms = [1 / k for k in range(first + 1, near + 1)]
    if last > near:
        terms += [math.log1p((last - near) / near), _expansion(last), -_expansion(near)]
    return math.fsum(terms)


def _expansion(number: int) -> float:
    """Harmonic number less its logarithm and Euler's constant (Euler and Maclaurin)."""
    return 1 / (2 * number) - 1 / (12 * number**2) + 1 / (120 * number**4)
