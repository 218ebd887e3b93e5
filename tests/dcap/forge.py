"""Quotes, certificates and collateral of a maker of machines that tests have in hand."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from hanse.attestation.base import Circumstances, Evidence, Floors, Kind
from hanse.attestation.dcap.pck import SGX_EXTENSION
from hanse.attestation.dcap.quote import INTEL_QE

AT = datetime(2026, 6, 15, tzinfo=UTC)
"""When everything that is made here counts, but where a test says something else."""
BEGIN, END = AT - timedelta(days=15), AT + timedelta(days=15)
BOUND = bytes(range(64))
"""Report data."""
FMSPC = "00906ed50000"
PPID = bytes(range(16))
ZERO48 = "00" * 48
QE_SIGNER = "aa" * 32

Key = ec.EllipticCurvePrivateKey


def der(tag: int, content: bytes) -> bytes:
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    size = (len(content).bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + len(content).to_bytes(size, "big") + content


def number(value: int, tag: int = 2) -> bytes:
    return der(tag, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def identified(arcs: Sequence[int], value: bytes) -> bytes:
    identifier = der(6, bytes.fromhex("2a864886f84d010d01") + bytes(arcs))
    return der(0x30, identifier + value)


def sgx_extension(svns: Sequence[int], pce_svn: int, fmspc: str = FMSPC, platform: bool = True) -> bytes:
    """The SGX extension of a PCK certificate."""
    tcb = [identified((2, n + 1), number(svn)) for n, svn in enumerate(svns)]
    tcb += [identified((2, 17), number(pce_svn)), identified((2, 18), der(4, bytes(svns)))]
    fields = [
        identified((1,), der(4, PPID)),
        identified((2,), der(0x30, b"".join(tcb))),
        identified((3,), der(4, bytes(2))),
        identified((4,), der(4, bytes.fromhex(fmspc))),
        identified((5,), number(1, 0x0A)),
    ]
    if platform:
        facts = b"".join(identified((7, n), der(1, b"\xff")) for n in (1, 2, 3))
        fields += [identified((6,), der(4, bytes(16))), identified((7,), der(0x30, facts))]
    return der(0x30, b"".join(fields))


@dataclass(frozen=True)
class Certified:
    """A key with its certificate."""

    key: Key
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)


def certify(
    name: str,
    issuer: Certified | None = None,
    *,
    ca: bool = True,
    extension: bytes | None = None,
    end: datetime = AT + timedelta(days=3650),
    key: Key | None = None,
) -> Certified:
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    by = issuer.certificate.subject if issuer else subject
    usage = x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(BEGIN - timedelta(days=300))
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    above = issuer.key.public_key() if issuer else key.public_key()
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above), critical=False)
    point = x509.DistributionPoint(
        [x509.UniformResourceIdentifier("https://localhost/crl")], None, None, None
    )
    builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
    if extension is not None:
        builder = builder.add_extension(x509.UnrecognizedExtension(SGX_EXTENSION, extension), critical=False)
    return Certified(key, builder.sign(issuer.key if issuer else key, SHA256()))


def revocation_list(
    issuer: Certified, revoked: Sequence[Certified] = (), begin: datetime = BEGIN, end: datetime = END
) -> bytes:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(begin)
        .next_update(end)
        .add_extension(x509.CRLNumber(1), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False
        )
    )
    for each in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(each.certificate.serial_number)
        builder = builder.add_revoked_certificate(entry.revocation_date(begin).build())
    return builder.sign(issuer.key, SHA256()).public_bytes(Encoding.DER)


def raw_signature(key: Key, data: bytes) -> bytes:
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def signed(name: str, body: bytes, key: Key) -> bytes:
    return b'{"%s":%s,"signature":"%s"}' % (name.encode(), body, raw_signature(key, body).hex().encode())


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def components(svns: Sequence[int]) -> list[dict[str, Any]]:
    return [{"svn": svn} for svn in svns]


def level(
    status: str, svn: int = 5, pce: int = 10, tdx: Sequence[int] = (0,) * 16, **more: Any
) -> dict[str, Any]:
    """A level of a platform, reached with this SVN in all components."""
    tcb = {"sgxtcbcomponents": components((svn,) * 16), "pcesvn": pce, "tdxtcbcomponents": components(tdx)}
    return {"tcb": tcb, "tcbDate": "2026-01-01T00:00:00Z", "tcbStatus": status, **more}


def isv_level(status: str, svn: int, **more: Any) -> dict[str, Any]:
    return {"tcb": {"isvsvn": svn}, "tcbDate": "2026-01-01T00:00:00Z", "tcbStatus": status, **more}


def module(levels: Sequence[dict[str, Any]] = (), major: int = 1) -> dict[str, Any]:
    return {
        "id": f"TDX_{major:02X}",
        "mrsigner": ZERO48,
        "attributes": "00" * 8,
        "attributesMask": "FF" * 8,
        "tcbLevels": list(levels),
    }


def time(value: datetime) -> str:
    return value.strftime("%Y-%m-%dT%H:%M:%SZ")


def tcb_info(kind: Kind, **changes: Any) -> dict[str, Any]:
    value: dict[str, Any] = {
        "id": kind.upper(),
        "version": 3,
        "issueDate": time(BEGIN),
        "nextUpdate": time(END),
        "fmspc": FMSPC.upper(),
        "pceId": "0000",
        "tcbType": 0,
        "tcbEvaluationDataNumber": 20,
    }
    if kind is Kind.TDX:
        value["tdxModule"] = {k: v for k, v in module().items() if k not in ("id", "tcbLevels")}
        value["tdxModuleIdentities"] = [module([isv_level("UpToDate", 3), isv_level("OutOfDate", 1)])]
    value["tcbLevels"] = [level("UpToDate")]
    return value | changes


def identity(kind: Kind, **changes: Any) -> dict[str, Any]:
    value = {
        "id": "QE" if kind is Kind.SGX else "TD_QE",
        "version": 2,
        "issueDate": time(BEGIN),
        "nextUpdate": time(END),
        "tcbEvaluationDataNumber": 20,
        "miscselect": "00000000",
        "miscselectMask": "FFFFFFFF",
        "attributes": "11000000000000000000000000000000",
        "attributesMask": "FBFFFFFFFFFFFFFF0000000000000000",
        "mrsigner": QE_SIGNER,
        "isvprodid": 1,
        "tcbLevels": [isv_level("UpToDate", 8), isv_level("OutOfDate", 6, advisoryIDs=["INTEL-SA-00477"])],
    }
    return value | changes


def enclave_report(
    report_data: bytes = BOUND,
    *,
    attributes: str = "0500000000000000e700000000000000",
    mrenclave: str = "bb" * 32,
    mrsigner: str = "cc" * 32,
    product: int = 1,
    svn: int = 8,
) -> bytes:
    return b"".join(
        (
            bytes(48),
            bytes.fromhex(attributes),
            bytes.fromhex(mrenclave),
            bytes(32),
            bytes.fromhex(mrsigner),
            bytes(96),
            struct.pack("<HH", product, svn),
            bytes(60),
            report_data,
        )
    )


def td_report(
    report_data: bytes = BOUND,
    *,
    svn: Sequence[int] = (3, 1),
    svn2: Sequence[int] | None = None,
    mrsignerseam: str = ZERO48,
    attributes: int = 1 << 28,
    registers: str = "1122334455",
    seam_attributes: bytes = bytes(8),
) -> bytes:
    """A TD report; MRTD and RTMRs are of one byte each, which `registers` lists; 1.5 with `svn2`."""
    measured = [bytes([each]) * 48 for each in bytes.fromhex(registers)]
    later = b"" if svn2 is None else bytes(svn2).ljust(16, b"\0") + bytes(48)
    return b"".join(
        (
            bytes(svn).ljust(16, b"\0"),
            b"\x77" * 48,
            bytes.fromhex(mrsignerseam),
            seam_attributes,
            attributes.to_bytes(8, "little"),
            bytes.fromhex("e700060000000000"),
            measured[0],
            bytes(48 * 3),
            *measured[1:],
            report_data,
            later,
        )
    )


@dataclass(frozen=True)
class Maker:
    """All keys of a maker; quotes and collateral are made from them."""

    root: Certified = field(default_factory=lambda: certify("Intel SGX Root CA"))
    ca: Certified = field(init=False)
    pck: Certified = field(init=False)
    signer: Certified = field(init=False)
    attestation: Key = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        ca = certify("Intel SGX PCK Platform CA", self.root)
        object.__setattr__(self, "ca", ca)
        extension = sgx_extension((5,) * 16, 10)
        object.__setattr__(
            self, "pck", certify("Intel SGX PCK Certificate", ca, ca=False, extension=extension)
        )
        object.__setattr__(self, "signer", certify("Intel SGX TCB Signing", self.root, ca=False))

    def quote(
        self,
        body: bytes,
        kind: Kind,
        version: int,
        *,
        qe: bytes | None = None,
        pck: Certified | None = None,
        chain: bytes | None = None,
        tail: bytes = bytes(32),
    ) -> bytes:
        """A quote over a body; everything but what is given is as it should be."""
        pck = pck or self.pck
        tee = 0 if kind is Kind.SGX else 0x81
        header = struct.pack("<HHI4s16s20s", version, 2, tee, bytes(4), INTEL_QE, bytes(20))
        numbers = {384: 1, 584: 2, 648: 3}
        described = struct.pack("<HI", numbers[len(body)], len(body)) if version == 5 else b""
        covered = header + described + body
        point = self.attestation.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]
        data = bytes(range(32))
        bound = hashlib.sha256(point + data).digest() + tail
        qe = qe or enclave_report(bound, attributes="1100000000000000e700000000000000", mrsigner=QE_SIGNER)
        if qe[320:] != bound and not any(qe[320:]):
            qe = qe[:320] + bound
        chain = chain if chain is not None else pck.pem + self.ca.pem + self.root.pem
        certified = b"".join(
            (
                qe,
                raw_signature(pck.key, qe),
                struct.pack("<H", len(data)) + data,
                struct.pack("<HI", 5, len(chain)) + chain,
            )
        )
        if version > 3:
            certified = struct.pack("<HI", 6, len(certified)) + certified
        auth = raw_signature(self.attestation, covered) + point + certified
        return covered + struct.pack("<I", len(auth)) + auth

    def collateral(
        self,
        kind: Kind,
        info: dict[str, Any] | None = None,
        enclave: dict[str, Any] | None = None,
        **changes: bytes,
    ) -> dict[str, bytes]:
        """Documents by name; `changes` are put in their place, with `_` for `-` and `__` for `/`."""
        chain = self.signer.pem + self.root.pem
        name = f"tcb-info/{kind}/{FMSPC}"
        return {
            "root-crl": revocation_list(self.root),
            "pck-crl/platform": revocation_list(self.ca),
            "pck-crl/platform.chain": self.ca.pem + self.root.pem,
            name: signed("tcbInfo", compact(info or tcb_info(kind)), self.signer.key),
            f"{name}.chain": chain,
            f"qe-identity/{kind}": signed(
                "enclaveIdentity", compact(enclave or identity(kind)), self.signer.key
            ),
            f"qe-identity/{kind}.chain": chain,
        } | changes

    def with_platform(self, svns: Sequence[int], pce_svn: int, **more: Any) -> Certified:
        """Another machine of the maker."""
        extension = sgx_extension(svns, pce_svn, **more)
        return certify("Intel SGX PCK Certificate", self.ca, ca=False, extension=extension)


@cache
def maker() -> Maker:
    return Maker()


def sgx(body: bytes | None = None, **more: Any) -> Evidence:
    return Evidence(Kind.SGX, maker().quote(body or enclave_report(), Kind.SGX, 3, **more))


def tdx(body: bytes | None = None, version: int = 4, **more: Any) -> Evidence:
    return Evidence(Kind.TDX, maker().quote(body or td_report(), Kind.TDX, version, **more))


def given(collateral: dict[str, bytes], at: datetime = AT, floors: Floors | None = None) -> Circumstances:
    return Circumstances(at, BOUND, collateral, floors or Floors())
