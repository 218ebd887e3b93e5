"""Folders of earlier versions are taken over by real processes: runs under way end as they would have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.integration.deployment import Deployment, Site, done, free_port, taken_over
from tests.processes import VISIBLE
from tests.upgrades.kept import HERE, VERSIONS, copied, read

from hanse.pki.certificates import load_certificate

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not VISIBLE, reason="processes are found by /proc")]


@pytest.fixture(scope="module", params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    """A version whose certificates are valid today: TLS goes by the machine's clock."""
    certificate = load_certificate(HERE / str(request.param) / "sites" / "visby" / "pki" / "party.crt")
    if not certificate.not_valid_before_utc < datetime.now(UTC) < certificate.not_valid_after_utc:
        pytest.skip(f"the certificates of {request.param} are not valid at this machine's time")
    return str(request.param)


@pytest.fixture(scope="module")
def federation(version: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A copy of the version's federation, run by this version; what waits for a person has been decided.

    The copy lacks the empty folders, as one that was taken with git or from an archive may.
    """
    root = tmp_path_factory.mktemp("federation")
    folders = copied(version, root / "folders", free_port(), empty_folders=False)
    sites = [Site(path.name, path, folders / "data" / path.name) for path in (folders / "sites").iterdir()]
    for site in sites:
        as_in_0_1(site)
    with taken_over(root, folders / "aggregator", *sites) as federation:
        federation.run("halted-1").resume()
        (asked,) = (plan for plan in plans(federation, "visby") if plan["name"] == "asked")
        done("plan", "approve", asked["digest"], "--site", federation.sites["visby"].directory)
        yield federation


def as_in_0_1(site: Site) -> None:
    """Have a site's policy permit what it permitted before, as the page on upgrades says."""
    policy = yaml.safe_load((site.directory / "site.yaml").read_text(encoding="utf-8"))["policy"]
    policy["discloses"]["at_least"] = 1
    site.settings(policy=policy)


def plans(federation: Deployment, site: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        done("plan", "list", "--site", federation.sites[site].directory, "--json")
    )
    return found


def runs() -> list[Any]:
    """Each run of each version, with whether it was over."""
    return [
        pytest.param(version, run_id, id=run_id)
        for version in VERSIONS
        for run_id in read(version, "expected.json")
    ]


@pytest.mark.parametrize(("written_by", "run_id"), runs())
def test_a_run_ends_as_it_would_have_under_the_version_that_began_it(
    version: str, federation: Deployment, written_by: str, run_id: str, tmp_path: Path
) -> None:
    if written_by != version:
        pytest.skip("a run of another version")
    stored = read(version, "expected.json")[run_id]
    run = federation.run(run_id)

    status = run.over()

    model = None if status.model is None else status.model.digest
    assert {"phase": status.phase, "model": model} == stored["end"], status.reason
    assert len(run.events) == status.events >= stored["records"]
    run.export(tmp_path)  # and has it verified
    done(
        *("audit", "verify", tmp_path / "journal.jsonl", "--model", tmp_path / "model.safetensors"),
        *("--ca", federation.directory / "ca" / "ca.crt"),
    )


def test_a_journal_has_the_names_of_both_versions_and_is_verified(
    federation: Deployment, tmp_path: Path
) -> None:
    run = federation.run("underway-1")
    run.finished()

    journal = run.export(tmp_path) / "journal.jsonl"

    opened = [json.loads(line) for line in journal.read_text().splitlines() if '"RoundOpened"' in line]
    named = [{"set_aside", "suspended"} & record["body"].keys() for record in opened]
    assert named == [{"set_aside"}] * 3 + [{"suspended"}]  # rounds 0 to 2 were begun by 0.1


def test_the_members_are_known(version: str, federation: Deployment) -> None:
    listed = json.loads(done("federation", "members", "-d", federation.directory, "--json"))

    facts = ("name", "role", "removed")
    assert [[member[fact] for fact in facts] for member in listed] == [
        [member[fact] for fact in facts] for member in read(version, "members.json")
    ]
    assert {member["name"] for member in listed if member["seen_ms"]} >= {"bergen", "lubeck", "visby"}


def test_the_folders_are_in_order_for_a_doctor(federation: Deployment) -> None:
    done("doctor", "--federation", federation.directory)
    for site in federation.sites.values():
        done("doctor", "--site", site.directory)


def test_a_new_run_is_begun_in_the_folders_and_finished(federation: Deployment) -> None:
    run = federation.submit(name="plain")

    run.finished()

    assert run.run_id == "plain-2"
