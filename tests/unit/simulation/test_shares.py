"""The sites' shares of one data set, counted by label."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hanse.simulation.partition import Partition
from hanse.simulation.shares import MOST_LABELS, Shares


def shared(labels: Any) -> Shares:
    """Shares of two sites that have both asked for theirs."""
    shares = Shares(Partition(), ["a", "b"], 1, lambda line: None)
    for index, site in enumerate("ab"):
        share = shares.share(site, index)
        assert share is not None
        share(labels)
    return shares


def test_each_sites_examples_are_counted_by_label() -> None:
    held = shared(["cat"] * 6 + ["dog"] * 4).held

    assert {label: held["a"][label] + held["b"][label] for label in held["a"]} == {"cat": 6, "dog": 4}


def test_of_several_data_sets_the_largest_is_counted() -> None:
    shares = shared([0] * 10)
    share = shares.share("a", 0)
    assert share is not None

    share([1, 1])

    assert shares.held["a"] == {"0": 5}


@pytest.mark.parametrize("labels", [np.arange(MOST_LABELS + 1), np.array(["a", 1, None], object)])
def test_labels_that_cannot_be_counted_are_not(labels: Any) -> None:
    assert shared(labels).held == {"a": {}, "b": {}}
