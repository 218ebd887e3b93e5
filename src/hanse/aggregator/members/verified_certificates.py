"""Certificates that were verified before: a signature is checked once, not at each request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from hanse.core.values.peer import Peer
from hanse.pki.certificates import peer_of, read_der, verify_certificate

_MOST_KNOWN = 4_096
"""Verified certificates that are remembered."""


@dataclass(frozen=True, slots=True)
class _Verified:
    """A certificate that the authority signed, and the time in which it is good."""

    peer: Peer
    begin: datetime
    end: datetime


class VerifiedCertificates:
    """Names the peers whose certificates the authority signed.

    Args:
        authority: The authority's certificate.
        clock: The time, with its zone.
    """

    def __init__(self, authority: x509.Certificate, clock: Callable[[], datetime]) -> None:
        self._authority = authority
        self._clock = clock
        self._known: dict[bytes, _Verified] = {}

    def peer(self, certificate_der: bytes) -> Peer:
        """Name the peer that shows a certificate.

        Raises:
            CredentialError: The certificate is not the authority's, or not good now.
        """
        known = self._known.get(certificate_der)
        if known is None or not known.begin <= self._clock() <= known.end:
            known = self._known[certificate_der] = self._verified(certificate_der)
        return known.peer

    def _verified(self, certificate_der: bytes) -> _Verified:
        certificate = read_der(certificate_der)
        verify_certificate(certificate, self._authority, self._clock())
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        return _Verified(peer_of(certificate), begin, end)
