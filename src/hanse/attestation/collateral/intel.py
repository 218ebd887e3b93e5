"""Collateral of Intel's machines: read from files, and checked before it is stored."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from pydantic import Field, ValidationError

from hanse.attestation.base import CheckedCollateral, Circumstances, Floors, Kind
from hanse.attestation.dcap.chains import PCK_CAS, check_signer, common_name, read_pem_chain
from hanse.attestation.dcap.documents import (
    CHAIN,
    ROOT_LIST,
    Documents,
    identity_name,
    list_name,
    tcb_info_name,
)
from hanse.attestation.dcap.root import intel_root
from hanse.attestation.dcap.strict_json import read_json
from hanse.core.values.schema import Strict, problem_of
from hanse.errors import EvidenceError

MOST_DOCUMENTS = 1024
_KINDS = {"sgx": Kind.SGX, "tdx": Kind.TDX}
_LISTS = {list_name(ca): ca for ca in PCK_CAS.values()}
_IDENTITIES = {identity_name(kind): kind for kind in _KINDS.values()}


class _Bundle(Strict):
    """Collateral of one quote in one file, with the names of Intel's `sgx_ql_qve_collateral_t`.

    Tools such as `dcap-qvl` write it. Revocation lists and signatures are hexadecimal.
    """

    root_ca_crl: str = Field(max_length=1 << 21, pattern="^([0-9a-f]{2})+$")
    pck_crl: str = Field(max_length=1 << 21, pattern="^([0-9a-f]{2})+$")
    pck_crl_issuer_chain: str = Field(max_length=1 << 16)
    tcb_info: str = Field(max_length=1 << 19)
    tcb_info_signature: str = Field(pattern="^[0-9a-f]{128}$")
    tcb_info_issuer_chain: str = Field(max_length=1 << 16)
    qe_identity: str = Field(max_length=1 << 19)
    qe_identity_signature: str = Field(pattern="^[0-9a-f]{128}$")
    qe_identity_issuer_chain: str = Field(max_length=1 << 16)
    pck_certificate_chain: str | None = Field(None, max_length=1 << 16)


def read_bundle(data: bytes) -> dict[str, bytes]:
    """Read the collateral of a quote from a file that has all of it: documents by name, not checked yet.

    Raises:
        EvidenceError: The file is malformed.
    """
    value = read_json(data, "collateral file")
    try:
        bundle = _Bundle.model_validate(value)
    except ValidationError as error:
        raise EvidenceError(f"collateral file: {problem_of(error)}") from None
    info = read_json(bundle.tcb_info.encode(), "tcb_info of the collateral file")
    identity = read_json(bundle.qe_identity.encode(), "qe_identity of the collateral file")
    kind = _KINDS.get(_text(info, "id").lower())
    if kind is None:
        raise EvidenceError("collateral file: the id of its tcb_info is neither SGX nor TDX")
    enclave = Kind.TDX if _text(identity, "id") == "TD_QE" else Kind.SGX
    ca = _ca_of(bytes.fromhex(bundle.pck_crl))
    named = tcb_info_name(kind, _text(info, "fmspc").lower())
    return {
        ROOT_LIST: bytes.fromhex(bundle.root_ca_crl),
        list_name(ca): bytes.fromhex(bundle.pck_crl),
        list_name(ca) + CHAIN: bundle.pck_crl_issuer_chain.encode(),
        named: f'{{"tcbInfo":{bundle.tcb_info},"signature":"{bundle.tcb_info_signature}"}}'.encode(),
        named + CHAIN: bundle.tcb_info_issuer_chain.encode(),
        identity_name(enclave): (
            f'{{"enclaveIdentity":{bundle.qe_identity},"signature":"{bundle.qe_identity_signature}"}}'
        ).encode(),
        identity_name(enclave) + CHAIN: bundle.qe_identity_issuer_chain.encode(),
    }


def check_collateral(
    documents: Mapping[str, bytes],
    at: datetime,
    floors: Floors,
    root: x509.Certificate | None = None,
) -> CheckedCollateral:
    """Check documents before they are stored: signatures, chains, dates, and floors.

    Args:
        documents: By name, as `hanse.attestation.dcap.documents` has them. Where a few are new, the stored
            ones come along, since each is checked with the revocation list of the root.
        at: The time at which they have to count.
        floors: What was seen before.
        root: The root that is pinned, Intel's; another one for tests.

    Raises:
        EvidenceError: One is missing, malformed, expired, not genuine, or older than one that was seen.
            Names it.
    """
    if len(documents) > MOST_DOCUMENTS:
        raise EvidenceError(f"collateral: {len(documents)} documents, more than {MOST_DOCUMENTS}")
    root = root or intel_root()
    found = Documents(Circumstances(at, b"", documents, floors), root)
    expires: dict[str, datetime] = {}
    root_list = found.root_list()
    expires[ROOT_LIST] = min(found.expires)
    for name in sorted(documents):
        if name == ROOT_LIST:
            continue
        if name.endswith(CHAIN):
            if name.removesuffix(CHAIN) not in documents:
                raise EvidenceError(f"collateral {name} is there without its document")
            continue
        found.expires.clear()
        _check(name, found, root_list)
        expires[name] = min(found.expires)
    return CheckedCollateral(dict(documents), floors.raised(found.evaluation, found.issued), expires)


def _check(name: str, found: Documents, root_list: x509.CertificateRevocationList) -> None:
    if name in _LISTS:
        what = f"collateral {name}{CHAIN}"
        chain = read_pem_chain(found.take(name + CHAIN), 2, found.root, what)
        found.expires.append(check_signer(chain, list(PCK_CAS), found.given.at, [root_list], what))
        if PCK_CAS[common_name(chain[0])] != _LISTS[name]:
            raise EvidenceError(f"{what} is of {common_name(chain[0])}", mend="Store it by its own name.")
        found.pck_list(chain[0])
    elif name in _IDENTITIES:
        found.identity(_IDENTITIES[name], root_list)
    else:
        parts = name.split("/")
        if len(parts) != 3 or parts[0] != "tcb-info" or parts[1] not in _KINDS:
            raise EvidenceError(f"collateral {name[:80]!r} is not a name of a document of Intel's")
        found.tcb_info(_KINDS[parts[1]], parts[2], root_list)


def _text(value: Any, key: str) -> str:
    found = value.get(key) if isinstance(value, dict) else None
    if not isinstance(found, str) or len(found) > 64:
        raise EvidenceError(f"collateral file: a document without {key}")
    return found


def _ca_of(revocation_list: bytes) -> str:
    try:
        issuer = x509.load_der_x509_crl(revocation_list).issuer
        names = issuer.get_attributes_for_oid(x509.oid.NameOID.COMMON_NAME)
        return PCK_CAS[str(names[0].value)]
    except (ValueError, TypeError, LookupError, UnsupportedAlgorithm):
        raise EvidenceError("collateral file: its pck_crl is not a revocation list of a PCK CA") from None
