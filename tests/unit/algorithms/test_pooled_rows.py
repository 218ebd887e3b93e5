"""Workflows on the pooled rows, simulated: large means, sites that are lost, and no largest likelihood."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from statsmodels.duration.hazard_regression import PHReg
from tests.tables import Columns, pooled

import hanse
from hanse.errors import WorkflowError

ILL = {"column": "ill", "categories": [0, 1]}


def learner(site: Any) -> Any:
    return hanse.TableLearner(site.data["rows"], site.options)


def simulated(sites: Mapping[str, Columns], make: Any = learner, **plan: Any) -> Any:
    data = {site: {"rows": columns} for site, columns in sites.items()}
    plan["algorithm"] = {**plan["algorithm"], "aggregated_by": "aggregator"}
    return hanse.simulate(make, data, progress=False, **plan)


def around(mean: float, sd: float) -> dict[str, Columns]:
    """Three sites whose column `t` has a large mean, that outcome, counts and times depend on."""
    random = np.random.default_rng(3)
    sites = {}
    for site in "abc":
        t, u = mean + random.normal(0, sd, 120), random.normal(size=120)
        predictor = 0.5 * (t - mean) / sd - 0.3 * u
        sites[site] = {
            "t": t,
            "u": u,
            "ill": (random.random(120) < 1 / (1 + np.exp(-predictor))).astype(float),
            "visits": random.poisson(np.exp(predictor)).astype(float),
            "days": np.ceil(random.exponential(30 * np.exp(-predictor))),
            "event": (random.random(120) < 0.7).astype(float),
        }
    return sites


@pytest.mark.parametrize(("mean", "sd"), [(1.7e9, 3.0), (1e6, 1.0)])
class TestLargeMeans:
    def rows(self, mean: float, sd: float) -> tuple[dict[str, Columns], Columns, Any]:
        sites = around(mean, sd)
        data = pooled(sites)
        return sites, data, np.stack([data["t"] - mean, data["u"]], axis=1)

    def test_of_logistic_regression_lose_no_digits(self, mean: float, sd: float) -> None:
        sites, data, x = self.rows(mean, sd)

        run = simulated(
            sites, algorithm={"name": "logistic_regression", "outcome": ILL, "features": ["t", "u"]}
        )

        theirs = sm.Logit(data["ill"], sm.add_constant(x)).fit(disp=0, tol=1e-14)
        ours = run.results["logistic_regression"]
        np.testing.assert_allclose(ours["coefficients"][1:], theirs.params[1:], rtol=1e-8)
        np.testing.assert_allclose(ours["standard_errors"][1:], theirs.bse[1:], rtol=1e-8)
        intercept = theirs.params[0] - mean * theirs.params[1]
        np.testing.assert_allclose(ours["coefficients"][0], intercept, rtol=1e-8)

    def test_of_poisson_regression_lose_no_digits(self, mean: float, sd: float) -> None:
        sites, data, x = self.rows(mean, sd)

        run = simulated(
            sites, algorithm={"name": "poisson_regression", "outcome": "visits", "features": ["t", "u"]}
        )

        theirs = sm.Poisson(data["visits"], sm.add_constant(x)).fit(disp=0, tol=1e-14)
        ours = run.results["poisson_regression"]
        np.testing.assert_allclose(ours["coefficients"][1:], theirs.params[1:], rtol=1e-8)
        np.testing.assert_allclose(ours["standard_errors"][1:], theirs.bse[1:], rtol=1e-8)

    def test_of_cox_regression_lose_no_digits(self, mean: float, sd: float) -> None:
        sites, data, x = self.rows(mean, sd)
        times = {"time": "days", "event": "event", "times": sorted(set(data["days"].tolist()))}

        run = simulated(sites, algorithm={"name": "cox_regression", **times, "features": ["t", "u"]})

        model = PHReg(data["days"], x, status=data["event"], ties="breslow")
        theirs = model.fit(disp=0, tol=1e-12)
        ours = run.results["cox_regression"]
        np.testing.assert_allclose(ours["coefficients"], theirs.params, rtol=1e-8)
        np.testing.assert_allclose(ours["standard_errors"], theirs.bse, rtol=1e-8)


def test_the_run_ends_with_the_last_step_and_says_whose_rows_it_was_of() -> None:
    run = simulated(
        around(0, 1), algorithm={"name": "logistic_regression", "outcome": ILL, "features": ["t"]}
    )

    assert len(run.history["round"]) == run.results["logistic_regression_fit"]["rounds"] < 10
    sample = run.results["logistic_regression_sample"]
    assert (sample["rows"], sample["sites"]) == (360, 3)


def test_too_few_rounds_are_refused() -> None:
    algorithm = {"name": "logistic_regression", "outcome": ILL, "features": ["t"], "rounds": 2}

    with pytest.raises(WorkflowError, match="has not converged in 2 rounds"):
        simulated(around(0, 1), algorithm=algorithm)


@pytest.mark.parametrize(
    ("x", "rounds"),
    [
        pytest.param(lambda ill: ill * 2.0 + 0.1, 25, id="complete"),
        pytest.param(lambda ill: ill * (np.arange(len(ill)) % 2), 100, id="quasi-complete"),
    ],
)
def test_an_outcome_that_inputs_tell_apart_is_refused(x: Any, rounds: int) -> None:
    sites = {site: {**columns, "x": x(columns["ill"])} for site, columns in around(0, 1).items()}
    algorithm = {"name": "logistic_regression", "outcome": ILL, "features": ["x"], "rounds": rounds}

    with pytest.raises(WorkflowError, match="separate outcomes without error"):
        simulated(sites, algorithm=algorithm)


def test_a_ridge_gives_coefficients_to_a_separated_outcome() -> None:
    sites = {site: {**columns, "x": columns["ill"]} for site, columns in around(0, 1).items()}
    algorithm = {"name": "logistic_regression", "outcome": ILL, "features": ["x"], "ridge": 1.0}

    assert simulated(sites, algorithm=algorithm).results["logistic_regression"]["coefficients"][1] > 1


class Leaves(hanse.TableLearner):
    """A site that is gone after the first round."""

    def logistic_curvature(self, parameters: Any, task: Any) -> Any:
        return self._unless_gone(task) or super().logistic_curvature(parameters, task)

    def locate(self, parameters: Any, task: Any) -> Any:
        return self._unless_gone(task) or super().locate(parameters, task)

    def assign(self, parameters: Any, task: Any) -> Any:
        return self._unless_gone(task) or super().assign(parameters, task)

    def _unless_gone(self, task: Any) -> None:
        if task.round_number > 1:
            raise RuntimeError("gone")


@pytest.mark.parametrize(
    "algorithm",
    [
        {"name": "logistic_regression", "outcome": ILL, "features": ["t"]},
        {"name": "quantiles", "ranges": {"t": [-9, 9]}},
        {"name": "kmeans", "columns": ["t", "u"], "centres": [[-1, 0], [1, 0]]},
    ],
    ids=lambda algorithm: algorithm["name"],
)
def test_a_site_that_is_lost_ends_the_run(algorithm: dict[str, Any]) -> None:
    def make(site: Any) -> Any:
        kind = Leaves if site.name == "b" else hanse.TableLearner
        return kind(site.data["rows"], site.options)

    with pytest.raises(WorkflowError, match="without b, other sites than before"):
        simulated(around(0, 1), make, algorithm=algorithm, cohort={"minimum": 2, "quorum": 0.5})


def test_kmeans_ends_once_no_centre_moves() -> None:
    algorithm = {"name": "kmeans", "columns": ["t", "u"], "centres": [[-1, 0], [1, 0]], "rounds": 200}

    run = simulated(around(1e6, 1), algorithm={**algorithm, "centres": [[1e6 - 1, 0], [1e6 + 1, 0]]})

    assert run.results["kmeans"]["converged"] == 1
    assert len(run.history["round"]) < 100


def test_python_is_warned_as_the_command_is(caplog: pytest.LogCaptureFixture) -> None:
    def make(site: Any) -> Any:
        if site.name == "b":
            raise RuntimeError("gone")
        return learner(site)

    simulated(
        around(0, 1),
        make,
        algorithm={"name": "summary", "columns": ["t"]},
        cohort={"minimum": 2, "quorum": 0.5},
    )

    assert "b failed, and the run continued without it" in caplog.text
    assert "sites refuse this plan by default" in caplog.text


@pytest.mark.parametrize(
    "algorithm",
    [
        {"name": "summary", "columns": ["u", "lab"], "correlation": True},
        {"name": "contingency", "rows": {"column": "lab", "categories": [1, 2]}, "columns": ILL},
        {"name": "logistic_regression", "outcome": ILL, "features": ["lab"]},
        {"name": "kaplan_meier", "time": "lab", "event": "event", "horizon": 5},
    ],
    ids=lambda algorithm: algorithm["name"],
)
def test_tables_of_which_all_rows_are_left_out_are_refused(algorithm: dict[str, Any]) -> None:
    sites = {site: {**columns, "lab": np.full(120, np.nan)} for site, columns in around(0, 1).items()}

    with pytest.raises(WorkflowError, match="no site has a row with the values that are needed"):
        simulated(sites, algorithm={**algorithm, "missing": "leave_out"})
