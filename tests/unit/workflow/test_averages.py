"""The means that workflows take."""

from __future__ import annotations

import pytest
from tests.unit.workflow.hosts import update

from hanse.core.values.update import Update
from hanse.errors import UpdateError
from hanse.workflow.averages import mean_metrics, weighted_mean


def test_updates_count_by_their_examples() -> None:
    aggregate = weighted_mean(iter([update("a", 1.0, examples=1), update("b", 5.0, examples=3)]))

    assert aggregate.delta is not None
    assert aggregate.delta["w"][0] == 4.0


def test_metrics_count_by_examples_among_the_sites_that_gave_them() -> None:
    answers = [Update("a", 1, {"loss": 1.0}), Update("b", 3, {"loss": 5.0, "auc": 0.5}), Update("c", 9, {})]

    assert mean_metrics(iter(answers)) == {"auc": 0.5, "loss": 4.0}


def test_nothing_is_no_mean() -> None:
    assert mean_metrics([]) == {}
    with pytest.raises(UpdateError, match="nothing to aggregate"):
        weighted_mean([])
