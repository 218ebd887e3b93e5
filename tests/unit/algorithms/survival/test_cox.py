"""Cox regression, beside statsmodels and lifelines on the pooled rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter
from statsmodels.duration.hazard_regression import PHReg
from tests.tables import brca, pooled, total
from tests.unit.algorithms.regression.fitting import fitted

from hanse.algorithms.survival.cox import CoxSettings, baseline, curvature, local
from hanse.errors import WorkflowError

FEATURES = ["age", "white", "stage_iia", "t2", "synchronous"]


def settings(**changes: Any) -> CoxSettings:
    data = pooled(brca())
    times = sorted(set(data["days"][data["event"] == 1].tolist()))
    given = {"time": "days", "event": "event", "times": times, "features": FEATURES}
    return CoxSettings.model_validate({**given, **changes, "aggregated_by": "aggregator"})


def sums(chosen: CoxSettings, beta: Any) -> Any:
    return total(brca(), lambda table: local(table, chosen, beta, np.zeros(chosen.inputs)))["risk"]


def fit(chosen: CoxSettings) -> Any:
    return fitted(
        lambda beta: curvature(sums(chosen, beta), beta, chosen),
        chosen.inputs,
        chosen.features,
        intercept=False,
    )


def test_the_model_is_that_of_the_pooled_rows_with_ties_after_breslow() -> None:
    ours, _, likelihood = fit(settings())

    data = pooled(brca())
    x = np.stack([data[name] for name in FEATURES], axis=1)
    model = PHReg(data["days"], x, status=data["event"], ties="breslow")
    theirs = model.fit(disp=0, tol=1e-12)
    np.testing.assert_allclose(ours["coefficients"], theirs.params, rtol=1e-8)
    np.testing.assert_allclose(ours["standard_errors"], theirs.bse, rtol=1e-8)
    np.testing.assert_allclose(likelihood, model.loglike(theirs.params), rtol=1e-10)


def test_without_ties_the_model_and_its_baseline_are_those_of_lifelines() -> None:
    # lifelines has ties after Efron, which differ from Breslow's only where there are some.
    data = {
        site: {**columns, "days": columns["days"] + np.arange(len(columns["days"])) * 1e-4 + number * 1e-5}
        for number, (site, columns) in enumerate(brca().items())
    }
    whole = pooled(data)
    times = sorted(set(whole["days"][whole["event"] == 1].tolist()))
    chosen = settings(times=times, features=["age", "t2"])

    def at(beta: Any) -> Any:
        return total(data, lambda table: local(table, chosen, beta, np.zeros(2)))["risk"]

    ours, _, _ = fitted(lambda beta: curvature(at(beta), beta, chosen), 2, chosen.features, intercept=False)

    frame = pd.DataFrame({name: whole[name] for name in ("days", "event", "age", "t2")})
    theirs = CoxPHFitter().fit(frame, "days", "event", fit_options={"precision": 1e-12})
    # Its search ends earlier than ours; the baseline is compared at the coefficients that it found.
    np.testing.assert_allclose(ours["coefficients"], theirs.params_, rtol=1e-5)

    hazard = np.asarray(
        baseline(at(theirs.params_.to_numpy()), theirs.params_.to_numpy(), np.zeros(2))["cumulative_hazard"]
    )
    centred = theirs.baseline_cumulative_hazard_["baseline cumulative hazard"]
    shift = np.exp(-frame[["age", "t2"]].mean() @ theirs.params_)
    np.testing.assert_allclose(hazard, centred.loc[times] * shift, rtol=1e-8)


def test_coarser_times_give_a_model_of_their_own_that_is_near() -> None:
    exact, _, _ = fit(settings())
    coarse, _, _ = fit(settings(times=list(range(0, 9000, 90)), grouped=True))

    distance = np.abs(exact["coefficients"] - coarse["coefficients"]) / exact["standard_errors"]
    assert 0 < distance.max() < 0.2


def test_a_table_without_events_is_refused() -> None:
    with pytest.raises(WorkflowError, match="no events"):
        fit(settings(times=[0.001, 0.002]))
