"""How a site that has no certificate yet gets one over the network."""

from __future__ import annotations

from hanse.pki.certificates import pem_of
from hanse.pki.enrolment import Invitation
from hanse.pki.tls import pinned_context, unverified_context
from hanse.transport.address import FROM_ENVIRONMENT
from hanse.transport.https_connection import HttpsConnection
from hanse.transport.member_routes import AUTHORITY, ENROL
from hanse.wire.messages_members import Certificates, EnrolRequest


async def fetch_authority(invitation: Invitation, *, proxy: str | None = FROM_ENVIRONMENT) -> str:
    """Fetch the authority's certificate from nobody trusted yet, and check it.

    Returns:
        PEM of the one certificate whose fingerprint the invitation carries.

    Raises:
        CredentialError: What came is another.
    """
    async with HttpsConnection(invitation.url, unverified_context(), proxy=proxy) as connection:
        pem = (await connection.read(AUTHORITY)).decode("ascii", errors="replace")
    return pem_of(invitation.pin(pem))


async def enrol(
    url: str, ca_pem: str, request: EnrolRequest, *, proxy: str | None = FROM_ENVIRONMENT
) -> Certificates:
    """Trade a token for a certificate, with an aggregator that this authority vouches for.

    Raises:
        TokenError: The token is expired, used or another federation's.
        CredentialError: Whoever answers is not of this authority's federation.
    """
    async with HttpsConnection(url, pinned_context(ca_pem), proxy=proxy) as connection:
        return await connection.call(ENROL, request)
