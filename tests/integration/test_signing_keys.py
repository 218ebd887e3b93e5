"""Signing keys in a real federation: printed, compared, pinned by an auditor, rotated."""

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


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("signing") / "root", "a", "b") as deployment:
        yield deployment


def key(federation: Deployment, name: str, *options: object) -> dict[str, str]:
    """What a site says of its own key."""
    found: dict[str, str] = json.loads(
        done("collaborator", "signing-key", "--site", federation.sites[name].directory, "--json", *options)
    )
    return found


def audited(
    federation: Deployment, run: Run, folder: Path, signers: dict[str, str]
) -> tuple[int, dict[str, Any]]:
    """Verify a run's journal against keys that an auditor has noted."""
    folder.mkdir(exist_ok=True)
    (folder / "signers.txt").write_text("".join(f"{name} {noted}\n" for name, noted in signers.items()))
    journal = run.export(folder / run.run_id) / "journal.jsonl"
    ca = federation.directory / "ca" / "ca.crt"
    ended = hanse("audit", "verify", journal, "--ca", ca, "--signers", folder / "signers.txt", "--json")
    return ended.code, json.loads(ended.out)


def test_the_operator_sees_the_key_that_the_site_shows(federation: Deployment) -> None:
    listed = json.loads(done("federation", "members", "-d", federation.directory, "--json"))

    recorded = {member["name"]: member for member in listed}
    for name in federation.sites:
        shown = key(federation, name)
        assert recorded[name]["signing_key"] == shown["fingerprint"]
        assert recorded[name]["signing_key_words"] == shown["words"]
        assert recorded[name]["key_at_enrolment"] is True
    assert recorded["operator"]["signing_key"]


def test_a_site_enters_the_words_that_the_other_site_read_out(federation: Deployment) -> None:
    here = federation.sites["a"].directory

    done("collaborator", "trust", "b", "--site", here, "--words", key(federation, "b")["words"])

    listed = json.loads(done("federation", "peers", "--site", here, "--json"))
    assert {peer["name"]: peer["standing"] for peer in listed} == {"a": "own", "b": "checked"}
    examined = json.loads(hanse("doctor", "--site", here, "--json").out)
    (found,) = (finding for finding in examined if finding["check"] == "peers")
    assert found["detail"].startswith("in the federation: checked b; not checked none")
    refused = hanse("collaborator", "trust", "b", "--site", here, "--words", key(federation, "a")["words"])
    assert refused.code == 8
    seen = json.loads(done("federation", "peers", "-d", federation.directory, "--json"))
    assert [peer["signing_key_words"] for peer in seen] == [key(federation, name)["words"] for name in "ab"]


def test_a_run_holds_against_the_words_that_the_sites_gave_and_not_against_others(
    federation: Deployment, tmp_path: Path
) -> None:
    run = federation.submit(rounds=1)
    run.finished()
    words = {name: key(federation, name)["words"] for name in federation.sites}

    code, report = audited(federation, run, tmp_path / "right", words)
    assert (code, report["verified"]) == (0, True)
    assert not any("--signers" in missing for missing in report["not_proved"])

    code, report = audited(federation, run, tmp_path / "wrong", words | {"b": words["a"]})
    assert (code, report["checks"]["signers"]["holds"]) == (8, False)
    assert " b signed with key " in report["checks"]["signers"]["problems"][0]


def test_each_sites_journal_pins_the_roster_of_the_run(federation: Deployment, tmp_path: Path) -> None:
    run = federation.submit(rounds=1)
    run.finished()
    lines = (run.export(tmp_path) / "journal.jsonl").read_text().splitlines()
    stated = {
        record["body"]["exchange"]: record["body"]["roster"]
        for record in map(json.loads, lines)
        if record.get("kind") == "ExchangeOpened"
    }

    for site in federation.sites.values():
        told = json.loads(
            done("collaborator", "log", "--site", site.directory, "--run", run.run_id, "--json")
        )
        released = {each["exchange"]: each["roster"] for each in told if each["kind"] == "ResultReleased"}
        assert released
        assert released.items() <= stated.items()
        assert None not in released.values()


def test_a_key_is_rotated_between_runs_and_not_within_one(federation: Deployment, tmp_path: Path) -> None:
    site = federation.sites["b"]
    site.hold("train", 1)
    run = federation.submit(rounds=1, cohort={"deadline": "5m"})
    site.held(run.run_id, "train", 1)
    running = hanse("collaborator", "signing-key", "--rotate", "--site", site.directory)
    assert running.code == 7
    assert "Stop the agent first" in running.err
    federation.agent("b").end(signal.SIGTERM)
    within = hanse("collaborator", "signing-key", "--rotate", "--site", site.directory)
    assert within.code == 5
    assert f"b takes part in run {run.run_id}" in within.err
    site.release()
    federation.start_agent("b")
    run.finished()

    before = key(federation, "b")
    federation.agent("b").end(signal.SIGTERM)
    after = key(federation, "b", "--rotate")
    federation.start_agent("b")
    later = federation.submit(rounds=1)
    later.finished()

    assert after["replaced"] == before["fingerprint"] != after["fingerprint"]
    first, now = {"a": key(federation, "a")["words"], "b": before["words"]}, key(federation, "b")["words"]
    assert audited(federation, run, tmp_path / "before", first)[0] == 0
    assert audited(federation, later, tmp_path / "after", first)[0] == 8
    assert audited(federation, later, tmp_path / "after", first | {"b": now})[0] == 0
    assert after["fingerprint"] in hanse("doctor", "--site", site.directory).out


def test_a_site_that_lost_its_key_is_told_the_way_to_another_and_comes_back_that_way(
    federation: Deployment, tmp_path: Path
) -> None:
    site = federation.sites["b"]
    lost = key(federation, "b")
    federation.agent("b").end(signal.SIGTERM)
    (site.directory / "pki" / "signing.key").unlink()

    agent = federation.start_agent("b")
    assert agent.ended() == 8
    told = agent.log.read_text()
    assert f"recorded the signing key {lost['fingerprint']}" in told
    assert "hanse federation remove NAME" in told
    ended = hanse("doctor", "--site", site.directory)
    assert "signing.key is missing" in ended.out
    assert lost["fingerprint"] in ended.out

    done("federation", "remove", "b", "-d", federation.directory)
    token = done("federation", "invite", "b", "-d", federation.directory).strip()
    shutil.move(site.directory / "pki", tmp_path / "pki")
    said = done("join", token, "--site", site.directory, "--proxy", "none")
    federation.start_agent("b")
    federation.submit(rounds=1).finished()

    new = key(federation, "b")
    assert new["fingerprint"] != lost["fingerprint"]
    assert new["words"] in said
