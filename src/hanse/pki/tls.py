"""TLS contexts: version 1.3 only, and the federation's own authority only."""

from __future__ import annotations

import ssl

from hanse.errors import CredentialError
from hanse.pki.certificates import pem_of
from hanse.pki.credentials import CERTIFICATE_FILE, KEY_FILE, Credentials


def server_context(credentials: Credentials) -> ssl.SSLContext:
    """What an aggregator listens with.

    A peer may come without a certificate, because a site that enrols has none yet;
    one that it does show has to be the federation's. The HTTP layer refuses
    everything but enrolment to a connection without one.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER, pem_of(credentials.authority))
    context.verify_mode = ssl.CERT_OPTIONAL
    # A resumed session would skip the check of a certificate that has expired since.
    context.num_tickets = 0
    present(context, credentials)
    return context


def client_context(credentials: Credentials) -> ssl.SSLContext:
    """What an enrolled party connects with: it shows its certificate and checks the host name."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT, pem_of(credentials.authority))
    present(context, credentials)
    return context


def pinned_context(ca_pem: str) -> ssl.SSLContext:
    """What a joining site enrols with: no certificate of its own, this authority and no other.

    Args:
        ca_pem: The authority's certificate, once `Invitation.pin` has checked it.
    """
    return _context(ssl.PROTOCOL_TLS_CLIENT, ca_pem)


def unverified_context() -> ssl.SSLContext:
    """What a joining site fetches the authority's certificate with, and nothing else.

    It believes anybody. The fingerprint in the invitation says whether the answer is true.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def present(context: ssl.SSLContext, credentials: Credentials) -> None:
    """Show this certificate from the next handshake on, also on a context in use.

    Raises:
        CredentialError: The files in `credentials.directory` are gone or do not match.
    """
    directory = credentials.directory
    try:
        context.load_cert_chain(directory / CERTIFICATE_FILE, directory / KEY_FILE)
    except OSError as error:  # ssl.SSLError is one
        raise CredentialError(
            f"the key and certificate in {directory} cannot be used: {error}",
            mend="Restore both files from the same backup, or join again.",
        ) from error


def _context(protocol: int, ca_pem: str | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    if ca_pem is not None:
        context.load_verify_locations(cadata=ca_pem)
    return context
