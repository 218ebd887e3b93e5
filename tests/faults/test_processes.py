"""Whoever ends, and however: of what it has started, nothing stays; the run goes on with the next."""

from __future__ import annotations

import signal

import pytest
from tests.integration.deployment import Deployment
from tests.processes import until

ENDS_WITH = {signal.SIGTERM: 0, signal.SIGINT: 130, signal.SIGKILL: -9}


@pytest.mark.parametrize("number", ENDS_WITH, ids=lambda number: number.name)
def test_no_worker_outlives_the_aggregator_or_an_agent(
    federation: Deployment, number: signal.Signals
) -> None:
    federation.sites["a"].hold("train", 1)
    run = federation.submit()
    federation.sites["a"].held(run.run_id, "train", 1)
    parties = (federation.aggregator, federation.agent("a"))
    working = [party.worker() for party in parties]

    codes = [party.end(number) for party in parties]

    for party in parties:
        party.must_be_gone()
    assert not any(worker.runs for worker in working)
    assert codes == [ENDS_WITH[number]] * 2
    federation.start_aggregator()
    federation.start_agent("a")
    federation.release()
    run.finished()


def test_the_worker_of_a_run_that_is_over_ends(federation: Deployment) -> None:
    federation.sites["a"].hold("train", 1)
    run = federation.submit()
    federation.sites["a"].held(run.run_id, "train", 1)
    working = (federation.aggregator.worker(), federation.agent("a").worker())

    federation.release()
    run.finished()

    federation.agent("a").says(f"run {run.run_id}: its worker ended")
    assert not working[1].runs
    until(lambda: not working[0].runs, "the end of the run's worker")
