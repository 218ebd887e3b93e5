"""Killed at any point of a run, whoever it was, the run ends with the same model to the bit."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.deployment import Deployment, Run
from tests.processes import until
from tests.thorough import sample

from hanse.core.run.events import Event
from hanse.core.run.round_events import (
    ExchangeClosed,
    ExchangeOpened,
    RoundCommitted,
    TaskStarted,
    UpdateAccepted,
)
from hanse.core.run.run_events import RunRecovered, WorkerRestarted

TRAIN_2, EVALUATE_2 = 4, 5
"""Numbers of exchanges."""


@pytest.fixture(scope="module")
def undisturbed(shared: Deployment) -> str:
    """The model of a run that nobody disturbs."""
    return shared.submit().finished()


# ----------------------------------------------------------------- who is killed


def aggregator(federation: Deployment) -> None:
    federation.aggregator.end(signal.SIGKILL)
    federation.start_aggregator()


def agent(federation: Deployment) -> None:
    federation.agent("a").end(signal.SIGKILL)
    federation.start_agent("a")


def task_worker(federation: Deployment) -> None:
    federation.agent("a").worker().send(signal.SIGKILL)


def guard(federation: Deployment) -> None:
    """The process that stays behind to end the task worker."""
    federation.agent("a").workers()[0].send(signal.SIGKILL)


def run_worker(federation: Deployment) -> None:
    federation.aggregator.worker().send(signal.SIGKILL)


def everybody(federation: Deployment) -> None:
    """As a power failure does."""
    running = (federation.aggregator, federation.agent("a"), federation.agent("b"))
    for each in running:
        each.send(signal.SIGKILL)
    for each in running:
        each.ended()
    federation.start_aggregator()
    federation.start_agent("a")
    federation.start_agent("b")


TRACES = {aggregator: RunRecovered, run_worker: WorkerRestarted, everybody: RunRecovered}
"""What the journal tells of it."""


# ---------------------------------------------------------------------- and when


def initialising(federation: Deployment) -> Run:
    """The first site is asked for the first model."""
    federation.sites["a"].hold("initialise", 0)
    run = federation.submit()
    federation.sites["a"].held(run.run_id, "initialise", 0)
    return run


def committed(federation: Deployment) -> Run:
    """A round is committed, and the next one about to begin."""
    run = held(federation, "train", "a", "b")
    run.until(RoundCommitted, round_number=1)
    return run


def training(federation: Deployment) -> Run:
    """Both sites train."""
    run = held(federation, "train", "a", "b")
    for site in federation.sites.values():
        site.held(run.run_id, "train", 2)
    return run


def half_trained(federation: Deployment) -> Run:
    """One of the two updates is accepted."""
    run = held(federation, "train", "b")
    run.until(UpdateAccepted, exchange=TRAIN_2, site="a")
    return run


def all_trained(federation: Deployment) -> Run:
    """All updates are accepted, and the workflow has yet to hear of it."""
    run = training(federation)
    federation.aggregator.worker().send(signal.SIGSTOP)
    federation.release()
    run.until(ExchangeClosed, exchange=TRAIN_2)
    return run


def evaluating(federation: Deployment) -> Run:
    """One site evaluates, the other has."""
    run = held(federation, "evaluate", "a")
    run.until(UpdateAccepted, exchange=EVALUATE_2, site="b")
    federation.sites["a"].held(run.run_id, "evaluate", 2)
    return run


def held(federation: Deployment, task: str, *names: str) -> Run:
    for name in names:
        federation.sites[name].hold(task, 2)
    return federation.submit()


FAULTS = {
    aggregator: (initialising, committed, training, half_trained, all_trained, evaluating),
    agent: (initialising, training, half_trained),
    task_worker: (initialising, training, half_trained, evaluating),
    guard: (training,),
    run_worker: (committed, half_trained, all_trained),
    everybody: (half_trained, all_trained),
}


@pytest.mark.parametrize(
    ("victim", "moment"),
    [(victim, moment) for victim, moments in FAULTS.items() for moment in sample(list(moments), 3)],
)
def test_the_run_goes_on_to_the_same_model(
    federation: Deployment,
    undisturbed: str,
    tmp_path: Path,
    victim: Callable[[Deployment], None],
    moment: Callable[[Deployment], Run],
) -> None:
    run = moment(federation)
    before = run.events

    victim(federation)
    federation.release()

    assert run.finished() == undisturbed
    assert_no_answer_was_asked_for_again(run)
    for site, task in tasks_of(before):
        assert federation.sites[site].performed(run.run_id).count(task) == 1
    assert victim not in TRACES or any(isinstance(event, TRACES[victim]) for event in run.events)
    run.export(tmp_path / "export")


def assert_no_answer_was_asked_for_again(run: Run) -> None:
    accepted = set()
    for event in run.events:
        if isinstance(event, UpdateAccepted | TaskStarted):
            assert (event.exchange, event.site) not in accepted, run
        if isinstance(event, UpdateAccepted):
            accepted.add((event.exchange, event.site))
    assert len(accepted) == 1 + 2 * 2 * 2, "the first model, and two tasks of two sites in two rounds"


def tasks_of(events: list[Event]) -> list[tuple[str, str]]:
    """The tasks whose results were accepted, with the site that performed them."""
    opened = {event.exchange: event for event in events if isinstance(event, ExchangeOpened)}
    asked = {number: f"{event.task}-{event.round_number}" for number, event in opened.items()}
    return [(event.site, asked[event.exchange]) for event in events if isinstance(event, UpdateAccepted)]


def test_a_result_that_could_not_be_sent_is_sent_by_the_next_agent(
    federation: Deployment, undisturbed: str
) -> None:
    run = training(federation)
    federation.aggregator.send(signal.SIGSTOP)
    federation.release()
    kept = federation.sites["a"].directory / "runs" / run.run_id / "outcomes" / f"{TRAIN_2}.json"
    until(kept.exists, str(kept))

    federation.agent("a").end(signal.SIGKILL)
    federation.aggregator.send(signal.SIGCONT)
    federation.start_agent("a")

    assert run.finished() == undisturbed
    assert federation.sites["a"].performed(run.run_id).count("train-2") == 1


@pytest.mark.parametrize("victim", [aggregator, agent, run_worker])
def test_a_stream_goes_on(federation: Deployment, victim: Callable[[Deployment], None]) -> None:
    train = {"lr": 0.1, "discloses": {"update": "individual", "metrics": ["loss"]}}
    federation.sites["a"].hold("train", 2)
    run = federation.submit(
        rounds=4,
        code=["momentum.py", "workflow.py"],
        workflow="workflow:asynchronous",
        tasks={"train": train},
    )
    run.until(RoundCommitted, round_number=1)

    victim(federation)
    federation.release()

    run.finished()
    committed = [event for event in run.events if isinstance(event, RoundCommitted)]
    consumed = [number for event in committed for number in event.consumed]
    assert [event.round_number for event in committed] == [0, 1, 2, 3, 4]
    assert len(set(consumed)) == len(consumed) == 4
