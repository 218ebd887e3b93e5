"""Certificates of endorsement keys (TCG EK Credential Profile for TPM 2.0, version 2.5)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ObjectIdentifier

from hanse.attestation.base import Circumstances
from hanse.attestation.certificates import check_chain, check_revocation_list, public_bytes, read_certificate
from hanse.attestation.policy.fields import Anything
from hanse.attestation.tpm.public_area import PublicKey
from hanse.errors import EvidenceError

REVOKED = "ek-crl/"
"""Collateral: `ek-crl/1` is the revocation list of the issuer of the EK's certificate, `ek-crl/2` that of the
issuer above, and so on; each may be missing."""
_EK_USE = ObjectIdentifier("2.23.133.8.1")
_FACTS = {
    ObjectIdentifier("2.23.133.2.1"): "TPM manufacturer",
    ObjectIdentifier("2.23.133.2.2"): "TPM model",
    ObjectIdentifier("2.23.133.2.3"): "TPM version",
}
_MOST_FACT = 100


@dataclass(frozen=True, slots=True)
class Endorsement:
    """Statements of the certificates of an EK.

    Attributes:
        digest: SHA-256 of the EK's certificate; empty where none came along.
        root: SHA-256 of the root that the chain leads to and the policy names; empty if there is none.
        seen: Name of the end of the chain, for people.
        facts: Manufacturer, model and version of the TPM, by component.
        expires: When the first certificate or list ends; None where none was checked.
        collateral: Digests of the revocation lists that were used, by name.
        not_proven: What was not checked, in words.
    """

    digest: str
    root: str
    seen: str
    facts: dict[str, str]
    expires: datetime | None
    collateral: dict[str, str]
    not_proven: tuple[str, ...]


def check_endorsement(
    certificates: Sequence[bytes],
    ek: PublicKey,
    roots: Sequence[str] | Anything,
    given: Circumstances,
) -> Endorsement:
    """Check the certificates that come with an EK.

    Args:
        certificates: The EK's own first, its root last; may be empty.
        ek: The EK.
        roots: SHA-256 of the roots that count, or any.
        given: Time, and revocation lists; see `REVOKED`.

    Raises:
        EvidenceError: The first is not that of the EK; or the chain leads to a root that counts, and is
            expired, revoked, or broken.
    """
    if not certificates:
        return Endorsement("", "", "none came along", {}, None, {}, ())
    chain = [read_certificate(data, f"certificate {n} of the EK") for n, data in enumerate(certificates, 1)]
    _check_own(chain[0], ek)
    digest, last = _sha256(chain[0]), _sha256(chain[-1])
    seen = f"{chain[-1].subject.rfc4514_string()[:200]} ({last})"
    facts = _facts(chain[0])
    if isinstance(roots, Anything) or last not in roots:
        note = "EK certificates: their chain was not checked, since it leads to no root that the policy names"
        return Endorsement(digest, "", seen, facts, None, {}, (note,))
    revoked, collateral, missing = _revocation_lists(chain, given)
    check_chain(chain[:-1], chain[-1], given.at, "EK", revoked)
    ends = [each.not_valid_after_utc for each in chain]
    ends += [each.next_update_utc for each in revoked if each.next_update_utc is not None]
    return Endorsement(digest, last, seen, facts, min(ends), collateral, missing)


def _check_own(certificate: x509.Certificate, ek: PublicKey) -> None:
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    if certificate.public_key().public_bytes(*form) != ek.public_bytes(*form):
        raise EvidenceError(
            "EK: the certificate that came along is of another key",
            mend="Send first the certificate of the EK that the AK was activated with (RSA or P-256).",
        )
    try:
        uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    if _EK_USE not in uses:
        raise EvidenceError("EK: the certificate that came along is not one of an endorsement key")


def _revocation_lists(
    chain: Sequence[x509.Certificate], given: Circumstances
) -> tuple[list[x509.CertificateRevocationList], dict[str, str], tuple[str, ...]]:
    """Revocation lists, their digests, and which are missing, in words."""
    found: list[x509.CertificateRevocationList] = []
    digests: dict[str, str] = {}
    missing: list[str] = []
    for number, issuer in enumerate(chain[1:], 1):
        name = f"{REVOKED}{number}"
        if (data := given.collateral.get(name)) is None:
            by = issuer.subject.rfc4514_string()[:200]
            missing.append(
                f"EK certificates: {name} was not given, and whether {by} revoked any is not known"
            )
            continue
        found.append(check_revocation_list(data, issuer, given.at, name))
        digests[name] = hashlib.sha256(data).hexdigest()
    return found, digests, tuple(missing)


def _facts(certificate: x509.Certificate) -> dict[str, str]:
    """Statements about the TPM, in the directory name of the certificate's alternative names."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return {}
    stated = {}
    for name in names.get_values_for_type(x509.DirectoryName):
        for attribute in name:
            if (component := _FACTS.get(attribute.oid)) and isinstance(attribute.value, str):
                stated[component] = "".join(filter(str.isprintable, attribute.value))[:_MOST_FACT]
    return stated


def _sha256(certificate: x509.Certificate) -> str:
    return hashlib.sha256(public_bytes(certificate)).hexdigest()
