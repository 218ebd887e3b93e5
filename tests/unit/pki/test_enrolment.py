"""Invitations and requests: what goes in comes out, and nothing else gets in."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from hanse.core.values.identity import Party, Role
from hanse.errors import ConfigError, CredentialError, HanseError, TokenError
from hanse.files.atomic import MAX_BYTES
from hanse.pki.authority import Authority
from hanse.pki.certificates import pem_of
from hanse.pki.enrolment import (
    MAX_TOKEN,
    invite,
    read_csr,
    read_token,
    request_certificate,
    verify_token,
)
from hanse.pki.keys import PrivateKey, new_key

HOSPITAL = Party("north", Role.COLLABORATOR, "hospital-a")
URL = "https://hub.example.org:8443"
TOKEN_ID = "0123456789abcdef" * 2
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def token(authority: Authority, now: datetime) -> str:
    return invite(authority, HOSPITAL, URL, token_id=TOKEN_ID, now=now, lifetime=HOUR)


def _rewritten(token: str, **changes: object) -> str:
    """The token with other contents under the signature of the old ones."""
    version, payload, signature = token.split(".")
    content = json.loads(base64.urlsafe_b64decode(payload + "==")) | changes
    written = base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()
    return f"{version}.{written}.{signature}"


def test_the_invited_site_learns_where_to_go_and_whom_to_believe(token: str, authority: Authority) -> None:
    invitation = read_token(token)

    assert invitation.party == HOSPITAL
    assert invitation.url == URL
    assert invitation.pin(pem_of(authority.certificate)) == authority.certificate


def test_an_invitation_is_one_word_that_survives_line_wraps(token: str) -> None:
    wrapped = "\n".join(token[start : start + 60] for start in range(0, len(token), 60))

    assert token.split() == [token]
    assert read_token(f"  {wrapped}\n") == read_token(token)


def test_another_authority_than_the_pinned_one_is_refused(token: str, stranger: Authority) -> None:
    with pytest.raises(CredentialError, match="Something on the way answers in its place"):
        read_token(token).pin(pem_of(stranger.certificate))


def test_the_aggregator_knows_its_own_invitation(token: str, authority: Authority, now: datetime) -> None:
    assert verify_token(authority.certificate, token, now + HOUR).token_id == TOKEN_ID


def test_an_invitation_ends(token: str, authority: Authority, now: datetime) -> None:
    with pytest.raises(TokenError, match=r"hospital-a expired on .* Ask the federation's operator"):
        verify_token(authority.certificate, token, now + HOUR + timedelta(seconds=1))


def test_another_federations_invitation_is_refused(token: str, stranger: Authority, now: datetime) -> None:
    with pytest.raises(TokenError, match="not signed by the authority of north"):
        verify_token(stranger.certificate, token, now)


@pytest.mark.parametrize(
    "change", [{"name": "hospital-b"}, {"role": "operator"}, {"not_after": 4_000_000_000}]
)
def test_a_rewritten_invitation_reads_but_is_not_believed(
    token: str, authority: Authority, now: datetime, change: dict[str, object]
) -> None:
    forged = _rewritten(token, **change)

    assert read_token(forged) != read_token(token)
    with pytest.raises(TokenError, match="not signed by"):
        verify_token(authority.certificate, forged, now)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../etc"},
        {"role": "king"},
        {"url": "http://hub.example.org"},
        {"url": "https://user@hub.example.org"},
        {"url": "https://hub.example.org:99999"},
        {"not_after": "soon"},
        {"not_after": 10**12},
        {"token_id": "1"},
        {"note": "unknown"},
    ],
)
def test_an_invitation_with_an_impossible_content_does_not_read(
    token: str, change: dict[str, object]
) -> None:
    with pytest.raises(TokenError, match="not a whole invitation"):
        read_token(_rewritten(token, **change))


def test_an_invitation_cut_short_says_to_copy_it_again(token: str) -> None:
    with pytest.raises(TokenError, match="Copy the line again"):
        read_token(token[: token.rindex(".")])


def test_an_invitation_of_another_version_does_not_read(token: str) -> None:
    with pytest.raises(TokenError):
        read_token(token.replace("hanse1.", "hanse2."))


def test_an_invitation_longer_than_any_does_not_read(token: str) -> None:
    with pytest.raises(TokenError):
        read_token(token + " " * MAX_TOKEN)


def test_a_payload_nested_without_end_does_not_read() -> None:
    deep = base64.urlsafe_b64encode(b"[" * 2000).rstrip(b"=").decode()

    with pytest.raises(TokenError):
        read_token(f"hanse1.{deep}.AAAA")


@given(st.text() | st.from_regex(r"hanse1\.[\w-]*\.[\w-]*", fullmatch=True))
def test_garbage_is_never_an_invitation(text: str) -> None:
    with pytest.raises(TokenError):
        read_token(text)


@given(place=st.integers(0), letter=st.characters())
def test_a_mistyped_invitation_is_never_believed(
    token: str, authority: Authority, now: datetime, place: int, letter: str
) -> None:
    place %= len(token)
    mistyped = token[:place] + letter + token[place + 1 :]

    try:
        invitation = verify_token(authority.certificate, mistyped, now)
    except TokenError:
        return
    assert invitation == read_token(token)


@pytest.mark.parametrize(
    "url",
    ["", "hub.example.org", "http://hub", "https://", "https://a b", "https://[1", f"https://{'a' * 1100}"],
)
def test_nobody_is_invited_to_where_no_aggregator_can_be(
    authority: Authority, now: datetime, url: str
) -> None:
    with pytest.raises(ConfigError, match="not the address of an aggregator"):
        invite(authority, HOSPITAL, url, token_id=TOKEN_ID, now=now, lifetime=HOUR)


def test_nobody_is_invited_to_another_federation(authority: Authority, now: datetime) -> None:
    elsewhere = Party("south", Role.COLLABORATOR, "hospital-a")

    with pytest.raises(ValueError, match="not of the federation north"):
        invite(authority, elsewhere, URL, token_id=TOKEN_ID, now=now, lifetime=HOUR)


@pytest.mark.parametrize("key", [new_key(), ed25519.Ed25519PrivateKey.generate()])
def test_a_request_carries_the_key(key: PrivateKey) -> None:
    assert read_csr(request_certificate(key, HOSPITAL)) == key.public_key()


def test_a_request_for_somebody_elses_key_is_refused() -> None:
    mine, theirs = (
        x509.load_pem_x509_csr(request_certificate(new_key(), HOSPITAL).encode()) for _ in range(2)
    )
    forged = mine.public_bytes(Encoding.DER).replace(_spki(mine), _spki(theirs))

    with pytest.raises(CredentialError, match="not signed with the key it is for"):
        read_csr(_csr_pem(forged))


def test_a_request_for_a_key_on_another_curve_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    request = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(key, hashes.SHA256())

    with pytest.raises(CredentialError, match="neither ECDSA P-256 nor Ed25519"):
        read_csr(request.public_bytes(Encoding.PEM).decode())


def test_a_request_longer_than_any_is_not_even_parsed() -> None:
    with pytest.raises(CredentialError, match="not a readable request"):
        read_csr(request_certificate(new_key(), HOSPITAL) + " " * MAX_BYTES)


@given(st.text())
def test_garbage_is_never_a_request(text: str) -> None:
    with pytest.raises(CredentialError):
        read_csr(text)


REQUEST = x509.load_pem_x509_csr(request_certificate(new_key(), HOSPITAL).encode())


@given(place=st.integers(0), value=st.integers(0, 255), length=st.integers(0, 300))
def test_a_damaged_request_gives_a_named_error_or_the_same_key(place: int, value: int, length: int) -> None:
    der = bytearray(REQUEST.public_bytes(Encoding.DER))
    der[place % len(der)] = value

    try:
        key = read_csr(_csr_pem(bytes(der[: length + 200])))
    except HanseError:
        return
    assert key == REQUEST.public_key()


def _spki(request: x509.CertificateSigningRequest) -> bytes:
    return request.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _csr_pem(der: bytes) -> str:
    label = "CERTIFICATE REQUEST"
    return f"-----BEGIN {label}-----\n{base64.encodebytes(der).decode()}-----END {label}-----\n"
