"""Poisson regression, beside statsmodels on the pooled rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from tests.tables import brca, heart, pooled, total
from tests.unit.algorithms.regression.fitting import fitted

from hanse.algorithms.regression.glm import penalised
from hanse.algorithms.regression.poisson import PoissonSettings, local
from hanse.algorithms.table import Table
from hanse.errors import TaskError


def fit(sites: Any, **given: Any) -> Any:
    settings = PoissonSettings.model_validate({**given, "aggregated_by": "aggregator"})

    def curvature_at(beta: Any) -> Any:
        sums = total(sites, lambda table: local(table, settings, beta, np.zeros(settings.inputs)))[
            "curvature"
        ]
        return penalised(sums, beta, settings)

    return fitted(curvature_at, settings.inputs + 1, settings.features, intercept=True)


def test_the_model_is_that_of_the_pooled_rows() -> None:
    ours, _, likelihood = fit(heart(), outcome="num", features=["age", "sex", "thalach", "oldpeak"])

    data = pooled(heart())
    x = sm.add_constant(np.stack([data[name] for name in ("age", "sex", "thalach", "oldpeak")], axis=1))
    theirs = sm.Poisson(data["num"], x).fit(disp=0, method="newton", tol=1e-14, maxiter=100)
    np.testing.assert_allclose(ours["coefficients"], theirs.params, rtol=1e-8)
    np.testing.assert_allclose(ours["standard_errors"], theirs.bse, rtol=1e-8)
    np.testing.assert_allclose(likelihood, theirs.llf, rtol=1e-10)


def test_an_exposure_makes_a_model_of_rates() -> None:
    sites = {
        site: {name: column[columns["days"] > 0] for name, column in columns.items()}
        for site, columns in brca().items()
    }

    ours, _, _ = fit(sites, outcome="event", features=["age", "t2"], exposure="days")

    data = pooled(sites)
    x = sm.add_constant(np.stack([data["age"], data["t2"]], axis=1))
    family = sm.families.Poisson()
    theirs = sm.GLM(data["event"], x, family=family, exposure=data["days"]).fit(tol=1e-13, maxiter=200)
    np.testing.assert_allclose(ours["coefficients"], theirs.params, rtol=1e-8)


def test_a_step_that_goes_too_far_is_halved() -> None:
    # From 0, the first step for counts around 400 would make means of e^399.
    counts = {"y": np.array([380.0, 400, 420]), "x": np.array([-1.0, 0, 1])}

    ours, _, _ = fit({"a": counts}, outcome="y", features=["x"])

    theirs = sm.Poisson(counts["y"], sm.add_constant(counts["x"])).fit(disp=0, tol=1e-14)
    np.testing.assert_allclose(ours["coefficients"], theirs.params, rtol=1e-6)


@pytest.mark.parametrize("column", [[1.0, -1.0], [0.5, 1.0]])
def test_an_outcome_that_is_not_of_counts_fails(column: list[float]) -> None:
    settings = PoissonSettings(outcome="y", features=("x",), aggregated_by="aggregator")

    with pytest.raises(TaskError, match="'y' is not of counts"):
        local(Table({"y": column, "x": [1, 2]}), settings, np.zeros(2), np.zeros(1))


def test_an_exposure_of_nothing_fails() -> None:
    settings = PoissonSettings(outcome="y", features=("x",), exposure="t", aggregated_by="aggregator")

    with pytest.raises(TaskError, match="'t' has a number that is not above 0"):
        local(Table({"y": [1, 2], "x": [1, 2], "t": [1, 0]}), settings, np.zeros(2), np.zeros(1))
