"""Measures of scores against diagnoses, from the scores themselves: AUC, calibration, ROC."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]
GROUPS = 10
"""Groups of scores of equal width, of which calibration is measured."""


def auc(scores: Vector, sick: Vector) -> float:
    """Area under the ROC curve: the part of pairs of a sick and a healthy one in order; ties count one half.

    Args:
        scores: Probabilities of pneumonia, (number,).
        sick: 1 for pneumonia, 0 for normal; both occur.
    """
    return float(_ordered(scores, sick).mean())


def interval_of_gain(model: Vector, other: Vector, sick: Vector, draws: int = 2000) -> tuple[float, float]:
    """The 95 % interval of a model's AUC less another's for new patients, by the bootstrap.

    Args:
        model: Scores, (number,).
        other: The other model's scores of the same images.
        sick: As for `auc`.
        draws: Times that as many sick and as many healthy images are drawn with replacement.
    """
    gains = _ordered(model, sick) - _ordered(other, sick)
    random = np.random.default_rng(0)
    rows, columns = (random.multinomial(n, [1 / n] * n, draws) / n for n in gains.shape)
    low, high = np.quantile(np.sum(rows @ gains * columns, axis=1), [0.025, 0.975])
    return float(low), float(high)


def reliability(scores: Vector, sick: Vector) -> list[dict[str, float]]:
    """For each group of scores that has an image: how many, their mean score, and the part that is sick."""
    group = np.minimum((scores * GROUPS).astype(int), GROUPS - 1)
    return [
        {
            "images": int(np.sum(group == g)),
            "score": float(scores[group == g].mean()),
            "pneumonia": float(sick[group == g].mean()),
        }
        for g in np.unique(group)
    ]


def calibration_error(scores: Vector, sick: Vector) -> float:
    """Expected calibration error (Guo et al. 2017): mean distance of score and part of sick, by group."""
    groups = reliability(scores, sick)
    apart = sum(row["images"] * abs(row["score"] - row["pneumonia"]) for row in groups)
    return float(apart / len(scores))


def roc(scores: Vector, sick: Vector) -> tuple[Vector, Vector]:
    """False and true positive rates at every threshold, from (0, 0) to (1, 1)."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)
    true, false = np.cumsum(sick[order] == 1)[last], np.cumsum(sick[order] == 0)[last]
    return np.insert(false / false[-1], 0, 0.0), np.insert(true / true[-1], 0, 0.0)


def _ordered(scores: Vector, sick: Vector) -> Vector:
    """For each pair of a sick (row) and a healthy image (column): 1 in order, 0 not, one half of a tie."""
    positive, negative = scores[sick == 1][:, None], scores[sick == 0]
    ordered: Vector = (positive > negative) + (positive == negative) / 2
    return ordered
