"""Results of few rows, left out (primary and complementary suppression of cells).

Hundepool et al. 2012, "Statistical Disclosure Control", doi 10.1002/9781118348239, section 4.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from pydantic import Field

from hanse.algorithms.table import Counts
from hanse.core.values.parameters import Array

SUPPRESS_BELOW = Field(
    0,
    ge=0,
    le=1_000_000,
    description="Results of fewer rows than this, but of some, are NaN; 0: none. The aggregator's workflow "
    "sees the sums all the same.",
)


def too_few(counts: Counts, below: int) -> npt.NDArray[np.bool_]:
    """Find the counts to leave out along the last axis, of the same shape.

    Where it is one only, the smallest other count is left out too: else the one would be their sum less the
    others.
    """
    hidden = np.asarray((counts > 0) & (counts < below))
    for place in np.ndindex(counts.shape[:-1]):
        row = hidden[place]
        if row.sum() == 1:
            others = np.where(row | (counts[place] == 0), np.iinfo(np.int64).max, counts[place])
            row |= (np.arange(len(row)) == others.argmin()) & (others < np.iinfo(np.int64).max)
    return hidden


def without(results: Mapping[str, Array], hidden: Mapping[str, npt.NDArray[np.bool_]]) -> dict[str, Array]:
    """Results with NaN where they are hidden, those that can be as float64.

    Args:
        results: By name.
        hidden: What is left out of each, of a shape that fits to the result's.
    """
    found = dict(results)
    for name, mask in hidden.items():
        if name in found:
            found[name] = np.where(mask, np.nan, found[name])
    return found
