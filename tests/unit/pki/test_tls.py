"""Real handshakes: the federation's own get in, everybody else stays out."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from hanse.core.values.identity import Role
from hanse.errors import CredentialError
from hanse.pki.authority import Authority
from hanse.pki.certificates import fingerprint, pem_of, read_der, verify_certificate
from hanse.pki.credentials import Credentials
from hanse.pki.keys import new_key
from hanse.pki.tls import client_context, pinned_context, present, server_context, unverified_context

WAIT_S = 10.0


@dataclass(frozen=True)
class Meeting:
    """What each end saw of the other, as DER; None where it saw no certificate."""

    version: str | None
    server: bytes | None
    client: bytes | None


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture
def meet(pool: ThreadPoolExecutor):
    """Shake hands over a pair of sockets and pass one byte each way."""

    def meet(server: ssl.SSLContext, client: ssl.SSLContext, host: str = "localhost") -> Meeting:
        near, far = socket.socketpair()
        near.settimeout(WAIT_S)
        far.settimeout(WAIT_S)

        def serve() -> bytes | None:
            with far, server.wrap_socket(far, server_side=True) as connection:
                seen = connection.getpeercert(binary_form=True)
                connection.sendall(b"!")
                connection.recv(1)
                return seen

        serving = pool.submit(serve)
        try:
            with near, client.wrap_socket(near, server_hostname=host) as connection:
                # A refused client certificate shows only now: the client's handshake ends first.
                # Nothing is sent before, for what the server leaves unread would drown its alert.
                connection.recv(1)
                connection.sendall(b"?")
                seen = connection.getpeercert(binary_form=True)
                version = connection.version()
        except OSError:
            serving.exception(WAIT_S)  # do not leave the thread behind
            raise
        return Meeting(version, seen, serving.result(WAIT_S))

    return meet


@pytest.fixture
def hub(enrol) -> Credentials:
    return enrol("hub", Role.AGGREGATOR)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_the_federations_own_meet_over_tls_1_3(
    meet, enrol, hub: Credentials, authority: Authority, now: datetime, host: str
) -> None:
    hospital = enrol()

    meeting = meet(server_context(hub), client_context(hospital), host)

    assert meeting.version == "TLSv1.3"
    assert verify_certificate(read_der(meeting.client), authority.certificate, now) == hospital.party
    assert verify_certificate(read_der(meeting.server), authority.certificate, now) == hub.party


def test_a_party_with_an_ed25519_key_gets_in(meet, enrol, hub: Credentials) -> None:
    hospital = enrol(key=ed25519.Ed25519PrivateKey.generate())

    assert meet(server_context(hub), client_context(hospital)).client is not None


def test_a_site_that_enrols_gets_in_without_a_certificate(meet, hub: Credentials) -> None:
    meeting = meet(server_context(hub), pinned_context(pem_of(hub.authority)))

    assert meeting.client is None


def test_the_first_fetch_believes_anybody(meet, hub: Credentials) -> None:
    assert meet(server_context(hub), unverified_context(), "other.example").client is None


def test_a_strangers_certificate_is_refused(meet, enrol, hub: Credentials, stranger: Authority) -> None:
    intruder = enrol(by=stranger)
    context = pinned_context(pem_of(hub.authority))
    present(context, intruder)

    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        meet(server_context(hub), context)


def test_a_strangers_aggregator_is_refused(meet, enrol, stranger: Authority) -> None:
    false_hub = enrol("hub", Role.AGGREGATOR, by=stranger)

    with pytest.raises(ssl.SSLCertVerificationError):
        meet(server_context(false_hub), client_context(enrol()))


def test_a_joining_site_refuses_another_authority_than_the_pinned(
    meet, hub: Credentials, stranger: Authority
) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        meet(server_context(hub), pinned_context(pem_of(stranger.certificate)))


def test_an_expired_certificate_is_refused(meet, enrol, hub: Credentials, now: datetime) -> None:
    late = enrol(since=now - timedelta(days=10))

    with pytest.raises(ssl.SSLError, match=r"(?i)alert certificate expired"):
        meet(server_context(hub), client_context(late))


def test_an_aggregator_with_an_expired_certificate_is_refused(meet, enrol, now: datetime) -> None:
    late = enrol("hub", Role.AGGREGATOR, since=now - timedelta(days=10))

    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        meet(server_context(late), client_context(enrol()))


def test_an_aggregator_at_another_host_is_refused(meet, enrol, hub: Credentials) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match=r"(?i)hostname mismatch"):
        meet(server_context(hub), client_context(enrol()), "other.example")


def test_a_collaborator_cannot_pass_for_the_aggregator(meet, enrol) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match=r"(?i)purpose"):
        meet(server_context(enrol("localhost")), client_context(enrol()))


def test_an_older_version_of_tls_is_refused(meet, hub: Credentials) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.load_verify_locations(cadata=pem_of(hub.authority))
    old.maximum_version = ssl.TLSVersion.TLSv1_2

    with pytest.raises(ssl.SSLError, match=r"(?i)protocol version"):
        meet(server_context(hub), old)


def test_a_renewed_certificate_shows_on_a_context_in_use(
    meet, enrol, hub: Credentials, authority: Authority, now: datetime
) -> None:
    server, client, key = server_context(hub), client_context(enrol()), new_key()
    meet(server, client)
    certificate = authority.issue(
        key.public_key(), hub.party, now=now, lifetime=timedelta(days=2), hosts=["localhost"]
    )

    present(server, hub.replace_certificate(pem_of(certificate), now, key))

    assert fingerprint(read_der(meet(server, client).server)) == fingerprint(certificate)


def test_no_session_is_resumed(hub: Credentials) -> None:
    assert server_context(hub).num_tickets == 0


def test_credentials_that_are_gone_are_named(hub: Credentials) -> None:
    (hub.directory / "party.crt").unlink()

    with pytest.raises(CredentialError, match=f"{hub.directory} cannot be used"):
        server_context(hub)
