"""Summary statistics, beside NumPy and pandas on the pooled rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.tables import heart, pooled, solved

from hanse.algorithms.statistics import summary
from hanse.algorithms.statistics.summary import SummarySettings
from hanse.errors import WorkflowError

COLUMNS = ("age", "chol", "oldpeak")


def settings(**changes: Any) -> SummarySettings:
    given = {"columns": COLUMNS, "aggregated_by": "aggregator"}
    return SummarySettings.model_validate(given | changes)


def found(**changes: Any) -> Any:
    chosen = settings(**changes)
    return solved(heart(), summary, chosen)


def frame() -> pd.DataFrame:
    return pd.DataFrame(pooled(heart()))


def test_count_mean_and_variance_are_those_of_the_pooled_rows() -> None:
    statistics, data = found(), frame()[list(COLUMNS)]

    assert statistics["count"].tolist() == [len(data)] * 3
    np.testing.assert_allclose(statistics["mean"], data.mean(), rtol=1e-12)
    np.testing.assert_allclose(statistics["variance"], data.var(), rtol=1e-10)
    np.testing.assert_allclose(statistics["sd"], data.std(), rtol=1e-10)


def test_covariance_and_correlation_are_those_of_the_pooled_rows() -> None:
    statistics, data = found(correlation=True), frame()[list(COLUMNS)]

    np.testing.assert_allclose(statistics["covariance"], data.cov(), rtol=1e-9)
    np.testing.assert_allclose(statistics["correlation"], data.corr(), rtol=1e-9)


def test_each_category_has_statistics_of_its_own() -> None:
    statistics = found(by={"column": "cp", "categories": [1, 2, 3, 4]})

    by = frame().groupby("cp")[list(COLUMNS)]
    np.testing.assert_allclose(statistics["mean"], by.mean(), rtol=1e-12)
    np.testing.assert_allclose(statistics["sd"], by.std(), rtol=1e-9)
    assert statistics["count"][:, 0].tolist() == by.size().tolist()


def test_histograms_are_those_of_the_pooled_rows_with_both_ends_of_the_range() -> None:
    statistics = found(ranges={"chol": [100, 400], "age": [29, 77]}, bins=8)

    data = frame()
    for place, (name, low, high) in enumerate([("age", 29, 77), ("chol", 100, 400)]):
        counts, _ = np.histogram(data[name], 8, (low, high))
        assert statistics["histogram"][place].tolist() == counts.tolist()
        assert statistics["below"][place] == (data[name] < low).sum()
        assert statistics["above"][place] == (data[name] > high).sum()


@pytest.mark.parametrize(("mean", "sd"), [(1.7e9, 3), (1e6, 1), (-1e12, 0.5)])
def test_large_means_lose_no_digits(mean: float, sd: float) -> None:
    random = np.random.default_rng(1)
    sites = {site: {"t": mean + random.normal(0, sd, 50), "u": random.normal(size=50)} for site in "ab"}
    chosen = settings(columns=["t", "u"], correlation=True)

    statistics = solved(sites, summary, chosen)

    data = pd.DataFrame(pooled(sites)) - [mean, 0]  # exact: the numbers are near each other
    np.testing.assert_allclose(statistics["variance"], data.var(), rtol=1e-8)
    np.testing.assert_allclose(statistics["correlation"], data.corr(), rtol=1e-8)


def test_a_constant_column_has_no_variance() -> None:
    sites = {"a": {"t": np.full(7, 0.1)}, "b": {"t": np.full(6, 0.1)}}

    assert solved(sites, summary, settings(columns=["t"]))["variance"].tolist() == [0.0]


def test_each_column_is_of_the_rows_that_have_its_value() -> None:
    sites = {
        "a": {"t": np.array([1.0, np.nan, 3.0]), "u": np.array([1.0, 2.0, 4.0])},
        "b": {"t": np.array([np.nan, 8.0]), "u": np.array([np.nan, 3.0])},
    }

    chosen = settings(columns=["t", "u"], missing="leave_out", ranges={"t": [0, 10]}, bins=2)
    statistics = solved(sites, summary, chosen)

    described = pd.DataFrame(pooled(sites)).describe()
    assert statistics["count"].tolist() == described.loc["count"].tolist()
    np.testing.assert_allclose(statistics["mean"], described.loc["mean"])
    np.testing.assert_allclose(statistics["sd"], described.loc["std"])
    assert statistics["histogram"].tolist() == [[2, 1]]


def test_a_column_without_a_value_at_any_site_is_refused() -> None:
    sites = {"a": {"t": np.array([np.nan]), "u": np.array([1.0])}}

    with pytest.raises(WorkflowError, match="no row of any site has a value in the column 't'"):
        solved(sites, summary, settings(columns=["t", "u"], missing="leave_out"))


def test_a_variance_of_one_row_is_not_defined() -> None:
    one = SummarySettings(columns=("t",), aggregated_by="aggregator")

    statistics = solved({"a": {"t": np.array([4.0])}}, summary, one)

    assert np.isnan(statistics["variance"]).all()
    assert statistics["mean"].tolist() == [4.0]


def test_a_range_of_a_column_that_is_not_among_the_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="`ranges` has a column 'weight' that `columns` lacks"):
        settings(ranges={"weight": [0, 1]})
