"""A site's own journal, in a real federation: what it says left, and what happens when it is lost."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.deployment import Deployment, Run, deployed, done, hanse

pytestmark = pytest.mark.slow


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Deployment]:
    with deployed(tmp_path / "root", "a", "b") as deployment:
        yield deployment


def log(federation: Deployment, name: str, *options: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        done("collaborator", "log", "--site", federation.sites[name].directory, "--json", *options)
    )
    return found


def stopped(federation: Deployment, name: str) -> Path:
    """Stop the agent of a site; its journal, which is one file then."""
    federation.agent(name).end(signal.SIGTERM)
    journal = federation.sites[name].directory / "journal.sqlite"
    assert sorted(path.name for path in journal.parent.glob("journal.*")) == [journal.name]
    return journal


def disclosed(run: Run, site: str, folder: Path, federation: Deployment) -> list[dict[str, Any]]:
    """What the aggregator's exported journal says of a site."""
    journal, ca = run.export(folder) / "journal.jsonl", federation.directory / "ca" / "ca.crt"
    report = json.loads(done("audit", "show", journal, "--ca", ca, "--site", site, "--json"))
    found: list[dict[str, Any]] = report["sites"][site]["disclosed"]
    return found


def test_the_log_of_a_site_says_of_each_run_what_the_aggregators_export_says_of_the_site(
    federation: Deployment, tmp_path: Path
) -> None:
    first, second = federation.submit(seed=1), federation.submit(seed=2)
    for run in (first, second):
        run.finished()

    for name in ("a", "b"):
        for run in (first, second):
            answer, *results = log(federation, name, "--run", run.run_id)
            told = [
                {
                    "round_number": each["round_number"],
                    "exchange": each["exchange"],
                    "task": each["task"],
                    "num_examples": each["num_examples"],
                    "metrics": sorted(each["metrics"]),
                    "update": each["update"] and each["update"]["digest"],
                    "update_bytes": each["update"]["size"] if each["update"] else 0,
                }
                for each in results
            ]
            exported = disclosed(run, name, tmp_path / f"{name}-{run.run_id}", federation)
            assert [{key: each[key] for key in told[0]} for each in exported] == told
            assert (answer["kind"], answer["accepted"]) == ("PlanAnswerReleased", True)


def test_a_journal_that_was_restored_from_a_backup_holds_the_site_back_until_that_is_acknowledged(
    federation: Deployment, tmp_path: Path
) -> None:
    federation.submit(rounds=1).finished()
    journal = stopped(federation, "b")
    backup = Path(shutil.copy(journal, tmp_path / "backup"))
    federation.start_agent("b")
    site = federation.sites["b"]
    site.hold("train", 2)
    run = federation.submit(cohort={"deadline": "5m"})
    site.held(run.run_id, "train", 2)
    journal = stopped(federation, "b")
    lost = log(federation, "b")[-1]["sequence"]
    shutil.copy(backup, journal)
    known = log(federation, "b")

    federation.start_agent("b").says("nothing leaves this site any more")
    site.release()
    ended = hanse("doctor", "--site", site.directory)
    assert "nothing leaves this site" in ended.out
    assert log(federation, "b") == known
    refused = hanse("collaborator", "acknowledge", "--site", site.directory, "--reason", "the disk")
    assert refused.code == 7
    assert "Stop the agent first" in refused.err
    stopped_now = federation.agent("b").end(signal.SIGTERM)
    assert stopped_now == 0
    said = done("collaborator", "acknowledge", "--site", site.directory, "--reason", "the disk was replaced")
    assert f"the aggregator had seen record {lost}" in said
    federation.start_agent("b")

    run.finished()
    acknowledged, *later = log(federation, "b")[len(known) :]
    assert acknowledged["kind"] == "RestoreAcknowledged"
    assert acknowledged["reason"] == "the disk was replaced"
    assert acknowledged["heard"]["sequence"] == lost
    assert {each["kind"] for each in later} >= {"ResultReleased"}
    assert "1 acknowledged restore of a backup" in hanse("doctor", "--site", site.directory).out
    stopped(federation, "b")
    federation.start_agent("b")  # asked once more by the aggregator, it serves
    federation.submit(rounds=1).finished()


@pytest.mark.parametrize("damage", ["garbled", "truncated"])
def test_a_damaged_journal_is_refused_and_begun_anew_once_that_is_acknowledged(
    federation: Deployment, damage: str
) -> None:
    run = federation.submit(rounds=1)
    run.finished()
    journal = stopped(federation, "b")
    size = journal.stat().st_size
    content = b"?" * size if damage == "garbled" else journal.read_bytes()[: size // 2]
    journal.write_bytes(content)

    agent = federation.start_agent("b")
    assert agent.ended() == 7
    assert "hanse collaborator acknowledge" in agent.log.read_text()
    assert hanse("collaborator", "log", "--site", journal.parent).code == 7
    done("collaborator", "acknowledge", "--site", journal.parent, "--reason", "the disk")
    federation.start_agent("b")

    federation.submit(rounds=1).finished()
    begun, *_ = log(federation, "b")
    assert begun["instead_of"]["heard"] is not None
    assert (journal.parent / begun["instead_of"]["file"]).read_bytes() == content


def test_a_plan_that_a_person_approves_is_in_the_journal_of_the_site(federation: Deployment) -> None:
    site = federation.sites["b"]
    federation.agent("b").says("connected to the aggregator")
    stopped(federation, "b")
    site.settings(policy={"accept": [], "discloses": {"update": "individual", "at_least": 1}})
    federation.start_agent("b")
    run = federation.submit(rounds=1)
    federation.agent("b").says("waits for a person")

    done("plan", "approve", run.status.plan_digest, "--site", site.directory, "--reason", "vote 17")

    run.finished()
    answers = [each for each in log(federation, "b", "--run", run.run_id) if "accepted" in each]
    assert [(each["by"], each["reasons"]) for each in answers] == [
        ("person", ["a person approved it: vote 17"])
    ]
    assert len(log(federation, "b", "--last", 2)) == 2
    assert "approved it: vote 17" in done("collaborator", "log", "--site", site.directory)
