"""Sites that end workers which have no task: with real processes, and the same model to the bit."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from tests.integration.deployment import deployed
from tests.integration.masked_plans import SITES, check_peers, model_plan, trained
from tests.integration.test_groups import simulated
from tests.processes import until

from hanse.core.run.sums.events import SumAttempted

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

WORKER = {"idle": "1s"}
ENDED = "ended after 1s without a task, as `worker: {idle: 1s}` says"

PLAN: dict[str, Any] = {
    "rounds": 3,
    "options": {"size": 3000},
    "compression": {"upload": [{"name": "top_k", "fraction": 0.3}, "int8", "zstd"], "smallest": 1},
}
"""Sites keep a momentum, and what compression has left out."""


def test_a_site_that_ends_its_worker_while_it_waits_for_another_gives_the_same_model(tmp_path: Path) -> None:
    with deployed(tmp_path / "deployed") as federation:
        quick, late = federation.join("a"), federation.join("b")
        quick.settings(worker=WORKER)
        federation.start_agent("b")
        agent = federation.start_agent("a")
        quick.hold("train", 1)
        late.hold("train", 2)
        quick.hold("train", 3)
        run = federation.submit(**PLAN)

        quick.held(run.run_id, "train", 1)
        first = agent.worker()
        quick.release()
        quick.hold("train", 3)
        late.held(run.run_id, "train", 2)
        agent.says(ENDED)
        until(lambda: not agent.workers(), "the end of the idle worker")
        late.release()
        quick.held(run.run_id, "train", 3)
        second = agent.worker()
        quick.release()
        model = run.finished()
        there = simulated(federation, federation.plan(**PLAN), tmp_path / "simulated", ("a", "b"))

    assert not first.runs
    assert first.pid != second.pid
    assert there["model"] == model


def test_an_agent_that_is_killed_while_it_ends_an_idle_worker_leaves_none_and_goes_on(tmp_path: Path) -> None:
    plan = PLAN | {"code": ["momentum.py", "lingering.py"], "learner": "lingering:learner"}
    with deployed(tmp_path / "deployed") as federation:
        quick, late = federation.join("a"), federation.join("b")
        quick.settings(worker=WORKER)
        federation.start_agent("b")
        agent = federation.start_agent("a")
        for site in (quick, late):
            site.hold("train", 2)
        run = federation.submit(**plan)

        for site in (quick, late):
            site.held(run.run_id, "train", 2)
        (quick.data / "linger").touch()
        quick.release()
        ending = quick.directory / "runs" / run.run_id / "work" / "site" / "ending"
        until(ending.exists, "a worker that is being ended")
        agent.end(signal.SIGKILL)
        agent.must_be_gone()
        (quick.data / "linger").unlink()
        federation.start_agent("a")
        late.release()
        model = run.finished()
        there = simulated(federation, federation.plan(**plan), tmp_path / "simulated", ("a", "b"))

    assert there["model"] == model


def test_a_masked_sum_does_not_miss_a_worker_that_has_ended(tmp_path: Path) -> None:
    with deployed(tmp_path) as federation:
        for name in SITES:
            federation.join(name)
        check_peers(federation)
        federation.sites["a"].settings(worker=WORKER)
        for name in SITES:
            federation.start_agent(name)
        federation.sites["c"].hold("train", 1)
        run = federation.submit_file(model_plan(federation))

        federation.sites["c"].held(run.run_id, "train", 1)
        federation.agent("a").says(ENDED)
        federation.release()
        run.finished()
        model = run.model(tmp_path / "results")

    assert model["weight"] == pytest.approx(trained(2), abs=1e-5)
    assert not [event for event in run._events if isinstance(event, SumAttempted)]
