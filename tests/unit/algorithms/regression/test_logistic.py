"""Logistic regression, beside statsmodels on the pooled rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from tests.tables import heart, pooled, total
from tests.unit.algorithms.regression.fitting import fitted

from hanse.algorithms.regression.glm import penalised
from hanse.algorithms.regression.logistic import LogisticSettings, local

PAIN = {"column": "cp", "categories": [1, 2, 3, 4]}
FEATURES = ["age", "sex", "chol", "thalach", "oldpeak", PAIN]
ILL = {"column": "ill", "categories": [0, 1]}


def fit(**changes: Any) -> Any:
    given = {"outcome": ILL, "features": FEATURES, "aggregated_by": "aggregator"}
    settings = LogisticSettings.model_validate(given | changes)

    def curvature_at(beta: Any) -> Any:
        sums = total(heart(), lambda table: local(table, settings, beta, np.zeros(settings.inputs)))[
            "curvature"
        ]
        return penalised(sums, beta, settings)

    size = settings.inputs + settings.intercept
    return fitted(curvature_at, size, settings.features, intercept=settings.intercept)


def rows() -> tuple[Any, Any]:
    data = pooled(heart())
    pain = [(data["cp"] == category).astype(float) for category in (2, 3, 4)]
    names = ("age", "sex", "chol", "thalach", "oldpeak")
    return np.stack([*(data[name] for name in names), *pain], axis=1), data["ill"]


@pytest.mark.parametrize("intercept", [True, False])
def test_the_model_is_that_of_the_pooled_rows(intercept: bool) -> None:
    ours, steps, likelihood = fit(intercept=intercept)

    x, y = rows()
    design = sm.add_constant(x) if intercept else x
    theirs = sm.Logit(y, design).fit(disp=0, method="newton", tol=1e-14, maxiter=100)
    np.testing.assert_allclose(ours["coefficients"], theirs.params, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(ours["standard_errors"], theirs.bse, rtol=1e-8)
    np.testing.assert_allclose(ours["p_values"], theirs.pvalues, rtol=1e-6)
    np.testing.assert_allclose(likelihood, theirs.llf, rtol=1e-10)
    assert steps < 10


def test_the_ridge_penalty_leaves_the_intercept_alone() -> None:
    ours, _, _ = fit(ridge=5.0)

    # At the best coefficients the gradient of likelihood and penalty together is zero.
    x, y = rows()
    design, beta = sm.add_constant(x), ours["coefficients"]
    gradient = design.T @ (y - 1 / (1 + np.exp(-design @ beta))) - 5.0 * np.array([0, *beta[1:]])
    np.testing.assert_allclose(gradient, 0, atol=1e-7)


def test_large_predictors_do_not_overflow() -> None:
    settings = LogisticSettings.model_validate(
        {"outcome": ILL, "features": ["chol"], "aggregated_by": "aggregator"}
    )

    sums = total(heart(), lambda table: local(table, settings, np.array([0.0, 1e6]), np.zeros(1)))[
        "curvature"
    ]

    assert all(np.isfinite(value).all() for value in sums.values())


def test_an_outcome_of_three_categories_is_refused() -> None:
    with pytest.raises(ValueError, match="an outcome of two categories"):
        fit(outcome={"column": "cp", "categories": [1, 2, 3]})
