"""Verification that a quote is genuine: chain, binding, signatures, quoting enclave, TCB.

The order of Intel SGX and TDX DCAP Quote Verification Library, 4.1.2.4, with the cheap refusals first.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from hanse.attestation.base import Circumstances, Evidence, Kind
from hanse.attestation.dcap.chains import (
    PCK,
    check_leaf,
    check_not_revoked,
    check_signature,
    check_signer,
    key_of,
    read_pem_chain,
    read_point,
)
from hanse.attestation.dcap.documents import Documents, tcb_info_name
from hanse.attestation.dcap.pck import PckIdentity, read_pck_identity
from hanse.attestation.dcap.quote import Quote, read_quote
from hanse.attestation.dcap.reports import TdReport
from hanse.attestation.dcap.tcb_levels import Standing, check_enclave_identity, sgx_standing, tdx_standing
from hanse.errors import EvidenceError


@dataclass(frozen=True, slots=True)
class Genuine:
    """A quote that is genuine, with what its collateral says of the machine.

    Attributes:
        quote: The quote.
        pck: The platform.
        standing: How up to date it is.
        evaluation: The lower evaluation number of TCB information and identity.
        expires: The first end of a document or certificate that was used.
        collateral: SHA-256 of each document that was used, by name.
    """

    quote: Quote
    pck: PckIdentity
    standing: Standing
    evaluation: int
    expires: datetime
    collateral: dict[str, str]


def verify_quote(
    evidence: Evidence, kind: Kind, given: Circumstances, root: x509.Certificate, parts: frozenset[str]
) -> Genuine:
    """Verify that a quote is genuine, and find out how its machine stands.

    Args:
        evidence: The quote, and what came along.
        kind: SGX or TDX.
        given: Time, binding and collateral.
        root: The root that is pinned.
        parts: Names of parts that may come along.

    Raises:
        EvidenceError: The quote or its collateral is malformed, not genuine, expired, revoked, or bound to
            something else.
    """
    if given.at.tzinfo is None:
        raise ValueError("the time of a verification needs a zone")
    _check_parts(evidence, kind, parts)
    quote = read_quote(evidence.quote, kind)
    what = "PCK certificate chain of the quote"
    chain = read_pem_chain(quote.chain, 3, root, what)
    documents = Documents(given, root)
    root_list = documents.root_list()
    documents.expires.append(check_signer(chain, [PCK], given.at, [root_list], what))
    check_leaf(chain[0], what)
    check_not_revoked(chain[0], documents.pck_list(chain[1]), what)
    _check_binding(quote.report.report_data, given.report_data, kind)
    _check_signatures(quote, chain[0])
    pck = read_pck_identity(chain[0])
    fmspc = pck.fmspc.hex()
    info = documents.tcb_info(kind, fmspc, root_list)
    if info.pceId != pck.pce_id.hex():
        raise EvidenceError(
            f"collateral {tcb_info_name(kind, fmspc)} is of PCE {info.pceId}, and the quote of "
            f"{pck.pce_id.hex()}"
        )
    identity = documents.identity(kind, root_list)
    quoting_enclave = check_enclave_identity(quote.qe_report, identity)
    if isinstance(quote.report, TdReport):
        standing = tdx_standing(pck, quote.report, info, quoting_enclave)
    else:
        standing = sgx_standing(pck, info, quoting_enclave)
    return Genuine(
        quote=quote,
        pck=pck,
        standing=standing,
        evaluation=min(info.evaluation, identity.evaluation),
        expires=min(documents.expires),
        collateral=documents.digests,
    )


def _check_parts(evidence: Evidence, kind: Kind, parts: frozenset[str]) -> None:
    if evidence.kind is not kind:
        raise EvidenceError(f"the evidence is said to be of {evidence.kind}, and a verifier of {kind} has it")
    if evidence.certificates:
        raise EvidenceError(
            f"{kind} evidence: certificates came along with the quote",
            mend="A quote has its certificates inside; leave others out.",
        )
    if unknown := sorted(set(evidence.parts) - parts):
        raise EvidenceError(
            f"{kind} evidence: a part {unknown[0][:40]!r} came along, and "
            f"{' and '.join(sorted(parts)) or 'none'} is taken"
        )


def _check_binding(seen: bytes, expected: bytes, kind: Kind) -> None:
    if len(expected) != 64:
        raise ValueError(f"report data of {kind} has 64 bytes, not {len(expected)}")
    if not hmac.compare_digest(seen, expected):
        raise EvidenceError(
            f"{kind} quote: it is bound to {seen.hex()}, and should be to {expected.hex()} (report data)",
            mend="It was made for another nonce, purpose, run, plan, party or key: ask for new evidence.",
        )


def _check_signatures(quote: Quote, pck: x509.Certificate) -> None:
    what = f"of the {quote.kind.upper()} quote"
    check_signature(
        key_of(pck, what), quote.qe_signature, quote.qe_signed, f"signature of the QE report {what}"
    )
    bound = hashlib.sha256(quote.key + quote.qe_data).digest() + bytes(32)
    if quote.qe_report.report_data != bound:
        raise EvidenceError(f"attestation key {what}: the QE report is not of that key")
    key = read_point(quote.key, f"attestation key {what}")
    check_signature(key, quote.signature, quote.signed, f"signature {what}")
