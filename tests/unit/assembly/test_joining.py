"""Joining by files; over the network it is tested with a real aggregator."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hanse.assembly import tuning
from hanse.assembly.joining import Newcomer, join_with_certificate, join_with_token, request_by_hand
from hanse.config.settings import load_operator, load_site
from hanse.core.values.identity import Party, Role
from hanse.errors import ConfigError, CredentialError, StorageError, TokenError, TransportError
from hanse.pki.authority import Authority
from hanse.pki.certificates import pem_of
from hanse.pki.credentials import Credentials
from hanse.pki.enrolment import invite, read_csr
from hanse.pki.enrolment_file import read_request
from hanse.pki.key_statements import check_enrolment
from hanse.pki.signing_key import SigningKey
from hanse.pki.signing_key_files import key_to_use

NOW = datetime.now(UTC)
NOBODY = "https://localhost:1"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create("north", NOW, timedelta(days=30))


def newcomer(name: str = "hospital-a", role: Role = Role.COLLABORATOR, *data: str) -> Newcomer:
    return Newcomer(Party("north", role, name), "https://agg.example.org:8443", data, "env")


def sign(authority: Authority, request: Path, party: Party) -> Path:
    """What `hanse federation sign` does with a request."""
    csr, _ = read_request(request.read_text())
    certificate = authority.issue(read_csr(csr), party, now=NOW, lifetime=timedelta(days=1))
    signed = request.with_suffix(".pem")
    signed.write_text(pem_of(certificate) + pem_of(authority.certificate))
    return signed


def test_a_request_that_comes_back_signed_makes_a_site(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "xrays").mkdir()
    site, request = tmp_path / "site", tmp_path / "a.csr"
    key = request_by_hand(
        site, newcomer("hospital-a", Role.COLLABORATOR, f"xrays={tmp_path / 'xrays'}"), request
    )

    joined = join_with_certificate(site, sign(authority, request, newcomer().party))

    assert (joined.party, joined.authority) == (newcomer().party, authority.fingerprint)
    assert joined.key.fingerprint == key.fingerprint == SigningKey.load(site / "pki").fingerprint
    assert Credentials.load(site / "pki", NOW).party == newcomer().party
    settings = load_site(site)
    assert (settings.name, settings.aggregator) == ("hospital-a", "https://agg.example.org:8443")
    assert settings.data == {"xrays": tmp_path / "xrays"}


def test_an_operator_gets_settings_of_its_own(authority: Authority, tmp_path: Path) -> None:
    party, request = Party("north", Role.OPERATOR, "eve"), tmp_path / "eve.csr"
    request_by_hand(tmp_path / "eve", newcomer("eve", Role.OPERATOR), request)

    join_with_certificate(tmp_path / "eve", sign(authority, request, party))

    assert load_operator(tmp_path / "eve").name == "eve"
    assert not (tmp_path / "eve" / "site.yaml").exists()


def test_the_key_never_leaves_the_site(tmp_path: Path) -> None:
    request_by_hand(tmp_path / "site", newcomer(), tmp_path / "a.csr")

    assert (tmp_path / "site" / "pki" / "party.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "site" / "pki" / "signing.key").stat().st_mode & 0o777 == 0o600
    assert "PRIVATE" not in (tmp_path / "a.csr").read_text()


def test_a_party_that_joins_again_keeps_its_signing_key(authority: Authority, tmp_path: Path) -> None:
    key = request_by_hand(tmp_path / "site", newcomer(), tmp_path / "a.csr")
    join_with_certificate(tmp_path / "site", sign(authority, tmp_path / "a.csr", newcomer().party))
    for name in ("party.key", "party.crt"):
        (tmp_path / "site" / "pki" / name).unlink()

    again = request_by_hand(tmp_path / "site", newcomer(), tmp_path / "b.csr")
    joined = join_with_certificate(tmp_path / "site", sign(authority, tmp_path / "b.csr", newcomer().party))

    assert joined.key.fingerprint == again.fingerprint == key.fingerprint
    assert Credentials.load(tmp_path / "site" / "pki", NOW).party == newcomer().party


def test_a_request_states_the_signing_key_that_was_made(tmp_path: Path) -> None:
    key = request_by_hand(tmp_path / "site", newcomer(), tmp_path / "a.csr")

    _, enrolment = read_request((tmp_path / "a.csr").read_text())

    assert check_enrolment(enrolment, newcomer().party) == key.fingerprint


def test_a_request_that_was_signed_before_0_2_still_makes_a_site_with_a_signing_key(
    authority: Authority, tmp_path: Path
) -> None:
    request_by_hand(tmp_path / "site", newcomer(), tmp_path / "a.csr")
    signed = sign(authority, tmp_path / "a.csr", newcomer().party)
    (tmp_path / "site" / "pki" / "signing.key").unlink()  # which 0.1 did not make

    joined = join_with_certificate(tmp_path / "site", signed)

    # It counts once the aggregator has recorded it, see `hanse.pki.signing_key_files`.
    assert key_to_use(tmp_path / "site" / "pki", recorded=None).fingerprint == joined.key.fingerprint


def test_a_certificate_for_another_name_is_refused(authority: Authority, tmp_path: Path) -> None:
    request_by_hand(tmp_path / "site", newcomer(), tmp_path / "a.csr")
    signed = sign(authority, tmp_path / "a.csr", Party("north", Role.COLLABORATOR, "hospital-b"))

    with pytest.raises(CredentialError, match=r"collaborator/hospital-b, and .*hospital-a is to join here"):
        join_with_certificate(tmp_path / "site", signed)


def test_a_certificate_for_another_key_is_refused(authority: Authority, tmp_path: Path) -> None:
    request_by_hand(tmp_path / "one", newcomer(), tmp_path / "one.csr")
    request_by_hand(tmp_path / "two", newcomer(), tmp_path / "two.csr")

    with pytest.raises(CredentialError, match="is not the key of the certificate"):
        join_with_certificate(tmp_path / "two", sign(authority, tmp_path / "one.csr", newcomer().party))


def test_a_file_without_the_authority_is_refused(tmp_path: Path, authority: Authority) -> None:
    (tmp_path / "half.pem").write_text(pem_of(authority.certificate))

    with pytest.raises(CredentialError, match=r"should hold two certificates, .* and holds 1"):
        join_with_certificate(tmp_path, tmp_path / "half.pem")


def test_a_directory_that_has_joined_is_left_alone(authority: Authority, tmp_path: Path) -> None:
    request_by_hand(tmp_path, newcomer(), tmp_path / "a.csr")
    join_with_certificate(tmp_path, sign(authority, tmp_path / "a.csr", newcomer().party))

    with pytest.raises(CredentialError, match="already holds the credentials of a party"):
        request_by_hand(tmp_path, newcomer(), tmp_path / "b.csr")


def test_a_request_under_way_is_not_overwritten(tmp_path: Path) -> None:
    request_by_hand(tmp_path, newcomer(), tmp_path / "a.csr")

    with pytest.raises(CredentialError, match="the key of a request that was not finished"):
        request_by_hand(tmp_path, newcomer(), tmp_path / "b.csr")


def test_settings_that_are_there_are_kept(authority: Authority, tmp_path: Path) -> None:
    own = "name: hospital-a\nfederation: north\naggregator: https://agg.example.org:8443\nrenew_at: 0.5\n"
    (tmp_path / "site.yaml").write_text(own)

    request_by_hand(tmp_path, newcomer(), tmp_path / "a.csr")

    assert (tmp_path / "site.yaml").read_text() == own


def test_settings_of_something_else_are_not_joined_with(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(
        "name: hospital-b\nfederation: north\naggregator: https://agg.example.org:8443\n"
    )

    with pytest.raises(ConfigError, match="says `name: hospital-b`, and this is for hospital-a"):
        request_by_hand(tmp_path, newcomer(), tmp_path / "a.csr")


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ("xrays", "is not a data source"),
        ("xrays=/nowhere/at/all", "cannot find the data source xrays at /nowhere/at/all: No such file"),
        ("not a name=/tmp", "is not a name"),
    ],
)
def test_a_data_source_that_cannot_be_is_refused_and_nothing_is_left(
    tmp_path: Path, data: str, complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        request_by_hand(tmp_path / "site", newcomer("hospital-a", Role.COLLABORATOR, data), tmp_path / "csr")

    assert list(tmp_path.iterdir()) == []


def test_a_token_that_nobody_answers_is_tried_for_some_time_and_leaves_nothing(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    async def wait(delay_s: float) -> None:
        waits.append(delay_s)

    patient = replace(tuning.current.joining, sleep=wait)
    monkeypatch.setattr(tuning, "current", replace(tuning.current, joining=patient))
    token = invite(
        authority, newcomer().party, NOBODY, token_id="0" * 32, now=NOW, lifetime=timedelta(hours=1)
    )

    with pytest.raises(TransportError, match="cannot be reached"):
        join_with_token(tmp_path / "site", token, (), None)

    assert list(tmp_path.iterdir()) == []
    assert 15 < sum(waits) < 30


def test_half_a_token_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TokenError, match="not a whole invitation"):
        join_with_token(tmp_path / "site", "hanse1.abc", (), None)


def test_a_directory_that_cannot_be_made_is_told(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StorageError, match="cannot write in"):
        request_by_hand(tmp_path / "file" / "site", newcomer(), tmp_path / "a.csr")
