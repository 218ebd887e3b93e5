"""`hanse attest deny`: a party's deny list grows, signed with the party's key."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.commands import Hanse
from tests.unit.joined_sites import Join

from hanse.aggregator.members.own_certificates import certify
from hanse.config.settings import SiteSettings, load_aggregator, settings_yaml
from hanse.pki.authority import Authority


@pytest.fixture
def site(tmp_path: Path, join: Join) -> Path:
    directory = tmp_path / "site"
    directory.mkdir()
    join(directory, datetime.now(UTC))
    settings = SiteSettings(name="hospital-a", federation="north", aggregator="https://localhost:1")
    (directory / "site.yaml").write_text(settings_yaml(settings))
    return directory


def test_entries_are_added_to_the_list_of_a_site(hanse: Hanse, site: Path) -> None:
    hanse("attest", "deny", "--site", site, "--machine", "1" * 64, "--reason", "it was sold")

    ended = hanse(
        *("attest", "deny", "--site", site, "--advisory", "INTEL-SA-00289", "--reason", "undervolting"),
        "--json",
    )

    assert ended.code == 0, ended.err
    listed = json.loads(ended.out)["entries"]
    assert [(entry["kind"], entry["reason"]) for entry in listed] == [
        ("machine", "it was sold"),
        ("advisory", "undervolting"),
    ]


def test_entries_are_added_to_the_list_of_an_aggregator(hanse: Hanse, tmp_path: Path) -> None:
    federation = tmp_path / "north"
    hanse("federation", "create", federation, "--name", "north")
    certify(federation, load_aggregator(federation), Authority.load(federation / "ca"), datetime.now(UTC))

    ended = hanse("attest", "deny", "--federation", federation, "--machine", "1" * 64, "--reason", "sold")

    assert ended.code == 0, ended.err
    assert (federation / "attestation" / "deny.json").stat().st_mode & 0o777 == 0o600


def test_a_damaged_list_is_refused_in_words(hanse: Hanse, site: Path) -> None:
    hanse("attest", "deny", "--site", site, "--machine", "1" * 64, "--reason", "it was sold")
    path = site / "attestation" / "deny.json"
    path.write_text(path.read_text().replace("it was sold", "it was kept"))

    ended = hanse("attest", "deny", "--site", site, "--machine", "2" * 64, "--reason", "it was sold")

    assert ended.code != 0
    assert "does not count" in ended.err


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--reason", "why"], "--site or --federation"),
        (["--site", ".", "--federation", ".", "--reason", "why"], "--site or --federation"),
        (["--site", ".", "--reason", "why"], "--machine"),
        (["--site", ".", "--machine", "1", "--reason", "\x1b[2J"], "printable"),
    ],
)
def test_what_is_missing_or_unfit_is_named(hanse: Hanse, options: list[str], problem: str) -> None:
    ended = hanse("attest", "deny", *options)

    assert ended.code != 0
    assert problem in ended.err
