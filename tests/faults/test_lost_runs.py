"""Runs that a restored aggregator has lost, and what is submitted afterwards: never taken for each other."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.integration.deployment import Deployment, Run, deployed, done, hanse

pytestmark = pytest.mark.timeout(900)


@dataclass
class LostRun:
    """A federation whose aggregator is stopped, on a backup of before a run; the agents are stopped too.

    Attributes:
        run_id: The run.
        journal: A genuine export of it, made before it was lost.
        model: Digest of the model that it ended with.
    """

    federation: Deployment
    run_id: str
    journal: Path
    model: str

    def start_agents(self) -> None:
        for name in self.federation.sites:
            self.federation.start_agent(name)

    def acknowledge(self) -> None:
        """Acknowledge the restore everywhere, and start the agents again."""
        federation = self.federation
        federation.aggregator.says("nothing is recorded until an operator has acted")
        done("aggregator", "acknowledge", federation.directory, "--reason", "the disk failed")
        for name, site in federation.sites.items():
            assert federation.agent(name).end(signal.SIGTERM) == 0
            done("collaborator", "acknowledge", "--site", site.directory, "--reason", "we called")
        self.start_agents()

    def left(self, name: str) -> list[dict[str, Any]]:
        """What left a site, by its journal, since a person acknowledged the restore."""
        log = json.loads(
            done("collaborator", "log", "--site", self.federation.sites[name].directory, "--json")
        )
        kinds = [record["kind"] for record in log]
        return list(log[kinds.index("AggregatorRestoreAcknowledged") + 1 :])

    def verify(self, journal: Path) -> str:
        sites = [("--receipts", site.directory) for site in self.federation.sites.values()]
        ca = self.federation.directory / "ca" / "ca.crt"
        return done("audit", "verify", journal, "--ca", ca, *(each for pair in sites for each in pair))


@pytest.fixture
def lost(tmp_path: Path) -> Iterator[LostRun]:
    with deployed(tmp_path / "root", "a", "b") as federation:
        federation.submit().finished()
        federation.aggregator.end(signal.SIGTERM)
        backup = shutil.copytree(federation.directory, tmp_path / "backup")
        federation.start_aggregator()
        run = federation.submit()
        model = run.finished()
        journal = run.export(tmp_path / "export") / "journal.jsonl"
        for name in federation.sites:
            federation.agent(name).end(signal.SIGTERM)
        federation.aggregator.end(signal.SIGTERM)
        shutil.rmtree(federation.directory)
        backup.rename(federation.directory)
        yield LostRun(federation, run.run_id, journal, model)


def exchanges(records: list[dict[str, Any]], run: Run) -> list[int]:
    found = [record for record in records if record.get("run_id") == run.run_id]
    return sorted({record["exchange"] for record in found if record["kind"] == "ResultReleased"})


def test_the_same_plan_submitted_again_is_another_run_with_records_of_its_own(
    lost: LostRun, tmp_path: Path
) -> None:
    lost.federation.start_aggregator()
    lost.start_agents()
    lost.acknowledge()

    again = lost.federation.submit()

    assert again.finished() == lost.model
    assert again.run_id.startswith(f"{lost.run_id}-r")
    for name in ("a", "b"):
        answer, *results = lost.left(name)
        assert (answer["kind"], answer["run_id"]) == ("PlanAnswerReleased", again.run_id)
        assert exchanges(results, again)
    assert "FAILED" not in lost.verify(lost.journal)
    assert "FAILED" not in lost.verify(again.export(tmp_path / "again") / "journal.jsonl")


def test_a_run_that_got_the_name_of_a_lost_one_before_that_was_noticed_is_refused(lost: LostRun) -> None:
    federation = lost.federation
    federation.start_aggregator()
    early = hanse("aggregator", "acknowledge", federation.directory, "--reason", "the disk failed")
    assert (early.code, "no site has connected" in early.err) == (5, True)
    same_name = federation.submit()
    assert same_name.run_id == lost.run_id
    lost.start_agents()
    lost.acknowledge()

    over = same_name.over()

    assert over.phase == "failed"
    for name in ("a", "b"):
        (answer,) = lost.left(name)
        assert (answer["kind"], answer["run_id"], answer["accepted"]) == (
            "PlanAnswerReleased",
            lost.run_id,
            False,
        )
        assert "is not the run of this name" in answer["reasons"][0]
    assert federation.submit().finished() == lost.model
    assert "FAILED" not in lost.verify(lost.journal)
