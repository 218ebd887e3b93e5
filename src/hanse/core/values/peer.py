"""Peers: who is at the other end of an admitted connection."""

from __future__ import annotations

from dataclasses import dataclass

from hanse.core.values.identity import Party


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of an admitted connection, and what admission knows of it.

    Admission makes a peer of a certificate, and every request is served to a peer. A verdict on
    a peer's evidence will join the peer here.

    Attributes:
        party: Party that the certificate names.
        fingerprint: SHA-256 of the certificate (DER), 64 hexadecimal characters.
        not_after_ms: When the certificate ends, milliseconds since 1970.
    """

    party: Party
    fingerprint: str
    not_after_ms: int
