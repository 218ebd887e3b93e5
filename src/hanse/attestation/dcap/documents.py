"""Intel's collateral: documents by name, each verified before it is used.

| name | document |
| --- | --- |
| `root-crl` | revocation list of the root, DER |
| `pck-crl/platform`, `pck-crl/processor` | revocation list of a PCK CA, DER |
| `tcb-info/sgx/FMSPC`, `tcb-info/tdx/FMSPC` | TCB information, JSON as the service answers |
| `qe-identity/sgx`, `qe-identity/tdx` | identity of the quoting enclave, JSON as the service answers |
| each but the first, with `.chain` | PEM certificates of its signer, up to the root |

Intel SGX and Intel TDX Provisioning Certification Service API, version 4.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from hanse.attestation.base import FETCH, Circumstances, Kind
from hanse.attestation.certificates import check_revocation_list
from hanse.attestation.dcap.chains import (
    PCK_CAS,
    TCB_SIGNING,
    check_leaf,
    check_signature,
    check_signer,
    common_name,
    key_of,
    read_pem_chain,
)
from hanse.attestation.dcap.strict_json import MAX_JSON, read_json
from hanse.attestation.dcap.tcb_info import EnclaveIdentity, TcbInfo, read_published
from hanse.errors import EvidenceError

ROOT_LIST = "root-crl"
CHAIN = ".chain"
_SIGNED = re.compile(rb'\{"(tcbInfo|enclaveIdentity)":(\{.*\}),"signature":"([0-9a-f]{128})"\}', re.DOTALL)
_IDENTITIES = {Kind.SGX: "QE", Kind.TDX: "TD_QE"}

D = TypeVar("D", TcbInfo, EnclaveIdentity)


def tcb_info_name(kind: Kind, fmspc: str) -> str:
    """Name of the TCB information of a family of platforms; the FMSPC in small letters."""
    return f"tcb-info/{kind}/{fmspc}"


def identity_name(kind: Kind) -> str:
    """Name of the identity of a quoting enclave."""
    return f"qe-identity/{kind}"


def list_name(ca: str) -> str:
    """Name of the revocation list of a PCK CA: `platform` or `processor`."""
    return f"pck-crl/{ca}"


@dataclass(slots=True)
class Documents:
    """The documents of a verification, and what was found in those that were used.

    Attributes:
        given: Documents, time and floors.
        root: The root that is pinned.
        digests: SHA-256 of each document that was used, by name.
        expires: Ends of documents and of their signers' certificates.
        issued: Dates of issue, by name.
        evaluation: Evaluation numbers, by name.
    """

    given: Circumstances
    root: x509.Certificate
    digests: dict[str, str] = field(default_factory=dict)
    expires: list[datetime] = field(default_factory=list)
    issued: dict[str, datetime] = field(default_factory=dict)
    evaluation: dict[str, int] = field(default_factory=dict)
    _signers: dict[bytes, tuple[ec.EllipticCurvePublicKey, datetime]] = field(default_factory=dict)

    def take(self, name: str) -> bytes:
        """The bytes of a document, not checked yet.

        Raises:
            EvidenceError: There is none of that name.
        """
        data = self.given.collateral.get(name)
        if data is None:
            raise EvidenceError(f"collateral {name} is missing", mend=FETCH)
        self.digests[name] = hashlib.sha256(data).hexdigest()
        return data

    def root_list(self) -> x509.CertificateRevocationList:
        """The revocation list of the root."""
        return self._revocation_list(ROOT_LIST, self.root)

    def pck_list(self, issuer: x509.Certificate) -> x509.CertificateRevocationList:
        """The revocation list of a PCK CA.

        Args:
            issuer: The CA's certificate; its chain is checked by the caller.
        """
        ca = PCK_CAS.get(common_name(issuer))
        if ca is None:
            raise EvidenceError(f"{common_name(issuer)!r} is not a PCK CA: {' or '.join(PCK_CAS)}")
        return self._revocation_list(list_name(ca), issuer)

    def tcb_info(self, kind: Kind, fmspc: str, revoked: x509.CertificateRevocationList) -> TcbInfo:
        """The TCB information for a family of platforms.

        Args:
            kind: SGX or TDX.
            fmspc: The family, hexadecimal in small letters.
            revoked: The revocation list of the root.

        Raises:
            EvidenceError: It is missing, malformed, expired, not signed by Intel, older than one that was
                seen, or of another family or kind.
        """
        name = tcb_info_name(kind, fmspc)
        found = self._signed(name, "tcbInfo", TcbInfo, revoked)
        if (found.id, found.fmspc) != (kind.upper(), fmspc):
            raise EvidenceError(
                f"collateral {name} is of {found.id} and FMSPC {found.fmspc}",
                mend="Store it by its own name.",
            )
        return found

    def identity(self, kind: Kind, revoked: x509.CertificateRevocationList) -> EnclaveIdentity:
        """The identity of the quoting enclave of a kind.

        Raises:
            EvidenceError: As `tcb_info`.
        """
        name = identity_name(kind)
        found = self._signed(name, "enclaveIdentity", EnclaveIdentity, revoked)
        if found.id != _IDENTITIES[kind]:
            raise EvidenceError(
                f"collateral {name} is of {found.id}, not of {_IDENTITIES[kind]}",
                mend="Store it by its own name.",
            )
        return found

    def _revocation_list(self, name: str, issuer: x509.Certificate) -> x509.CertificateRevocationList:
        data = self.take(name)
        if data[:1] != b"\x30":
            raise EvidenceError(f"collateral {name} is not DER", mend="Fetch it with encoding=der.")
        found = check_revocation_list(data, issuer, self.given.at, f"collateral {name}")
        assert found.next_update_utc is not None  # checked above
        self._count(name, found.last_update_utc, found.next_update_utc)
        return found

    def _signed(self, name: str, body: str, schema: type[D], revoked: x509.CertificateRevocationList) -> D:
        what = f"collateral {name}"
        data, at = self.take(name), self.given.at
        if len(data) > MAX_JSON:
            raise EvidenceError(f"{what} has {len(data)} bytes, more than {MAX_JSON}")
        parts = _SIGNED.fullmatch(data.removesuffix(b"\n"))
        if parts is None or parts[1].decode() != body:
            raise EvidenceError(
                f'{what} should be {{"{body}":{{...}},"signature":"128 hexadecimal digits"}}, as sent',
                mend="Store the answer of the service without changing its layout: the signature covers it.",
            )
        key = self._signer(self.take(name + CHAIN), revoked, f"{what}{CHAIN}")
        check_signature(key, bytes.fromhex(parts[3].decode()), parts[2], f"signature of {what}")
        found = read_published(schema, read_json(parts[2], what), what)
        if not found.issued <= at <= found.expires:
            raise EvidenceError(
                f"{what} counts from {found.issued:%Y-%m-%d} to {found.expires:%Y-%m-%d}, not at "
                f"{at:%Y-%m-%d %H:%M}Z",
                mend=FETCH,
            )
        self._count(name, found.issued, found.expires)
        floor = self.given.floors.evaluation.get(name, 0)
        if found.evaluation < floor:
            raise EvidenceError(
                f"{what} has the evaluation number {found.evaluation}, and {floor} was seen before",
                mend=FETCH,
            )
        self.evaluation[name] = found.evaluation
        return found

    def _signer(
        self, data: bytes, revoked: x509.CertificateRevocationList, what: str
    ) -> ec.EllipticCurvePublicKey:
        """The key of the signer of TCB information and identities; both come with the same chain."""
        if data not in self._signers:
            chain = read_pem_chain(data, 2, self.root, what)
            expires = check_signer(chain, [TCB_SIGNING], self.given.at, [revoked], what)
            check_leaf(chain[0], what)
            self._signers[data] = key_of(chain[0], what), expires
        key, expires = self._signers[data]
        self.expires.append(expires)
        return key

    def _count(self, name: str, issued: datetime, expires: datetime) -> None:
        """Note the dates of a document; refuse one that is older than one that was seen."""
        self.given.floors.check_issued(name, issued)
        self.issued[name] = issued
        self.expires.append(expires)
