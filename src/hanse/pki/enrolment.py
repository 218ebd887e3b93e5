"""How a party joins: a signed invitation goes out, a request for a certificate comes back.

An invitation is one line of text, `hanse1.PAYLOAD.SIGNATURE`, both parts in
URL-safe base64 without padding; the authority signs everything before the
last dot. The aggregator keeps nothing until one is used: that each is used
once is for its journal to hold, by `token_id`.
"""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from hanse.core.journal.chain import ChainHead
from hanse.core.values.canonical import canonical_json
from hanse.core.values.identity import Party, Role, check_name
from hanse.errors import ConfigError, CredentialError, TokenError, TrustError
from hanse.files.atomic import MAX_BYTES
from hanse.pki.authority import Authority
from hanse.pki.certificates import federation_of, fingerprint, key_of, read_certificate
from hanse.pki.keys import PrivateKey, PublicKey, accepted, check_signature, hash_for, sign_bytes

MAX_TOKEN = 4096
"""Longest invitation that is read, in characters."""

_VERSION = "hanse1"
_MAX_URL = 1024
_URL_CHARACTERS = re.compile(r"[A-Za-z0-9:/.\[\]_~-]+")
_LAST_MOMENT = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())


def _check_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        good = parts.scheme == "https" and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number, half an IPv6 address
        good = False
    if not good or len(url) > _MAX_URL or not _URL_CHARACTERS.fullmatch(url):
        raise ConfigError(
            f"{url[:80]!r} is not the address of an aggregator",
            mend="Give it as in `https://aggregator.example.org:8443`.",
        )
    return url


class Invitation(BaseModel):
    """What an invitation says; believed only once `verify_token` has returned it.

    Attributes:
        token_id: 128 random bits in hexadecimal; names this invitation in the journal.
        federation: The federation to join.
        role: What the invited party may do.
        name: The invited party's name.
        url: `https://` address of the aggregator.
        ca_fingerprint: SHA-256 of the authority's certificate, which `pin` checks.
        not_after: Last second at which it is good, counted from 1970 (UTC).
        made: Second at which it was made, counted from 1970 (UTC); None in 0.1.
        members: The last record of the membership then; a later removal of the name voids the
            invitation. None in 0.1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    token_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    federation: Annotated[str, AfterValidator(check_name)]
    role: Role
    name: Annotated[str, AfterValidator(check_name)]
    url: Annotated[str, AfterValidator(_check_url)]
    ca_fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    not_after: Annotated[int, Field(ge=0, le=_LAST_MOMENT)]
    made: Annotated[int, Field(ge=0, le=_LAST_MOMENT)] | None = None
    members: ChainHead | None = None

    @property
    def party(self) -> Party:
        """The invited party."""
        return Party(self.federation, self.role, self.name)

    def pin(self, ca_pem: str) -> x509.Certificate:
        """Check the authority's certificate that a joining site fetched from nobody it trusts yet.

        Raises:
            CredentialError: It is not the one whose fingerprint the invitation carries.
        """
        certificate = read_certificate(ca_pem)
        if fingerprint(certificate) != self.ca_fingerprint:
            raise CredentialError(
                f"{self.url} showed the authority {fingerprint(certificate)[:16]}, the invitation "
                f"to {self.federation} names {self.ca_fingerprint[:16]}",
                mend="Something on the way answers in its place: ask the network's administrator.",
            )
        return certificate


def invite(
    authority: Authority,
    party: Party,
    url: str,
    *,
    token_id: str,
    now: datetime,
    lifetime: timedelta,
    members: ChainHead | None = None,
) -> str:
    """Write a one-time invitation.

    Args:
        authority: Of the party's federation.
        party: Who is invited.
        url: `https://` address at which sites reach the aggregator.
        token_id: 128 fresh random bits, 32 hexadecimal digits.
        now: When it is written.
        lifetime: How long it may be used from `now`.
        members: The last record of the membership; None where it has none yet.

    Raises:
        ConfigError: The party's name or the URL is not valid.
        ValueError: `token_id` is malformed, or the party is another federation's.
    """
    if party.federation != authority.federation:
        raise ValueError(f"{party.uri} is not of the federation {authority.federation}")
    invitation = Invitation(
        token_id=token_id,
        federation=party.federation,
        role=party.role,
        name=party.name,
        url=url,
        ca_fingerprint=authority.fingerprint,
        not_after=int((now + lifetime).timestamp()),
        made=int(now.timestamp()),
        members=members,
    )
    signed = f"{_VERSION}.{_encode(canonical_json(invitation.model_dump(mode='json')))}"
    return f"{signed}.{_encode(sign_bytes(authority.key, signed.encode()))}"


def read_token(text: str) -> Invitation:
    """Read an invitation without believing it, as the invited site does.

    White space is ignored: mail programs wrap long lines.

    Raises:
        TokenError: It is cut short, altered, too long, or no invitation at all.
    """
    return _parse(text)[0]


def verify_token(authority: x509.Certificate, text: str, now: datetime) -> Invitation:
    """Read an invitation and check that the authority signed it and that it is still good.

    Whether it has been used before is for the caller to know, by its `token_id`.

    Raises:
        TokenError: It is unreadable, another federation's, forged or expired.
    """
    invitation, signed, signature = _parse(text)
    try:
        check_signature(key_of(authority), signature, signed)
    except TrustError:
        raise TokenError(
            f"the invitation for {invitation.name} was not signed by the authority of "
            f"{federation_of(authority)}",
            mend="Ask the operator of this federation for an invitation.",
        ) from None
    if now.timestamp() > invitation.not_after:
        raise TokenError(
            f"the invitation for {invitation.name} expired on "
            f"{datetime.fromtimestamp(invitation.not_after, UTC):%Y-%m-%d %H:%M} UTC",
            mend="Ask the federation's operator for a new one.",
        )
    return invitation


def request_certificate(key: PrivateKey, party: Party) -> str:
    """Write a request for a certificate (PKCS #10, PEM).

    It names the party for people who look into it; what the certificate will say is
    decided by whoever issues it.
    """
    builder = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(party.uri)]), critical=True
        )
    )
    return builder.sign(key, hash_for(key)).public_bytes(Encoding.PEM).decode("ascii")


def read_csr(pem: str) -> PublicKey:
    """Take the public key, and nothing else, from a request for a certificate.

    Raises:
        CredentialError: It is no request, not signed with the key it is for, or the key
            is neither P-256 nor Ed25519.
    """
    data = pem.encode(errors="replace")
    try:
        if len(data) > MAX_BYTES:
            raise ValueError("too long")
        request = x509.load_pem_x509_csr(data)
        key = request.public_key()
        # Of another kind it is not even checked: with some it could take long.
        proven = isinstance(key, PublicKey) and request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm, InternalError, x509.InvalidVersion) as error:
        raise CredentialError(
            "this is not a readable request for a certificate", mend="Make it with `hanse join`."
        ) from error
    public = accepted(key)
    if not proven:
        raise CredentialError(
            "the request for a certificate is not signed with the key it is for",
            mend="Make it with `hanse join`.",
        )
    return public


def _parse(text: str) -> tuple[Invitation, bytes, bytes]:
    """Split a token into what it says, the bytes that are signed, and the signature."""
    try:
        if len(text) > MAX_TOKEN:
            raise ValueError("too long")
        version, payload, signature = "".join(text.split()).split(".")
        if version != _VERSION:
            raise ValueError("another version")
        invitation = Invitation.model_validate_json(_decode(payload))
        return invitation, f"{version}.{payload}".encode(), _decode(signature)
    except (ValueError, ConfigError) as error:
        raise TokenError(
            "this is not a whole invitation",
            mend="Copy the line again, from `hanse1.` to its end, or ask the operator for a new one.",
        ) from error


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
