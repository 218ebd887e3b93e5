"""Hanse is upgraded while a run is under way: the aggregator first, then the sites, one by one."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.deployment import Deployment, Run, Start, Started, deployed, hanse

from hanse.core.run.round_events import TaskStarted
from hanse.wire.protocol import SPOKEN

LAUNCH = Path(__file__).parent / "launch" / "spoken.py"
NOW, NEXT, LATER = (SPOKEN.newest + ahead for ahead in range(3))
PROTOCOL = 9
"""What a command ends with that speaks another version of the protocol."""
TRAIN_2 = 4
"""Number of an exchange."""


def speaking(versions: str) -> Start:
    """Starts a command of a Hanse that speaks these versions of the protocol."""

    def start(log: Path, arguments: list[str]) -> Started:
        with log.open("wb") as output:
            return subprocess.Popen(
                [sys.executable, LAUNCH, versions, *arguments], stdout=output, stderr=output
            )

    return start


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """As that of the other modules, with agents that do not wait a minute between two questions."""
    with deployed(tmp_path_factory.mktemp("federation")) as deployment:
        for name in ("a", "b"):
            deployment.join(name)
            deployment.start_agent(name, speaking(f"{NOW}"))
        yield deployment


@pytest.fixture(scope="module")
def undisturbed(shared: Deployment) -> str:
    """The model of a run that nobody disturbs."""
    return shared.submit().finished()


def training(federation: Deployment) -> Run:
    """Both sites train in the second round, and wait."""
    for site in federation.sites.values():
        site.hold("train", 2)
    run = federation.submit()
    for name, site in federation.sites.items():
        run.until(TaskStarted, exchange=TRAIN_2, site=name)
        site.held(run.run_id, "train", 2)
    return run


def test_an_upgrade_too_far_is_waited_out_and_can_be_taken_back(
    federation: Deployment, undisturbed: str
) -> None:
    run = training(federation)
    agents = [federation.agent(name) for name in federation.sites]

    federation.aggregator.end(signal.SIGTERM)
    federation.start_aggregator(speaking(f"{NEXT}-{LATER}"))
    told = (
        f"speaks protocol {NEXT}-{LATER}, and this end {NOW}. "
        f"Upgrade Hanse at this end to a version that speaks protocol {NEXT}."
    )
    for agent in agents:
        agent.says(told)
    operators = hanse("run", "list", "-d", federation.directory)
    federation.aggregator.says(f"site a speaks protocol {NOW}, and this aggregator {NEXT}-{LATER}")
    federation.aggregator.end(signal.SIGTERM)
    federation.start_aggregator()
    federation.release()

    assert run.finished() == undisturbed
    assert operators.code == PROTOCOL
    assert told in operators.err
    assert all(agent.runs for agent in agents)  # nobody at a site had to do anything


def test_a_run_goes_on_while_aggregator_and_sites_are_upgraded_one_by_one(
    federation: Deployment, undisturbed: str
) -> None:
    run = training(federation)

    federation.aggregator.end(signal.SIGTERM)
    federation.start_aggregator(speaking(f"{NOW}-{NEXT}"))
    federation.agent("a").end(signal.SIGTERM)
    federation.start_agent("a", speaking(f"{NOW}-{NEXT}")).says("connected to the aggregator")
    federation.release()

    assert run.finished() == undisturbed


def test_a_site_upgraded_too_early_waits_for_the_aggregator(federation: Deployment, undisturbed: str) -> None:
    federation.aggregator.end(signal.SIGTERM)
    federation.start_aggregator()
    federation.agent("a").end(signal.SIGTERM)
    early = federation.start_agent("a", speaking(f"{NEXT}"))
    early.says(f"and this end {NEXT}. Upgrade Hanse at https://")

    federation.aggregator.end(signal.SIGTERM)
    federation.start_aggregator(speaking(f"{NOW}-{NEXT}"))
    early.says("connected to the aggregator")

    assert federation.submit().finished() == undisturbed
