"""Layout of quotes: version 3 of SGX, versions 4 and 5 of SGX and TDX.

Intel SGX ECDSA Quote Library Reference for DCAP (3), appendix A: Quote Format; Intel TDX DCAP Quoting
Library API, appendix A: Quote Format version 4 (A.3) and version 5 (A.4). All numbers are little-endian.
"""

from __future__ import annotations

from dataclasses import dataclass

from hanse.attestation.base import Kind
from hanse.attestation.dcap.reports import EnclaveReport, TdReport, read_enclave_report, read_td_report
from hanse.attestation.reading import Reader
from hanse.errors import EvidenceError

INTEL_QE = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
"""QE vendor id of Intel."""
_P256 = 2
"""Attestation key type: ECDSA 256 with curve P-256."""
_TEES = {0x00000000: Kind.SGX, 0x00000081: Kind.TDX}
_VERSIONS = {Kind.SGX: (3, 4, 5), Kind.TDX: (4, 5)}
_SGX_BODY, _TD10_BODY, _TD15_BODY = 1, 2, 3
_BODIES = {(Kind.SGX, _SGX_BODY): 384, (Kind.TDX, _TD10_BODY): 584, (Kind.TDX, _TD15_BODY): 648}
"""Bytes of a body, by kind and type."""
_CHAIN = 5
"""Certification data type: concatenated PEM certificates of the PCK's chain."""
_QE_REPORT = 6
"""Certification data type: QE report, its signature, authentication data, and nested certification data."""


@dataclass(frozen=True, slots=True)
class Quote:
    """A quote; nothing of it is believed yet.

    Attributes:
        kind: SGX or TDX.
        version: Version of the layout.
        report: What the processor reports of the enclave or trust domain.
        signed: The bytes that the attestation key signs: header and body.
        signature: Of the attestation key, r and s, 64 bytes.
        key: The attestation key's public point, x and y, 64 bytes.
        qe_report: Report of the quoting enclave.
        qe_signed: The bytes of that report.
        qe_signature: Of the PCK over it, 64 bytes.
        qe_data: Authentication data of the quoting enclave.
        chain: PEM certificates of the PCK's chain.
    """

    kind: Kind
    version: int
    report: EnclaveReport | TdReport
    signed: bytes
    signature: bytes
    key: bytes
    qe_report: EnclaveReport
    qe_signed: bytes
    qe_signature: bytes
    qe_data: bytes
    chain: bytes


def read_quote(data: bytes, kind: Kind) -> Quote:
    """Read a quote of a kind.

    Raises:
        EvidenceError: It is malformed, of another kind, or of a version or key type that is not taken.
    """
    reader = Reader(data, f"{kind.upper()} quote")
    version = _header(reader, kind)
    report = _body(reader, kind, version)
    signed = data[: reader.at]
    size = reader.little(4, "size of the signature data")
    inner = Reader(reader.take(size, "signature data"), f"signature data of the {reader.what}")
    reader.end()
    signature = inner.take(64, "signature")
    key = inner.take(64, "attestation key")
    if version > 3:
        inner = _nested(inner, _QE_REPORT, "certification data")
    qe_signed = inner.take(384, "QE report")
    qe_signature = inner.take(64, "signature of the QE report")
    qe_data = inner.take(inner.little(2, "size of the QE authentication data"), "QE authentication data")
    chain = _nested(inner, _CHAIN, "certification data of the QE report").rest()
    return Quote(
        kind=kind,
        version=version,
        report=report,
        signed=signed,
        signature=signature,
        key=key,
        qe_report=read_enclave_report(qe_signed, "QE report"),
        qe_signed=qe_signed,
        qe_signature=qe_signature,
        qe_data=qe_data,
        chain=chain,
    )


def _header(reader: Reader, kind: Kind) -> int:
    version = reader.little(2, "version")
    key_type = reader.little(2, "attestation key type")
    tee = reader.little(4, "TEE type")
    if version > 3:
        reader.zeros(4, "reserved field of the header")
    else:
        reader.take(4, "QE SVN and PCE SVN")
    vendor = reader.take(16, "QE vendor id")
    reader.take(20, "user data")
    found = _TEES.get(tee)
    if found is not kind:
        seen = found.upper() if found else f"the TEE type {tee:#x}"
        raise EvidenceError(
            f"{reader.what}: it is of {seen}, not of {kind.upper()}",
            mend=f"Name the kind of the evidence: {found}." if found else "",
        )
    if version not in _VERSIONS[kind]:
        raise EvidenceError(
            f"{reader.what} has version {version}, and versions "
            f"{', '.join(map(str, _VERSIONS[kind]))} are taken"
        )
    if key_type != _P256:
        raise EvidenceError(
            f"{reader.what}: its attestation key is of type {key_type}, and 2 (P-256) is taken"
        )
    if vendor != INTEL_QE:
        raise EvidenceError(f"{reader.what}: its QE vendor is {vendor.hex()}, not Intel's {INTEL_QE.hex()}")
    return version


def _body(reader: Reader, kind: Kind, version: int) -> EnclaveReport | TdReport:
    if version < 5:
        body = _SGX_BODY if kind is Kind.SGX else _TD10_BODY
    else:
        body = reader.little(2, "body type")
        size = reader.little(4, "body size")
        if (kind, body) not in _BODIES:
            raise EvidenceError(
                f"{reader.what}: its body has type {body}, and 1 (enclave), 2 (TD 1.0) or 3 (TD 1.5) is taken"
            )
        if size != _BODIES[kind, body]:
            raise EvidenceError(
                f"{reader.what}: its body has {size} bytes, and {_BODIES[kind, body]} in type {body}"
            )
    taken = reader.take(_BODIES[kind, body], "body")
    if kind is Kind.SGX:
        return read_enclave_report(taken, "enclave report")
    return read_td_report(taken, "TD report")


def _nested(reader: Reader, expected: int, name: str) -> Reader:
    """The certification data of a type, which has to be the last in its place."""
    found = reader.little(2, f"type of the {name}")
    if found != expected:
        raise EvidenceError(
            f"{reader.what}: its {name} has type {found}, and {expected} is taken",
            mend="Have the platform put the whole PCK certificate chain into its quotes."
            if expected == _CHAIN
            else "",
        )
    size = reader.little(4, f"size of the {name}")
    nested = Reader(reader.take(size, name), f"{name} of the {reader.what}")
    reader.end(b"")
    return nested
