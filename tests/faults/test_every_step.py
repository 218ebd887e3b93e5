"""Killed right before or right after any step of the protocol, whoever it was, nothing is lost.

The steps are not chosen: a run is struck at every one at which no run was struck before, until a whole
run goes by without a new one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.faults.invariants import check_everything, check_what_was_told
from tests.faults.processes import Step
from tests.faults.small_federation import SmallFederation, in_small_federation
from tests.faults.strikes import Campaign
from tests.integration.deployment import PLAN
from tests.thorough import THOROUGH, sample

from hanse.core.run.lifecycle import MAX_RESTARTS
from hanse.transport.api.common_routes import BLOB, HELLO, UPLOAD, UPLOAD_STATE
from hanse.transport.api.run_routes import EVENTS, SUBMIT
from hanse.transport.api.site_routes import ANSWER, PROGRESS, RESULT
from hanse.transport.client.blobs import WORTH_ASKING

pytestmark = pytest.mark.timeout(500)
THE_LONGEST = pytest.mark.skipif(not THOROUGH, reason="one of the longest campaigns: tried with THOROUGH=1")

ONE_ROUND = {"rounds": 1}
LONG = WORTH_ASKING
"""Bytes of a blob of which it is asked how much is there, before it is brought."""


@pytest.fixture(scope="module")
def small_federation() -> Iterator[SmallFederation]:
    with in_small_federation("a", "b") as small_federation:
        yield small_federation


def check(campaign: Campaign, folder: Path) -> None:
    check_everything(campaign.small_federation, campaign.plan, folder)
    for watched in campaign.watched:
        check_what_was_told(watched, campaign.small_federation.federation.runs())


def at_the_journal(step: Step) -> bool:
    return step.what.startswith("journal ")


def at_a_copy(step: Step) -> bool:
    return step.what.startswith("copy ")


def of_site_a(step: Step) -> bool:
    """What the agent of `a` does, asks and tells; but questions that wait, it asks again and again."""
    if step.what.startswith("journal "):
        return "site=a" in step.what
    return step.who == "a" or (step.what.endswith(" by a") and "/v1/next" not in step.what)


def at_a_task_of_a(step: Step) -> bool:
    return step.who == "a" and step.what.startswith(("order ", "report "))


def by_the_operator(step: Step) -> bool:
    return step.what.endswith(" by operator")


def at_a_call(step: Step) -> bool:
    return step.what.startswith("call ")


def test_the_aggregator_is_killed_before_and_after_every_record_of_the_journal(
    small_federation: SmallFederation, tmp_path: Path
) -> None:
    plan = small_federation.federation.plan(**ONE_ROUND, tasks={"train": PLAN["tasks"]["train"]})
    campaign = Campaign(small_federation, plan, at_the_journal, lambda step: small_federation.kill(step.who))

    campaign.carry_out()

    check(campaign, tmp_path)
    kinds = {event.kind for run in small_federation.federation.runs() for event in run.events}
    for when in ("before", "after"):
        struck = " ".join(name for name in campaign.struck if name.startswith(when))
        assert all(kind in struck for kind in kinds)


def test_the_aggregator_is_killed_while_it_takes_in_each_file_of_the_runs_worker(
    small_federation: SmallFederation, tmp_path: Path
) -> None:
    plan = small_federation.federation.plan(**ONE_ROUND)
    campaign = Campaign(small_federation, plan, at_a_copy, lambda step: small_federation.kill(step.who))

    campaign.carry_out()

    check(campaign, tmp_path)
    assert len(campaign.struck) == 2  # a model, and the state of the server's optimizer


@THE_LONGEST
def test_an_agent_is_killed_before_and_after_everything_that_it_asks_and_tells(
    small_federation: SmallFederation, tmp_path: Path
) -> None:
    plan = small_federation.federation.plan(**ONE_ROUND, options={"size": LONG // 4})
    campaign = Campaign(small_federation, plan, of_site_a, lambda _: small_federation.kill("a"))

    campaign.carry_out()

    check(campaign, tmp_path)
    served = {name.partition(" by ")[0] for name in campaign.struck}
    for route in (HELLO, ANSWER, PROGRESS, BLOB, UPLOAD_STATE, UPLOAD, RESULT):
        assert {f"{when} {route.method} {route.path}" for when in ("before", "after")} <= served
    recorded = {tuple(name.split()[:3]) for name in campaign.struck if " record " in name}
    assert recorded >= {
        (when, "record", kind)
        for when in ("before", "after")
        for kind in ("PlanAnswerReleased", "ResultReleased")
    }


def test_the_run_worker_is_killed_before_and_after_each_of_its_calls(
    small_federation: SmallFederation, tmp_path: Path
) -> None:
    plan = small_federation.federation.plan(**ONE_ROUND)
    strike = partial(strike_worker, small_federation, "aggregator")
    campaign = Campaign(small_federation, plan, at_a_call, strike, most=MAX_RESTARTS)

    campaign.carry_out()

    check(campaign, tmp_path)
    called = {name.split()[2] for name in campaign.struck}
    assert called == {"standing", "open_round", "sum", "ask", "commit", "finish"}


@THE_LONGEST
def test_the_aggregator_is_killed_before_and_after_everything_that_an_operator_asks_who_submits_and_watches(
    small_federation: SmallFederation, tmp_path: Path
) -> None:
    plan = small_federation.federation.plan(**ONE_ROUND, code=["momentum.py", "long.py"])
    (plan.parent / "long.py").write_text("#" * LONG)
    campaign = Campaign(small_federation, plan, by_the_operator, lambda step: small_federation.kill(step.who))

    campaign.carry_out()

    check(campaign, tmp_path)
    asked = {name.removesuffix(" by operator") for name in campaign.struck}
    for route in (UPLOAD_STATE, UPLOAD, SUBMIT, EVENTS):
        assert {f"{when} {route.method} {route.path}" for when in ("before", "after")} <= asked


@pytest.mark.parametrize("victim", sample([SmallFederation.kill_worker, SmallFederation.kill_guard], 1))
def test_a_task_worker_or_its_guard_is_killed_before_and_after_each_order_and_report(
    small_federation: SmallFederation, tmp_path: Path, victim: Callable[[SmallFederation, str], None]
) -> None:
    tasks = {name: {**task, "retries": 10} for name, task in PLAN["tasks"].items()}
    plan = small_federation.federation.plan(**ONE_ROUND, tasks=tasks)
    campaign = Campaign(small_federation, plan, at_a_task_of_a, lambda _: victim(small_federation, "a"))

    campaign.carry_out()

    check(campaign, tmp_path)
    assert {tuple(name.split()[:3]) for name in campaign.struck} == {
        (when, what, task)
        for when, what in (("before", "order"), ("after", "order"), ("after", "report"))
        for task in ("initialise", "train", "evaluate")
    }


def strike_worker(small_federation: SmallFederation, who: str, _: Step) -> None:
    small_federation.kill_worker(who)
