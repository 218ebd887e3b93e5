"""A backup of the aggregator put back: noticed by the sites' receipts, and acknowledged by people."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.integration.deployment import Deployment, Run, deployed, done, hanse

from hanse.core.run.round_events import RoundCommitted, UpdateAccepted
from hanse.core.run.run_events import AggregatorRestored

pytestmark = pytest.mark.timeout(900)

STORAGE = 7
"""What commands end with."""


@dataclass
class Lost:
    """A federation whose aggregator is about to be started on a backup.

    Attributes:
        later: A copy of the folder that has all records.
        run: A run that the backup has with no round committed.
        undisturbed: The model that the run ends with.
    """

    federation: Deployment
    later: Path
    run: Run
    undisturbed: str

    def start(self) -> None:
        """Start the aggregator on the backup, and wait until it has noticed."""
        self.federation.start_aggregator()
        self.federation.aggregator.says("nothing is recorded until an operator has acted")

    def put_back_later_copy(self) -> None:
        self.federation.aggregator.end(signal.SIGTERM)
        shutil.rmtree(self.federation.directory)
        self.later.rename(self.federation.directory)
        self.federation.start_aggregator()


@pytest.fixture
def lost(tmp_path: Path) -> Iterator[Lost]:
    """Sites a and b have receipts of results that the aggregator, on its backup, does not have."""
    with deployed(tmp_path / "root", "a", "b") as federation:
        undisturbed = federation.submit().finished()
        for site in federation.sites.values():
            site.hold("train", 1)
        run = federation.submit()
        for site in federation.sites.values():
            site.held(run.run_id, "train", 1)
        federation.aggregator.end(signal.SIGTERM)
        backup = shutil.copytree(federation.directory, tmp_path / "backup")
        federation.start_aggregator()
        federation.sites["a"].hold("train", 2)
        for site in federation.sites.values():
            (site.data / "hold-train-1").unlink()
        run.until(RoundCommitted, round_number=1)
        run.until(UpdateAccepted, site="b", exchange=4)
        federation.aggregator.end(signal.SIGTERM)
        later = Path(shutil.copytree(federation.directory, tmp_path / "later"))
        shutil.rmtree(federation.directory)
        backup.rename(federation.directory)
        yield Lost(federation, later, run, undisturbed)


def records(federation: Deployment, run: Run) -> int:
    return run.status.events


def test_until_an_operator_has_acted_nothing_is_recorded_and_all_are_told(lost: Lost) -> None:
    federation = lost.federation

    lost.start()

    before = records(federation, lost.run)
    federation.release()
    for name in ("a", "b"):
        federation.agent(name).says("nothing is recorded until an operator has acted")
    for refused in (
        hanse("federation", "invite", "c", "-d", federation.directory),
        hanse("federation", "remove", "b", "-d", federation.directory),
        hanse("run", "submit", federation.plan(), "-d", federation.directory),
        hanse("run", "stop", lost.run.run_id, "-d", federation.directory),
    ):
        assert refused.code == STORAGE
        assert "hanse aggregator acknowledge" in refused.err
    assert "the aggregator waits for an operator" in done("run", "list", "-d", federation.directory)
    assert "WARNING" in done("run", "status", lost.run.run_id, "-d", federation.directory)
    examined = hanse("doctor", "--federation", federation.directory)
    assert "the aggregator was restored from a backup" in examined.out
    assert records(federation, lost.run) == before
    federation.aggregator.end(signal.SIGTERM)
    federation.restart_aggregator().says("nothing is recorded until an operator has acted")


def test_with_a_later_copy_put_back_the_run_ends_as_if_nothing_had_happened(
    lost: Lost, tmp_path: Path
) -> None:
    lost.start()

    lost.put_back_later_copy()
    lost.federation.release()

    assert lost.run.finished() == lost.undisturbed
    journal = lost.run.export(tmp_path / "export") / "journal.jsonl"
    receipts = [("--receipts", site.directory) for site in lost.federation.sites.values()]
    done(
        *("audit", "verify", journal, "--ca", lost.federation.directory / "ca" / "ca.crt"),
        *receipts[0],
        *receipts[1],
    )
    assert not any(isinstance(event, AggregatorRestored) for event in lost.run.events)


@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
def test_once_an_operator_and_each_site_have_acknowledged_it_the_run_goes_on(
    lost: Lost, tmp_path: Path, stopped: bool
) -> None:
    federation = lost.federation
    lost.start()
    if stopped:
        federation.aggregator.end(signal.SIGTERM)

    said = done("aggregator", "acknowledge", federation.directory, "--reason", "the disk failed")
    assert "operator acknowledges" in said
    if stopped:
        federation.start_aggregator()

    for name in ("a", "b"):
        told = federation.agent(name).says("nothing leaves this site any more")
        assert "restored from a backup, as its operator operator acknowledged (the disk failed)" in told
        site = federation.sites[name].directory
        assert "nothing leaves this site" in hanse("doctor", "--site", site).out
        running = hanse("collaborator", "acknowledge", "--site", site, "--reason", "we called")
        assert (running.code, "Stop the agent first" in running.err) == (STORAGE, True)
        assert federation.agent(name).end(signal.SIGTERM) == 0
        done("collaborator", "acknowledge", "--site", site, "--reason", "we called")
    federation.release()
    for name in ("a", "b"):
        federation.start_agent(name)

    assert lost.run.finished() == lost.undisturbed
    journal = lost.run.export(tmp_path / "export") / "journal.jsonl"
    ca = federation.directory / "ca" / "ca.crt"
    receipts = [("--receipts", site.directory) for site in federation.sites.values()]
    verified = done("audit", "verify", journal, "--ca", ca, *receipts[0], *receipts[1])
    assert "restored from a backup, as operator" in verified
    assert "from before a restore of the aggregator" in verified
    (kept,) = (
        record
        for record in json.loads(
            done("collaborator", "log", "--site", federation.sites["a"].directory, "--json")
        )
        if record["kind"] == "AggregatorRestoreAcknowledged"
    )
    assert (kept["operator"], kept["stated"], kept["reason"]) == ("operator", "the disk failed", "we called")


def test_an_aggregator_that_denies_what_it_confirmed_is_found_out(lost: Lost, tmp_path: Path) -> None:
    """The operator of the machine hides the receipts' proof from the aggregator, and exports the backup."""
    federation = lost.federation
    for name in ("a", "b"):
        federation.agent(name).end(signal.SIGTERM)
    federation.start_aggregator()

    journal = lost.run.export(tmp_path / "export") / "journal.jsonl"
    ca = federation.directory / "ca" / "ca.crt"

    for name in ("a", "b"):
        found = hanse("audit", "verify", journal, "--ca", ca, "--receipts", federation.sites[name].directory)
        assert found.code == 8
        assert "FAILED  receipts" in found.out
