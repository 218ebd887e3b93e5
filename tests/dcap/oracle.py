"""The verdict of dcap-qvl, another verifier of the same quotes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

import dcap_qvl
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from hanse.attestation.dcap.root import intel_root

_SIGNED = re.compile(rb'\{"\w+":(\{.*\}),"signature":"(\w+)"\}\s*', re.DOTALL)


def oracle(
    quote: bytes, documents: Mapping[str, bytes], at: datetime, root: x509.Certificate | None = None
) -> tuple[str, list[str]]:
    """Status and advisories, in order.

    Raises:
        ValueError: It refuses the quote.
    """
    info = next(name for name in documents if name.startswith("tcb-info") and not name.endswith(".chain"))
    identity = next(name for name in documents if name.startswith("qe-id") and not name.endswith(".chain"))
    pck_list = next(name for name in documents if name.startswith("pck-crl") and not name.endswith(".chain"))
    info_parts, identity_parts = (_SIGNED.fullmatch(documents[name]) for name in (info, identity))
    assert info_parts is not None
    assert identity_parts is not None
    collateral = dcap_qvl.QuoteCollateralV3(
        pck_crl_issuer_chain="",
        root_ca_crl=documents["root-crl"],
        pck_crl=documents[pck_list],
        tcb_info_issuer_chain=documents[f"{info}.chain"].decode(),
        tcb_info=info_parts[1].decode(),
        tcb_info_signature=bytes.fromhex(info_parts[2].decode()),
        qe_identity_issuer_chain=documents[f"{identity}.chain"].decode(),
        qe_identity=identity_parts[1].decode(),
        qe_identity_signature=bytes.fromhex(identity_parts[2].decode()),
    )
    der = (root or intel_root()).public_bytes(Encoding.DER)
    report = dcap_qvl.verify_with_root_ca(quote, collateral, der, int(at.timestamp()))
    return report.status, sorted(report.advisory_ids)
