"""Linear and ridge regression, beside statsmodels and scikit-learn on the pooled rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from sklearn.linear_model import Ridge
from tests.tables import heart, pooled, solved

from hanse.algorithms.regression import linear
from hanse.algorithms.regression.linear import LinearSettings
from hanse.errors import WorkflowError

PAIN = {"column": "cp", "categories": [1, 2, 3, 4]}
FEATURES = ["age", "sex", "chol", PAIN]


def found(**changes: Any) -> Any:
    given = {"outcome": "thalach", "features": FEATURES, "aggregated_by": "aggregator"}
    settings = LinearSettings.model_validate(given | changes)
    return solved(heart(), linear, settings)


def rows() -> tuple[Any, Any]:
    data = pooled(heart())
    pain = [(data["cp"] == category).astype(float) for category in (2, 3, 4)]
    return np.stack([data["age"], data["sex"], data["chol"], *pain], axis=1), data["thalach"]


@pytest.mark.parametrize("intercept", [True, False])
def test_the_model_is_that_of_the_pooled_rows(intercept: bool) -> None:
    ours = found(intercept=intercept)

    x, y = rows()
    theirs = sm.OLS(y, sm.add_constant(x) if intercept else x).fit()
    np.testing.assert_allclose(ours["coefficients"], theirs.params, rtol=1e-8)
    np.testing.assert_allclose(ours["standard_errors"], theirs.bse, rtol=1e-8)
    np.testing.assert_allclose(ours["covariance"], theirs.cov_params(), rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(ours["residual_variance"], theirs.mse_resid, rtol=1e-8)
    np.testing.assert_allclose(ours["r_squared"], theirs.rsquared, rtol=1e-8)


@pytest.mark.sklearn
@pytest.mark.parametrize("intercept", [True, False])
def test_the_ridge_model_is_that_of_the_pooled_rows(intercept: bool) -> None:
    ours = found(ridge=30.0, intercept=intercept)

    x, y = rows()
    theirs = Ridge(30.0, fit_intercept=intercept, solver="cholesky").fit(x, y)
    expected = [theirs.intercept_, *theirs.coef_] if intercept else theirs.coef_
    np.testing.assert_allclose(ours["coefficients"], expected, rtol=1e-8)
    assert "standard_errors" not in ours


def test_an_input_that_is_a_combination_of_others_is_refused_by_name() -> None:
    with pytest.raises(WorkflowError, match="the input age is a linear combination of other inputs"):
        found(features=["age", "age"])


def test_an_input_that_is_constant_is_refused_by_name() -> None:
    sites = {"a": {"x": np.ones(5), "y": np.arange(5.0)}}
    settings = LinearSettings(outcome="y", features=("x",), aggregated_by="aggregator")

    with pytest.raises(WorkflowError, match="the input x is constant"):
        solved(sites, linear, settings)


def test_fewer_rows_than_coefficients_are_refused() -> None:
    sites = {"a": {"x": np.arange(2.0), "y": np.arange(2.0)}}
    settings = LinearSettings(outcome="y", features=("x",), aggregated_by="aggregator")

    with pytest.raises(WorkflowError, match="there are 2 rows, too few for 2 coefficients"):
        solved(sites, linear, settings)


def test_large_means_lose_no_digits() -> None:
    random = np.random.default_rng(1)
    near = {site: {"t": random.normal(0, 3, 80), "u": random.normal(0, 1, 80)} for site in "ab"}
    for columns in near.values():
        columns["t"] = 1.7e9 + columns["t"]
        columns["y"] = 1e6 + 0.3 * (columns["t"] - 1.7e9) - columns["u"] + random.normal(size=80)
    settings = LinearSettings(outcome="y", features=("t", "u"), aggregated_by="aggregator")

    ours = solved(near, linear, settings)

    data = pooled(near)
    x = sm.add_constant(np.stack([data["t"] - 1.7e9, data["u"]], axis=1))
    theirs = sm.OLS(data["y"] - 1e6, x).fit()
    np.testing.assert_allclose(ours["coefficients"][1:], theirs.params[1:], rtol=1e-8)
    np.testing.assert_allclose(ours["standard_errors"][1:], theirs.bse[1:], rtol=1e-8)
    intercept = 1e6 + theirs.params[0] - 1.7e9 * theirs.params[1]
    np.testing.assert_allclose(ours["coefficients"][0], intercept, rtol=1e-8)
    np.testing.assert_allclose(ours["r_squared"], theirs.rsquared, rtol=1e-8)
