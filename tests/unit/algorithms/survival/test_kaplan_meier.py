"""Survival curves, beside lifelines on the pooled rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from lifelines import KaplanMeierFitter
from tests.tables import brca, pooled, total

from hanse.algorithms.survival.kaplan_meier import KaplanMeierSettings, local, solve

EVENTS = {"time": "days", "event": "event", "aggregated_by": "aggregator"}


def found(sites: Any = None, **changes: Any) -> Any:
    settings = KaplanMeierSettings.model_validate(EVENTS | changes)
    return solve(total(sites or brca(), lambda table: local(table, settings))["survival"], settings)


def test_a_curve_is_that_of_the_pooled_rows() -> None:
    ours = found(horizon=8700)

    data = pooled(brca())
    theirs = KaplanMeierFitter().fit(data["days"], data["event"])
    np.testing.assert_allclose(
        ours["survival"], theirs.survival_function_at_times(ours["times"]).to_numpy(), rtol=1e-12
    )
    events = theirs.event_table[theirs.event_table["observed"] > 0]
    places = np.searchsorted(ours["times"], events.index.to_numpy())
    assert ours["events"][places].tolist() == events["observed"].tolist()
    assert ours["at_risk"][places].tolist() == events["at_risk"].tolist()


def test_the_limits_are_those_of_the_pooled_rows() -> None:
    ours = found(horizon=5000)

    data = pooled(brca())
    theirs = KaplanMeierFitter(alpha=0.05).fit(data["days"], data["event"], timeline=ours["times"])
    limits = theirs.confidence_interval_survival_function_
    inside = (ours["survival"] < 1) & (ours["survival"] > 0)
    np.testing.assert_allclose(ours["lower"][inside], limits.iloc[:, 0][inside], rtol=1e-8)
    np.testing.assert_allclose(ours["upper"][inside], limits.iloc[:, 1][inside], rtol=1e-8)
    assert np.isnan(ours["lower"][~inside]).all()


def test_the_times_of_the_events_alone_lose_nothing() -> None:
    data = pooled(brca())
    times = sorted(set(data["days"][data["event"] == 1].tolist()))

    at_events, daily = found(times=times), found(horizon=8700)

    # Times are counted from 1.
    assert at_events["survival"].tolist() == daily["survival"][np.array(times, int) - 1].tolist()


def test_each_category_has_a_curve_of_its_own() -> None:
    ours = found(horizon=8700, by={"column": "t2", "categories": [0, 1]})

    data = pooled(brca())
    for category in (0, 1):
        rows = data["t2"] == category
        theirs = KaplanMeierFitter().fit(data["days"][rows], data["event"][rows])
        expected = theirs.survival_function_at_times(ours["times"]).to_numpy()
        np.testing.assert_allclose(ours["survival"][category], expected, rtol=1e-12)


def test_an_event_between_the_times_counts_at_the_next() -> None:
    sites = {"a": {"days": np.array([5.0, 12.0, 15.0, 25.0]), "event": np.array([1, 1, 0, 1])}}

    ours = found(sites, times=[10.0, 20.0])

    # At 20, who left at 15 is not at risk, and who had the event at 12 is.
    assert ours["at_risk"].tolist() == [4, 2]
    assert ours["events"].tolist() == [1, 1]


@pytest.mark.parametrize("given", [{}, {"times": [1.0, 2.0], "horizon": 5}])
def test_times_are_said_in_one_way(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="say either `times` or `horizon`"):
        KaplanMeierSettings.model_validate(EVENTS | given)


def test_times_that_are_not_ascending_are_refused() -> None:
    with pytest.raises(ValueError, match="ascending"):
        KaplanMeierSettings.model_validate(EVENTS | {"times": [2.0, 1.0]})
