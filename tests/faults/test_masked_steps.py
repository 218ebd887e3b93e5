"""Killed at any step of a masked sum, whoever it was, the sum is right, and no vector is masked twice."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.faults.invariants import check_what_was_told
from tests.faults.masked_invariants import check_masked
from tests.faults.processes import Step
from tests.faults.small_federation import SmallFederation, in_small_federation
from tests.faults.strikes import Campaign
from tests.faults.test_every_step import at_a_call, at_the_journal, strike_worker
from tests.integration.masked_plans import MODEL, SITES, model_plan

from hanse.core.run.lifecycle import MAX_RESTARTS
from hanse.transport.api.common_routes import UPLOAD
from hanse.transport.api.site_routes import RESULT, SUM_READY, SUM_ROSTER

pytestmark = pytest.mark.timeout(500)

ONE_SUM: dict[str, Any] = {"rounds": 1, "tasks": {"train": MODEL["tasks"]["train"]}}
ROUTES = (SUM_READY, SUM_ROSTER, UPLOAD, RESULT)
REQUESTS = {f"{when} {route.method} {route.path} by a" for when in ("before", "after") for route in ROUTES}
RECORDED = ("SiteReady", "UpdateAccepted", "ExchangeClosed", "SumOpened", "UpdatesAggregated")
MOST_ATTEMPTS_LOST = 12
"""Strikes in one exchange: each may cost its member a private key, and there are 16 attempts."""


@pytest.fixture(scope="module")
def small_federation() -> Iterator[SmallFederation]:
    with in_small_federation(*SITES, checked=True) as small_federation:
        yield small_federation


def check(campaign: Campaign, folder: Path) -> None:
    check_masked(campaign.small_federation, campaign.plan, folder)
    for watched in campaign.watched:
        check_what_was_told(watched, campaign.small_federation.federation.runs())


def asked_by_a(step: Step) -> bool:
    return any(step.what == f"{route.method} {route.path} by a" for route in ROUTES)


def of_the_sum_at_a(step: Step) -> bool:
    """What the agent of `a` does in a masked sum; `test_every_step` has the rest."""
    return asked_by_a(step) or (step.who == "a" and step.what.startswith(("sum ", "record ")))


def of_the_sum_at_the_aggregator(step: Step) -> bool:
    return asked_by_a(step) or (at_the_journal(step) and any(kind in step.what for kind in RECORDED))


def test_a_member_is_killed_before_and_after_each_step_of_its_part(
    small_federation: SmallFederation, tmp_path: Path
) -> None:
    plan = model_plan(small_federation.federation, **ONE_SUM)
    campaign = Campaign(
        *(small_federation, plan, of_the_sum_at_a, lambda _: small_federation.kill("a")),
        most=MOST_ATTEMPTS_LOST,
    )

    campaign.carry_out()

    check(campaign, tmp_path)
    struck = {tuple(name.split()[:3]) for name in campaign.struck}
    for kind in ("SumPrepared", "ReadyReleased", "RosterAccepted", "ResultReleased"):
        assert {("before", "record", kind), ("after", "record", kind)} <= struck
    files = {name for name in campaign.struck if name.startswith("after sum ")}
    steps = ("vector", "facts", "prepared", "ready", "ready sent", "roster", "masked")
    assert files >= {
        *(f"after sum {step} at a" for step in steps),
        *(f"after sum masked {step} at a" for step in ("recorded", "sent")),
    }
    assert set(campaign.struck) >= REQUESTS


def test_the_aggregator_is_killed_before_and_after_each_request_and_record_of_a_sum(
    small_federation: SmallFederation, tmp_path: Path
) -> None:
    plan = model_plan(small_federation.federation, **ONE_SUM)
    strike = partial(kill, small_federation)
    campaign = Campaign(small_federation, plan, of_the_sum_at_the_aggregator, strike)

    campaign.carry_out()

    check(campaign, tmp_path)
    for kind in RECORDED:
        for when in ("before", "after"):
            assert any(name.startswith(when) and kind in name for name in campaign.struck), (when, kind)
    assert set(campaign.struck) >= REQUESTS


def test_the_run_worker_is_killed_before_and_after_each_of_its_calls(
    small_federation: SmallFederation, tmp_path: Path
) -> None:
    plan = model_plan(small_federation.federation, **ONE_SUM)
    strike = partial(strike_worker, small_federation, "aggregator")
    campaign = Campaign(small_federation, plan, at_a_call, strike, most=MAX_RESTARTS)

    campaign.carry_out()

    check(campaign, tmp_path)
    called = {name.split()[2] for name in campaign.struck}
    assert called == {"standing", "sum", "commit", "finish"}


def kill(small_federation: SmallFederation, step: Step) -> None:
    small_federation.kill(step.who)
