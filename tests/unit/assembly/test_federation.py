"""A federation's directory: made, opened and administered without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hanse.assembly import tuning
from hanse.assembly.federation import create_federation
from hanse.assembly.operator import administration, operator_directory
from hanse.config.settings import AggregatorSettings, Listen, load_operator
from hanse.core.values.identity import Role
from hanse.errors import ConfigError, CredentialError
from hanse.pki.certificates import load_certificate
from hanse.pki.credentials import Credentials
from hanse.wire.messages.members import InviteRequest, Members

SETTINGS = AggregatorSettings(
    federation="north",
    url="https://agg.example.org:8443",
    hosts=("agg.example.org", "localhost"),
)

SetClock = Callable[[timedelta], None]


@pytest.fixture
def federation(tmp_path: Path) -> Path:
    create_federation(tmp_path / "federation", SETTINGS)
    return tmp_path / "federation"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """Sets the clock ahead of the real one."""

    def ahead(by: timedelta) -> None:
        changed = replace(tuning.current, clock=lambda: datetime.now(UTC) + by)
        monkeypatch.setattr(tuning, "current", changed)

    return ahead


def members(directory: Path) -> Members:
    async def ask() -> Members:
        async with administration(directory) as parties:
            return await parties.members()

    return asyncio.run(ask())


def operator(federation: Path) -> Path:
    return federation / "operator" / "pki"


def test_a_new_federation_has_an_operator_of_its_own(federation: Path) -> None:
    assert [(member.name, member.role) for member in members(federation).members] == [
        ("operator", Role.OPERATOR)
    ]
    assert Credentials.load(operator(federation), datetime.now(UTC)).party.uri == (
        "hanse://north/operator/operator"
    )


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("0.0.0.0", "https://localhost:8443"),
        ("192.0.2.7", "https://192.0.2.7:8443"),
        ("2001:db8::7", "https://[2001:db8::7]:8443"),
    ],
)
def test_the_operator_of_its_own_goes_straight_to_the_port(tmp_path: Path, listen: str, address: str) -> None:
    settings = SETTINGS.model_copy(update={"listen": Listen(host=listen)})

    create_federation(tmp_path / "federation", settings)

    assert load_operator(tmp_path / "federation" / "operator").aggregator == address
    assert load_operator(tmp_path / "federation" / "operator").proxy is None


def test_a_second_federation_in_a_directory_is_refused_and_the_first_untouched(federation: Path) -> None:
    key = (federation / "ca" / "ca.key").read_bytes()

    with pytest.raises(ConfigError, match="already holds a federation"):
        create_federation(federation, SETTINGS)

    assert (federation / "ca" / "ca.key").read_bytes() == key


def test_private_files_are_for_their_owner_only(federation: Path) -> None:
    assert federation.stat().st_mode & 0o777 == 0o700
    for key in federation.rglob("*.key"):
        assert key.stat().st_mode & 0o777 == 0o600


def test_an_expired_operator_is_renewed_when_the_directory_is_opened(
    federation: Path, clock: SetClock
) -> None:
    later = timedelta(days=400)
    with pytest.raises(CredentialError, match="expired on"):
        Credentials.load(operator(federation), datetime.now(UTC) + later)

    clock(later)
    (listed,) = members(federation).members

    renewed = Credentials.load(operator(federation), datetime.now(UTC) + later)
    assert listed.not_after_ms == int(renewed.not_after.timestamp() * 1000)


def test_an_operator_whose_renewals_are_lost_is_renewed_again(federation: Path, clock: SetClock) -> None:
    place = operator(federation) / "party.crt"
    before = place.read_bytes()
    clock(timedelta(days=400))
    for _ in range(3):
        members(federation)
        assert place.read_bytes() != before
        place.write_bytes(before)  # as if the process had been killed before it wrote the next one

    members(federation)

    assert place.read_bytes() != before


def test_a_stopped_federation_is_administered_without_its_operators_folder(federation: Path) -> None:
    (federation / "operator").rename(federation.parent / "operator")

    assert [member.name for member in members(federation).members] == ["operator"]


def test_an_operator_whose_certificate_is_good_keeps_it(federation: Path) -> None:
    before = (operator(federation) / "party.crt").read_bytes()

    members(federation)

    assert (operator(federation) / "party.crt").read_bytes() == before


def test_an_operator_that_was_removed_is_not_renewed(federation: Path, clock: SetClock) -> None:
    async def remove() -> None:
        async with administration(federation) as parties:
            await parties.remove("operator", force=True)

    asyncio.run(remove())
    before = (operator(federation) / "party.crt").read_bytes()

    clock(timedelta(days=400))
    (listed,) = members(federation).members

    assert listed.removed
    assert (operator(federation) / "party.crt").read_bytes() == before


def test_an_aggregator_whose_certificate_expired_gets_another(federation: Path, clock: SetClock) -> None:
    clock(timedelta(days=400))

    members(federation)

    assert Credentials.load(federation / "pki", datetime.now(UTC) + timedelta(days=401))


def test_hosts_that_are_added_to_the_settings_are_certified(federation: Path) -> None:
    settings = federation / "aggregator.yaml"
    settings.write_text(settings.read_text().replace("localhost", "other.example.org"))

    members(federation)

    certificate = load_certificate(federation / "pki" / "party.crt")
    assert "other.example.org" in str(list(certificate.extensions))


def test_a_federation_that_is_renamed_in_its_settings_is_refused(federation: Path) -> None:
    settings = federation / "aggregator.yaml"
    settings.write_text(settings.read_text().replace("federation: north", "federation: south"))

    with pytest.raises(ConfigError, match="says `federation: south`, and the authority beside it"):
        members(federation)


def test_invitations_of_a_stopped_aggregator_carry_its_address(federation: Path) -> None:
    from hanse.pki.enrolment import read_token

    async def invite() -> str:
        async with administration(federation) as parties:
            return (await parties.invite(InviteRequest(name="hospital-a"))).token

    assert read_token(asyncio.run(invite())).url == "https://agg.example.org:8443"


def test_the_operator_is_looked_for_in_a_federation_and_in_a_directory_of_its_own(federation: Path) -> None:
    assert operator_directory(federation) == federation / "operator"
    assert operator_directory(federation / "operator") == federation / "operator"
    with pytest.raises(ConfigError, match="neither a federation nor an operator"):
        operator_directory(federation / "pki")
