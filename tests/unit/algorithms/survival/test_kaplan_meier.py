"""Survival curves, beside lifelines on the pooled rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from lifelines import KaplanMeierFitter
from tests.tables import brca, pooled, total

from hanse.algorithms.survival.kaplan_meier import KaplanMeierSettings, local, solve
from hanse.errors import TaskError, WorkflowError

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

    # Times are counted from 0.
    assert at_events["survival"].tolist() == daily["survival"][np.array(times, int)].tolist()


def test_each_category_has_a_curve_of_its_own() -> None:
    ours = found(horizon=8700, by={"column": "t2", "categories": [0, 1]})

    data = pooled(brca())
    for category in (0, 1):
        rows = data["t2"] == category
        theirs = KaplanMeierFitter().fit(data["days"][rows], data["event"][rows])
        expected = theirs.survival_function_at_times(ours["times"]).to_numpy()
        np.testing.assert_allclose(ours["survival"][category], expected, rtol=1e-12)


def site(days: list[float], event: list[int]) -> Any:
    return {"a": {"days": np.array(days), "event": np.array(event)}}


@pytest.mark.parametrize(
    ("times", "said"),
    [({"times": [10.0, 20.0]}, "between 10 and 20"), ({"horizon": 30}, "between 12 and 13")],
)
def test_an_event_between_the_times_is_refused(times: dict[str, Any], said: str) -> None:
    with pytest.raises(TaskError, match=f"in 1 row: the first is {said}"):
        found(site([10.0, 12.5, 15.0, 25.0], [1, 1, 0, 1]), **times)


def test_an_event_at_time_0_is_one_of_its_own() -> None:
    ours = found(site([0.0, 1.0, 2.0, 2.0], [1, 0, 1, 0]), horizon=2)

    assert ours["times"].tolist() == [0, 1, 2]
    assert ours["at_risk"].tolist() == [4, 3, 2]
    np.testing.assert_allclose(ours["survival"], [0.75, 0.75, 0.375])


def test_a_negative_time_is_refused() -> None:
    with pytest.raises(TaskError, match="'days' has a negative time in 1 row"):
        found(site([-1.0, 1.0], [0, 1]), horizon=2)


def test_intervals_have_half_of_the_rows_that_leave_within_them_at_risk() -> None:
    # One leaves at 15, within the second interval, and one at its end.
    ours = found(site([5.0, 12.0, 15.0, 20.0, 25.0], [1, 1, 0, 0, 1]), times=[10.0, 20.0], grouped=True)

    assert ours["events"].tolist() == [1, 1]
    assert ours["at_risk"].tolist() == [5, 3.5]
    np.testing.assert_allclose(ours["survival"], [4 / 5, 4 / 5 * (1 - 1 / 3.5)])


def test_intervals_of_a_year_give_nearly_the_curve_of_the_days() -> None:
    years = found(times=[365.0 * year for year in range(1, 15)], grouped=True)
    days = found(horizon=365 * 14)

    np.testing.assert_allclose(years["survival"], days["survival"][365::365], atol=0.01)


def test_a_table_with_nobody_at_risk_is_refused() -> None:
    with pytest.raises(WorkflowError, match="no row of any site is at risk"):
        found(site([1.0, 2.0], [0, 0]), times=[5.0])


@pytest.mark.parametrize("given", [{}, {"times": [1.0, 2.0], "horizon": 5}])
def test_times_are_said_in_one_way(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="say either `times` or `horizon`"):
        KaplanMeierSettings.model_validate(EVENTS | given)


def test_times_that_are_not_ascending_are_refused() -> None:
    with pytest.raises(ValueError, match="ascending"):
        KaplanMeierSettings.model_validate(EVENTS | {"times": [2.0, 1.0]})
