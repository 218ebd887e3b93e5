"""Commands on a federation whose aggregator does not run."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.commands import Hanse

from hanse.config.settings import AggregatorSettings, load_aggregator
from hanse.core.values.identity import Party, Role
from hanse.pki.enrolment import read_token, request_certificate
from hanse.pki.enrolment_file import write_request
from hanse.pki.key_statements import enrolment_of
from hanse.pki.keys import new_key
from hanse.pki.signing_key import SigningKey


@pytest.fixture
def federation(hanse: Hanse, tmp_path: Path) -> Path:
    hanse("federation", "create", tmp_path / "federation", "--name", "north", "--port", 9443)
    return tmp_path / "federation"


def created(hanse: Hanse, directory: Path, *options: object) -> AggregatorSettings:
    ended = hanse("federation", "create", directory, "--name", "north", *options)
    assert ended.code == 0, ended.err
    return load_aggregator(directory)


def test_without_a_host_a_federation_is_for_this_machine_alone(hanse: Hanse, tmp_path: Path) -> None:
    settings = created(hanse, tmp_path / "f")

    assert settings.url == "https://localhost:8443"
    assert settings.listen.host == "127.0.0.1"


def test_the_first_host_is_the_address_and_all_are_certified(hanse: Hanse, tmp_path: Path) -> None:
    settings = created(hanse, tmp_path / "f", "--host", "agg.example.org", "--host", "192.0.2.7")

    assert settings.url == "https://agg.example.org:8443"
    assert settings.hosts == ("agg.example.org", "192.0.2.7", "localhost", "127.0.0.1")
    assert settings.listen.host == "::"


@pytest.mark.parametrize(
    ("hosts", "listen"),
    [
        (["192.0.2.7"], "0.0.0.0"),
        (["2001:db8::7"], "::"),
        (["192.0.2.7", "2001:db8::7"], "::"),
        (["::1"], "::1"),
        (["[::1]"], "::1"),
        (["localhost", "::1"], "localhost"),
    ],
)
def test_each_host_is_listened_at(hanse: Hanse, tmp_path: Path, hosts: list[str], listen: str) -> None:
    options = [word for host in hosts for word in ("--host", host)]

    assert created(hanse, tmp_path / "f", *options).listen.host == listen


def test_an_ipv6_address_stands_in_brackets_in_the_url(hanse: Hanse, tmp_path: Path) -> None:
    assert created(hanse, tmp_path / "f", "--host", "2001:db8::7").url == "https://[2001:db8::7]:8443"


def test_behind_a_gateway_the_address_is_its_own(hanse: Hanse, tmp_path: Path) -> None:
    options = ("--host", "fl.example.org", "--url", "https://fl.example.org", "--port", 9000)

    settings = created(hanse, tmp_path / "f", *options)

    assert (settings.url, settings.listen.port) == ("https://fl.example.org", 9000)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--name", "North!"), "hanse federation create: federation: 'North!' is not a valid name"),
        (("--name", "north", "--url", "http://x"), "url: 'http://x' should be like https://"),
        (("--name", "north", "--url", "https://elsewhere"), "has to be among `hosts`"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_left(
    hanse: Hanse, tmp_path: Path, options: tuple[str, ...], complaint: str
) -> None:
    ended = hanse("federation", "create", tmp_path / "f", *options)

    assert ended.code == 3
    assert complaint in ended.err
    assert list(tmp_path.iterdir()) == []


def test_the_directory_can_come_from_the_environment(
    hanse: Hanse, federation: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANSE_FEDERATION", str(federation))

    assert hanse("federation", "members").code == 0


def test_an_invitation_is_all_that_invite_prints(hanse: Hanse, federation: Path) -> None:
    ended = hanse("federation", "invite", "eve", "--role", "operator", "--lifetime", "2h", "-d", federation)

    invitation = read_token(ended.out)
    assert invitation.party == Party("north", Role.OPERATOR, "eve")
    left_s = invitation.not_after - datetime.now(UTC).timestamp()
    assert left_s == pytest.approx(7200, abs=5)
    assert ended.out.count("\n") == 1
    assert ended.err == ""


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (("hospital-a", "--lifetime", "soon"), 2, "'soon' is not a duration"),
        (("hospital-a", "--lifetime", "31d"), 2, "31d is not above 0 and at most 30 days"),
        (("Hospital A",), 3, "'Hospital A' is not a valid name"),
        (("operator",), 8, "a party named operator is enrolled already"),
        (("agg", "--role", "aggregator"), 8, "is made by `hanse federation create`, not invited"),
    ],
)
def test_an_invitation_that_cannot_be_is_refused(
    hanse: Hanse, federation: Path, arguments: tuple[str, ...], code: int, complaint: str
) -> None:
    ended = hanse("federation", "invite", *arguments, "-d", federation)

    assert (ended.code, ended.out) == (code, "")
    assert complaint in ended.err


def test_a_request_is_signed_into_one_file_with_the_authority(
    hanse: Hanse, federation: Path, tmp_path: Path
) -> None:
    party, key = Party("north", Role.COLLABORATOR, "hospital-a"), SigningKey.create()
    csr = request_certificate(new_key(), party)
    (tmp_path / "a.csr").write_text(write_request(csr, enrolment_of(key, party)))

    options = ("--name", "hospital-a", "-o", tmp_path / "a.pem", "-d", federation)
    ended = hanse("federation", "sign", tmp_path / "a.csr", *options)

    assert ended.code == 0, ended.err
    assert (tmp_path / "a.pem").read_text().count("BEGIN CERTIFICATE") == 2
    listed = json.loads(hanse("federation", "members", "--json", "-d", federation).out)
    assert [member["name"] for member in listed] == ["hospital-a", "operator"]
    assert (listed[0]["signing_key"], listed[0]["signing_key_words"]) == (key.fingerprint, key.words)
    assert key.words in ended.out


def test_members_are_a_table(hanse: Hanse, federation: Path) -> None:
    head, line = hanse("federation", "members", "-d", federation).out.splitlines()

    assert head.split("  ")[0] == "NAME"
    assert line.startswith("operator  operator  enrolled  20")


def test_who_is_removed_stays_in_the_list(hanse: Hanse, federation: Path) -> None:
    hanse("federation", "remove", "operator", "--force", "-d", federation)

    _, line = hanse("federation", "members", "-d", federation).out.splitlines()
    assert "removed" in line


def test_the_last_operator_is_removed_only_by_force(hanse: Hanse, federation: Path) -> None:
    refused = hanse("federation", "remove", "operator", "-d", federation)
    assert refused.code == 4
    assert "--force" in refused.err

    assert hanse("federation", "remove", "operator", "--force", "-d", federation).code == 0


def test_invitations_of_a_name_that_never_joined_are_voided(hanse: Hanse, federation: Path) -> None:
    refused = hanse("federation", "remove", "lund", "-d", federation)
    assert "add --invited" in refused.err

    voided = hanse("federation", "remove", "lund", "--invited", "-d", federation)

    assert voided.out == "lund has never joined; its invitations are void\n"
    assert "lund" not in hanse("federation", "members", "-d", federation).out


def test_an_invitation_names_the_last_record_of_the_membership(hanse: Hanse, federation: Path) -> None:
    invitation = read_token(hanse("federation", "invite", "a", "-d", federation).out.strip())

    assert invitation.members is not None
    assert invitation.members.sequence == 1
    assert invitation.made is not None
