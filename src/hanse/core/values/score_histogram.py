"""Histogram of the scores of a binary classifier: a site's part of metrics over all sites' examples."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hanse.errors import UpdateError

MOST_BINS = 1 << 20
_ROUNDING = 1e-6
"""Distance beyond 0 and 1 at which a score may lie, as the sum of rounded probabilities does."""

_Counts = npt.NDArray[np.int64]


def binned_scores(scores: npt.ArrayLike, labels: npt.ArrayLike, bins: int = 1024) -> _Counts:
    """Count a site's examples by label and by score.

    The histograms of all sites add up to that of all examples together, of which
    `hanse.workflow.pooled` reads AUC, average precision and calibration, each with a bound. Bin i holds the
    scores from i / bins up to below (i + 1) / bins, the last one also the score 1.

    With many bins and few examples the histogram is nearly a list of the scores: let it leave the site as a
    `total` only, and with no more bins than the bound asks for.

    Args:
        scores: Probabilities of the positive class, from 0 to 1; any shape. Beyond either end by no more
            than 1e-6, as rounding makes them, they count as 0 or 1.
        labels: 1, or true, for a positive example, 0 for a negative one; the shape of `scores`.
        bins: Number of bins, all of the same width, from 1 to 1,048,576; the same at every site.

    Returns:
        Counts, int64, (2, bins): negative examples in row 0, positive ones in row 1.

    Raises:
        UpdateError: A score is a NaN or out of range, a label is neither 0 nor 1, or shapes differ.
        ValueError: `bins` is out of range.
    """
    if not 1 <= bins <= MOST_BINS:
        raise ValueError(f"bins must be from 1 to {MOST_BINS:,}, got {bins}")
    of, marked = np.asarray(scores), np.asarray(labels)
    if of.shape != marked.shape:
        raise UpdateError(f"scores have shape {of.shape}, their labels {marked.shape}: one label a score")
    for name, array in (("scores", of), ("labels", marked)):
        if array.size and array.dtype.kind not in "buif":
            raise UpdateError(f"{name} have dtype {array.dtype}: numbers are needed")
    values = of.astype(np.float64).ravel()
    if np.isnan(values).any():
        raise UpdateError("a score is NaN")
    if ((values < -_ROUNDING) | (values > 1 + _ROUNDING)).any():
        raise UpdateError(
            "a score lies outside 0 to 1",
            mend="Give probabilities: the sigmoid of a logit, or the column of the positive class.",
        )
    positive = marked.ravel() == 1
    if not (positive | (marked.ravel() == 0)).all():
        raise UpdateError("a label is neither 0 nor 1", mend="Give 1 for the positive class, 0 for others.")
    # Rounding keeps the order of scores, and with it that of their bins.
    places = np.clip(np.floor(np.clip(values, 0, 1) * bins), 0, bins - 1).astype(np.int64)
    counts = np.bincount(places + bins * positive, minlength=2 * bins)
    return counts.reshape(2, bins).astype(np.int64, copy=False)
