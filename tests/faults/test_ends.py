"""A run can be stopped in any state, says whom it waits for, and waits for nobody without end."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
from tests.integration.deployment import Deployment, Run, done, hanse
from tests.processes import until

from hanse.core.run.round_events import ExchangeClosed, SiteIdle, TaskStarted, UpdateAccepted
from hanse.core.run.run_events import PlanAnswered, RunStarted
from hanse.wire.messages.runs import AwaitedSite

TRAIN_1, TRAIN_2 = 2, 4
HALF = {"deadline": "5m", "quorum": 0.5}


@pytest.fixture(scope="module")
def undisturbed(shared: Deployment) -> str:
    """The model of a run that nobody disturbs: `trial-1`."""
    return shared.submit().finished()


def test_a_run_that_awaits_answers_can_be_stopped_and_resumed(federation: Deployment) -> None:
    run = federation.submit(name="unheard-of", cohort={"approvals": "10m"})
    federation.agent("a").says("waits for a person to decide")
    federation.agent("b").says("waits for a person to decide")
    waited = run.status

    run.stop()
    stopped = run.status
    run.resume()
    for site in federation.sites.values():
        done("plan", "approve", waited.plan_digest[:12], "--site", site.directory)

    assert [(awaited.site, awaited.task) for awaited in waited.awaited] == [
        ("a", None),
        ("b", None),
    ]
    assert (stopped.phase, stopped.awaited) == ("stopped", ())
    run.finished()


def test_a_run_that_trains_can_be_stopped_and_resumed(
    federation: Deployment, undisturbed: str, tmp_path: Path
) -> None:
    run = training(federation)
    started = [*federation.aggregator.workers(), *federation.agent("a").workers()]

    run.stop()
    until(lambda: not any(process.runs for process in started), "the end of the workers")
    federation.release()
    run.resume()

    assert run.finished() == undisturbed
    run.export(tmp_path)


def test_a_run_can_be_stopped_and_resumed_while_all_sites_are_gone(
    federation: Deployment, undisturbed: str
) -> None:
    run = training(federation)
    for name in federation.sites:
        federation.agent(name).end(signal.SIGKILL)
    federation.release()

    run.stop()
    stopped = run.status
    run.resume()
    resumed = run.status
    for name in federation.sites:
        federation.start_agent(name)

    assert (stopped.phase, stopped.reason) == ("stopped", "stopped by an operator")
    assert [awaited.site for awaited in resumed.awaited] == ["a", "b"]
    assert run.finished() == undisturbed


@pytest.mark.usefixtures("undisturbed")
def test_a_run_that_is_finished_cannot_be_stopped(federation: Deployment) -> None:
    ended = hanse("run", "stop", "trial-1", "-d", federation.directory)

    assert ended.code == 5
    assert "run trial-1 is finished already" in ended.err


def test_a_missed_quorum_names_who_is_missing_and_can_be_made_up_for(federation: Deployment) -> None:
    federation.sites["b"].hold("train", 1)
    run = federation.submit(cohort={"deadline": "6s"})
    watching = federation.command("run", "watch", run.run_id, "-d", federation.directory)

    failed = run.over()

    reason = (
        "round 1, train: 1 of 2 sites answered within the deadline of 6 s; 2 are needed; b: had begun, and "
        "did not answer"
    )
    assert (failed.phase, failed.reason) == ("failed", reason)
    assert reason in hanse("run", "status", run.run_id, "-d", federation.directory).out
    federation.aggregator.says(f"{run.run_id} RunFailed error=quorum reason={reason}")
    watching.says(f"failed: {reason}")
    assert watching.ended() == 5
    federation.release()
    run.resume()
    run.finished()


def test_the_status_the_watch_and_the_log_name_who_is_waited_for_since_when_and_until_when(
    federation: Deployment,
) -> None:
    federation.sites["b"].hold("train", 1)
    before_ms = time.time() * 1000
    run = federation.submit()
    run.until(UpdateAccepted, exchange=TRAIN_1, site="a")
    run.until(TaskStarted, exchange=TRAIN_1, site="b")
    federation.sites["b"].held(run.run_id, "train", 1)

    status = json.loads(done("run", "status", run.run_id, "-d", federation.directory, "--json"))
    watching = federation.command("run", "watch", run.run_id, "-d", federation.directory)

    (found,) = status["awaited"]
    awaited = AwaitedSite.model_validate(found)
    assert (awaited.site, awaited.task, awaited.state, awaited.connected) == ("b", "train", "started", True)
    assert before_ms < awaited.since_ms < time.time() * 1000
    assert 0 < awaited.deadline_ms - before_ms - 300_000 < 60_000
    assert ", until 20" in watching.says("waiting for b (train, at work since 20")
    assert ", until 20" in federation.aggregator.says(
        f"run {run.run_id} waits for b (train, at work since 20"
    )
    federation.release()
    run.finished()
    assert watching.ended() == 0


@pytest.mark.parametrize("stopped", ["worker", "agent"])
def test_a_site_that_stands_still_is_no_longer_waited_for_and_can_come_back(
    federation: Deployment, stopped: str
) -> None:
    federation.sites["b"].hold("train", 1)
    federation.sites["a"].hold("train", 2)
    run = federation.submit(cohort=HALF | {"idle_limit": "2s"})
    federation.sites["b"].held(run.run_id, "train", 1)
    agent = federation.agent("b")
    still = agent.worker() if stopped == "worker" else agent
    still.send(signal.SIGSTOP)

    idle = run.until(SiteIdle, site="b")
    closed = run.until(ExchangeClosed, exchange=TRAIN_1)
    federation.sites["a"].held(run.run_id, "train", 2)
    federation.sites["b"].release()
    still.send(signal.SIGCONT)
    run.until(UpdateAccepted, exchange=TRAIN_2, site="b")
    federation.release()

    assert idle.silent_s >= 2
    assert (closed.cause, closed.answered, closed.missing) == ("idle", ("a",), ("b",))
    run.finished()
    told = done("run", "watch", run.run_id, "-d", federation.directory)
    assert "round 1, train: no sign of b for 2 s; the round waits for the others only" in told


def test_a_site_that_never_answers_the_plan_holds_up_nobody_for_longer_than_agreed(
    federation: Deployment,
) -> None:
    federation.agent("b").end(signal.SIGTERM)
    federation.sites["a"].hold("train", 1)  # or the run may be over before the agent of b has begun
    run = federation.submit(cohort=HALF | {"approvals": "1s"})

    begun = run.until(RunStarted)

    assert begun.population == ("a",)
    federation.start_agent("b")
    run.until(PlanAnswered, site="b")
    federation.release()
    run.finished()


def training(federation: Deployment) -> Run:
    """A run in whose second round both sites train."""
    for site in federation.sites.values():
        site.hold("train", 2)
    run = federation.submit()
    for site in federation.sites.values():
        site.held(run.run_id, "train", 2)
    return run
