"""Masked sums of three sites, every party a process of its own."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from tests.integration.deployment import Deployment, Run, deployed, done
from tests.integration.masked_plans import COUNTS, SITES, check_peers, model_plan, trained

from hanse.core.run.round_events import RoundCommitted, TaskFailed, UpdateAccepted
from hanse.core.run.sums.events import SiteReady, SumAttempted, SumOpened

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@contextmanager
def checked(root: Path) -> Iterator[Deployment]:
    """A federation of three sites whose people have checked each other's keys."""
    with deployed(root) as federation:
        for name in SITES:
            federation.join(name)
        check_peers(federation)
        for name in SITES:
            federation.start_agent(name)
        yield federation


def counting(federation: Deployment) -> Run:
    """Begin a run that counts; people at all sites have read its workflow."""
    plan = federation.plan(**COUNTS)
    for site in federation.sites.values():
        done("plan", "approve", plan, "--site", site.directory)
    return federation.submit_file(plan)


def test_counts_are_summed_and_the_journal_has_none_of_a_site(tmp_path: Path) -> None:
    with checked(tmp_path) as federation:
        run = counting(federation)
        status = run.over()
        exported = run.export(tmp_path / "results")
    assert (status.phase, status.reason) == ("finished", "")
    # Each site has its place, 2, 3 and 4.
    counts = np.load(exported / "results" / "counts.npz")["all"]
    assert counts.tolist() == [0, 1, 3 + 1, 3 + 1, 3]
    assert {e.num_examples for e in run._events if isinstance(e, UpdateAccepted)} == {0}
    assert sum(isinstance(e, SumOpened) for e in run._events) == 2


def test_a_failure_says_its_kind_and_a_resumed_run_asks_only_who_failed(tmp_path: Path) -> None:
    with checked(tmp_path) as federation:
        federation.sites["b"].hold("count", 1)
        federation.sites["b"].fail("late")
        run = counting(federation)
        for site in ("a", "c"):  # the failure would end their tasks before they are prepared
            run.until(SiteReady, exchange=1, site=site)
        federation.release()
        failed = run.over()
        federation.sites["b"].recover()
        run.resume()
        status = run.over()
        run.export(tmp_path / "results")
        performed = {name: site.performed(run.run_id) for name, site in federation.sites.items()}
        events = run.events
    assert failed.phase == "failed"
    assert [event.reason for event in events if isinstance(event, TaskFailed)] == [
        "task count failed (data); the site's own log says more"
    ]
    assert "told to fail" not in str(events)
    assert (status.phase, status.reason) == ("finished", "")
    assert performed["a"] == performed["c"] == ["count-1", "count-2"]


def test_a_model_is_trained_though_agents_and_aggregator_are_killed(tmp_path: Path) -> None:
    with checked(tmp_path) as federation:
        plan = model_plan(federation)
        for name in SITES:
            federation.sites[name].hold("train", 2)
        run = federation.submit_file(plan)
        federation.sites["b"].held(run.run_id, "train", 2)
        federation.agent("b").end(signal.SIGKILL)
        federation.sites["a"].release()
        run.until(SiteReady, exchange=3, site="a")
        federation.agent("a").end(signal.SIGKILL)
        federation.aggregator.end(signal.SIGKILL)
        federation.restart_aggregator()
        federation.release()
        federation.start_agent("a")
        federation.start_agent("b")
        run.finished()
        model = run.model(tmp_path / "results")
    assert model["weight"] == pytest.approx(trained(2), abs=1e-5)
    committed = [e for e in run._events if isinstance(e, RoundCommitted)]
    assert len(committed) == 3
    assert [e.site for e in run._events if isinstance(e, SumAttempted)] == ["a"]
