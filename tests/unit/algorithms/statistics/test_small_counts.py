"""Results of few rows that are left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.tables import solved, total

from hanse.algorithms.statistics import summary
from hanse.algorithms.statistics.contingency import ContingencySettings, local, solve
from hanse.algorithms.statistics.small_counts import too_few
from hanse.algorithms.statistics.summary import SummarySettings


@pytest.mark.parametrize(
    ("counts", "left"),
    [
        ([9, 0, 8], [9, 0, 8]),
        ([9, 1, 2, 8], [9, None, None, 8]),
        ([9, 1, 8], [9, None, None]),  # the 1 would be the number of rows less the others
        ([1], [None]),
    ],
)
def test_counts_that_are_small_or_would_tell_of_one_are_left_out(
    counts: list[int], left: list[int | None]
) -> None:
    hidden = too_few(np.array(counts), 5)

    assert [None if hide else count for hide, count in zip(hidden, counts, strict=True)] == left


def rows() -> Any:
    sex, site = np.repeat([0, 1, 2], [6, 1, 9]), {"age": np.arange(16.0) + 40}
    return {"a": {**site, "sex": sex, "ill": np.arange(16) % 2}}


def test_a_summary_of_one_person_is_left_out() -> None:
    settings = SummarySettings.model_validate(
        {
            "columns": ["age"],
            "by": {"column": "sex", "categories": [0, 1, 2]},
            "ranges": {"age": [47, 56]},
            "bins": 1,
            "suppress_below": 5,
            "aggregated_by": "aggregator",
        }
    )

    found = solved(rows(), summary, settings)

    assert np.isnan(found["mean"][:, 0]).tolist() == [True, True, False]
    assert np.isnan(found["count"][:, 0]).tolist() == [True, True, False]
    assert np.isnan(found["histogram"][:, 0, 0]).tolist() == [True, True, False]
    assert found["histogram"][2, 0].tolist() == [9]


def test_a_small_cell_of_a_table_is_left_out_with_what_it_would_follow_from() -> None:
    sex, ill = {"column": "sex", "categories": [0, 1, 2]}, {"column": "ill", "categories": [0, 1]}
    settings = ContingencySettings.model_validate(
        {"rows": sex, "columns": ill, "suppress_below": 3, "aggregated_by": "aggregator"}
    )

    found = solve(total(rows(), lambda table: local(table, settings))["counts"], settings)

    assert np.isnan(found["counts"]).sum() == 2
    assert np.isnan(found["expected"]).all()
