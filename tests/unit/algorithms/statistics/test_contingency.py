"""Contingency tables, beside SciPy on the pooled rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import chi2_contingency
from tests.tables import heart, pooled, total

from hanse.algorithms.statistics.contingency import ContingencySettings, local, solve

PAIN = {"column": "cp", "categories": [1, 2, 3, 4]}
ILL = {"column": "ill", "categories": [0, 1]}
SEX = {"column": "sex", "categories": [0, 1]}


def test_counts_and_test_are_those_of_the_pooled_rows() -> None:
    settings = ContingencySettings.model_validate(
        {"rows": PAIN, "columns": ILL, "aggregated_by": "aggregator"}
    )

    found = solve(total(heart(), lambda table: local(table, settings))["counts"], settings)

    data = pooled(heart())
    crossed = pd.crosstab(data["cp"], data["ill"])
    expected = chi2_contingency(crossed, correction=False)
    assert found["counts"].tolist() == crossed.to_numpy().tolist()
    assert found["degrees_of_freedom"] == expected.dof
    np.testing.assert_allclose(found["chi_square"], expected.statistic, rtol=1e-12)
    np.testing.assert_allclose(found["p_value"], expected.pvalue, rtol=1e-9)
    np.testing.assert_allclose(found["expected"], expected.expected_freq, rtol=1e-12)


def test_each_category_has_a_table_of_its_own() -> None:
    settings = ContingencySettings.model_validate(
        {"rows": PAIN, "columns": ILL, "by": SEX, "aggregated_by": "aggregator"}
    )

    found = solve(total(heart(), lambda table: local(table, settings))["counts"], settings)

    data = pd.DataFrame(pooled(heart()))
    for code in (0, 1):
        part = data[data["sex"] == code]
        crossed = pd.crosstab(part["cp"], part["ill"])
        assert found["counts"][code].tolist() == crossed.to_numpy().tolist()
        expected = chi2_contingency(crossed, correction=False)
        np.testing.assert_allclose(found["chi_square"][code], expected.statistic, rtol=1e-12)


def test_a_category_that_no_row_has_takes_no_part_in_the_test() -> None:
    settings = ContingencySettings.model_validate(
        {"rows": {**PAIN, "categories": [1, 2, 3, 4, 5]}, "columns": ILL, "aggregated_by": "aggregator"}
    )

    found = solve(total(heart(), lambda table: local(table, settings))["counts"], settings)

    assert found["degrees_of_freedom"] == 3


def test_an_empty_table_has_no_p_value() -> None:
    settings = ContingencySettings.model_validate(
        {"rows": PAIN, "columns": ILL, "aggregated_by": "aggregator"}
    )

    assert np.isnan(solve(np.zeros((1, 4, 2), np.int64), settings)["p_value"])


def test_a_table_of_more_rows_than_the_root_of_int64_is_tested() -> None:
    settings = ContingencySettings.model_validate(
        {"rows": SEX, "columns": ILL, "aggregated_by": "aggregator"}
    )

    found = solve(np.array([[[2, 1], [1, 2]]]) * 2 * 10**9, settings)

    assert (found["expected"] == 3e9).all()
    np.testing.assert_allclose(found["chi_square"], 4 * 1e9**2 / 3e9)
