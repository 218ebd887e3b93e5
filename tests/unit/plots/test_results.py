"""Pictures of results, from their tables."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from hanse.core.run.round_events import RoundCommitted
from hanse.errors import ConfigError
from hanse.plots.figure import draw
from hanse.plots.record import RunRecord
from hanse.wire.result_tables import Columns

matplotlib = pytest.importorskip("matplotlib")


def table(**columns: list[Any]) -> Columns:
    return {
        head: np.array(values, object if isinstance(values[0], str) else None)
        for head, values in columns.items()
    }


CURVES = table(
    category=["f", "f", "m", "m"],
    time=[1.0, 2.0, 1.0, 2.0],
    survival=[1.0, 0.5, 0.9, 0.8],
    lower=[math.nan, 0.4, 0.8, 0.7],
    upper=[math.nan, 0.6, 1.0, 0.9],
)
COEFFICIENTS = table(term=["intercept", "age"], coefficient=[5.0, 2.0], standard_error=[1.0, 0.5])
HISTOGRAM = table(
    column=["a", "a", "b", "b"],
    lower=[0.0, 1.0, 0.0, 5.0],
    upper=[1.0, 2.0, 5.0, 10.0],
    count=[3, 4, 5, 6],
)


def record_of(**tables: Columns) -> RunRecord:
    """A run without metrics."""
    record = RunRecord()
    record.take(RoundCommitted(round_number=1, model=None, metrics={}))
    record.tables = tables
    return record


def test_a_survival_curve_begins_at_one_and_has_a_band() -> None:
    (axis,) = draw(record_of(kaplan_meier=CURVES)).axes

    assert [(line.get_label(), line.get_ydata().tolist()) for line in axis.lines] == [
        ("f", [1, 1, 0.5]),
        ("m", [1, 0.9, 0.8]),
    ]
    assert len(axis.collections) == 2


def test_coefficients_have_their_intervals_and_no_intercept() -> None:
    (axis,) = draw(record_of(cox_regression=COEFFICIENTS)).axes

    (interval,) = axis.collections
    assert [label.get_text() for label in axis.get_yticklabels()] == ["age"]
    assert interval.get_segments()[0][:, 0].tolist() == pytest.approx([1.02, 2.98], abs=1e-3)


def test_each_column_has_a_histogram() -> None:
    axes = draw(record_of(summary_histogram=HISTOGRAM), "results").axes

    assert [axis.get_title() for axis in axes] == ["a", "b"]
    assert axes[1].patches[0].get_data().values.tolist() == [5, 6]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("all", "nothing to draw: no metrics, and no results of a kind that has a picture$"),
        ("curves", "nothing to draw for the picture 'curves': no metrics$"),
    ],
)
def test_a_run_with_nothing_to_draw_is_refused(what: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        draw(record_of(test=table(p_value=[0.5])), what)
