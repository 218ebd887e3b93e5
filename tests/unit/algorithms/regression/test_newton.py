"""Newton's method where a step goes too far, or where there is nothing to find."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import hanse

SITES = {
    "a": {"x": np.array([-1.0, 0.5, 2.0]), "y": np.array([380.0, 400, 420])},
    "b": {"x": np.array([0.0, 1.0, -2.0]), "y": np.array([390.0, 410, 370])},
    "c": {"x": np.array([1.5, -0.5, 0.2]), "y": np.array([405.0, 395, 400])},
}


def fitted(name: str, sites: Any, **settings: Any) -> Any:
    algorithm = {"name": name, "features": ["x"], "outcome": "y", "aggregated_by": "aggregator", **settings}
    return hanse.simulate(
        lambda site: hanse.TableLearner(site.data["rows"], site.options),
        {site: {"rows": rows} for site, rows in sites.items()},
        algorithm=algorithm,
    ).results


def test_where_rounds_run_out_there_is_an_error_and_no_result() -> None:
    # The first step would make means of e^399; two rounds of halving are not enough.
    with pytest.raises(hanse.HanseError, match="has not converged"):
        fitted("poisson_regression", SITES, rounds=3)


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("poisson_regression", lambda x: np.zeros(len(x))),
        ("logistic_regression", lambda x: np.zeros(len(x), np.int64)),
    ],
)
def test_a_likelihood_without_a_maximum_is_refused(name: str, outcome: Any) -> None:
    sites = {site: {"x": rows["x"], "y": outcome(rows["x"])} for site, rows in SITES.items()}
    categories = {"outcome": {"column": "y", "categories": [0, 1]}} if name.startswith("log") else {}

    with pytest.raises(hanse.HanseError, match=r"has no largest likelihood|no maximum|has not converged"):
        fitted(name, sites, rounds=60, **categories)
