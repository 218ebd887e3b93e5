"""Attestation reports of NVIDIA GPUs, read from bytes: an SPDM 1.1 request and the response to it.

DMTF DSP0274 1.1, GET_MEASUREMENTS request and MEASUREMENTS response; the opaque data as NVIDIA's
`nvtrust` reads it (`spdm_msrt_resp_msg.py`). The signature is of SPDM 1.1: ECDSA with P-384 and SHA-384,
r and s big-endian, over the request and the response up to the signature.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384

from hanse.attestation.reading import Reader
from hanse.errors import EvidenceError

_SPDM_1_1 = 0x11
_GET_MEASUREMENTS, _MEASUREMENTS = 0xE0, 0x60
_SIGNED, _ALL = 0x01, 0xFF
"""Parameters of the request: that the response is signed, and that it has all measurements."""
_DMTF = 0x01
"""Measurement specification."""
_COMPONENT = 48

DRIVER, VBIOS, FWID, FEATURE = 3, 6, 20, 36
OPAQUE = {
    1: "CERT_ISSUER_NAME",
    2: "CERT_AUTHORITY_KEY_IDENTIFIER",
    DRIVER: "DRIVER_VERSION",
    4: "GPU_INFO",
    5: "SKU",
    VBIOS: "VBIOS_VERSION",
    7: "MANUFACTURER_ID",
    8: "TAMPER_DETECTION",
    9: "SMC",
    10: "VPR",
    11: "NVDEC0_STATUS",
    12: "MSRSCNT",
    13: "CPRINFO",
    14: "BOARD_ID",
    15: "CHIP_SKU",
    16: "CHIP_SKU_MOD",
    17: "PROJECT",
    18: "PROJECT_SKU",
    19: "PROJECT_SKU_MOD",
    FWID: "FWID",
    21: "PROTECTED_PCIE_STATUS",
    22: "SWITCH_PDI",
    23: "FLOORSWEPT_PORTS",
    24: "POSITION_ID",
    25: "LOCK_SWITCH_STATUS",
    32: "GPU_LINK_CONN",
    33: "SYS_ENABLE_STATUS",
    34: "OPAQUE_DATA_VERSION",
    35: "CHIP_INFO",
    FEATURE: "FEATURE_FLAG",
}
"""Names of the fields of the opaque data, by type."""
_TEXTS = (DRIVER, 15, 16, 17, 18, 19, 35)
_SWITCHES = (11, 21)
_STATES = {b"\xaa": "enabled", b"\x55": "disabled"}
_FEATURES = {0: "SPT", 1: "MPT", 2: "PPCIE"}


@dataclass(frozen=True, slots=True)
class GpuReport:
    """A report. Nothing of it is believed before its signature is verified.

    Attributes:
        nonce: What the asker bound the report to, 32 bytes.
        slot: Slot of the certificate chain that was asked for.
        measurements: Values of the measurement blocks, by index.
        opaque: Fields of the opaque data, by type.
        signed: The bytes that the signature covers.
        r, s: The signature.
    """

    nonce: bytes
    slot: int
    measurements: dict[int, bytes]
    opaque: dict[int, bytes]
    signed: bytes
    r: int
    s: int

    @property
    def driver(self) -> str:
        """Version of the driver; empty where it is not stated."""
        return _text(self.opaque.get(DRIVER, b""))

    @property
    def vbios(self) -> str:
        """Version of the VBIOS as NVIDIA writes it, such as `96.00.9F.00.01`; empty where not stated."""
        written = self.opaque.get(VBIOS, b"")[::-1]
        middle = len(written) // 2
        parts = written[middle:] + written[middle - 1 : middle]
        return ".".join(f"{byte:02X}" for byte in parts)

    @property
    def feature(self) -> str:
        """SPT (one GPU) or MPT (several) of confidential computing, PPCIE; empty where not stated."""
        return (
            _FEATURES.get(int.from_bytes(self.opaque[FEATURE], "little"), "")
            if FEATURE in self.opaque
            else ""
        )


def read_report(data: bytes) -> GpuReport:
    """Read a report; only zeros may follow it.

    Raises:
        EvidenceError: It is cut off, of another protocol, not of all measurements, or malformed.
    """
    reader = Reader(data, "GPU report")
    _expect(reader, "version of the request", _SPDM_1_1)
    _expect(reader, "code of the request", _GET_MEASUREMENTS)
    asked = reader.little(1, "attributes of the request")
    if not asked & _SIGNED:
        raise EvidenceError("GPU report: the request did not ask for a signature")
    _expect(reader, "operation of the request", _ALL, "all measurements")
    nonce = reader.take(32, "nonce of the request")
    slot = reader.little(1, "slot of the request")
    _expect(reader, "version of the response", _SPDM_1_1)
    _expect(reader, "code of the response", _MEASUREMENTS)
    reader.take(2, "parameters of the response")
    count = reader.little(1, "number of blocks")
    record = reader.take(reader.little(3, "length of the record"), "measurement record")
    reader.take(32, "nonce of the response")
    opaque = reader.take(reader.little(2, "length of the opaque data"), "opaque data")
    signed = data[: reader.at]
    r, s = reader.big(_COMPONENT, "signature"), reader.big(_COMPONENT, "signature")
    reader.end()
    return GpuReport(nonce, slot, _measurements(record, count), _opaque(opaque), signed, r, s)


def check_signature(report: GpuReport, key: ec.EllipticCurvePublicKey) -> None:
    """Hold that a key signed a report.

    Raises:
        EvidenceError: It did not.
    """
    try:
        key.verify(encode_dss_signature(report.r, report.s), report.signed, ec.ECDSA(SHA384()))
    except InvalidSignature:
        raise EvidenceError(
            "GPU report: it is not signed by the key of its certificate",
            mend="It was changed, or the chain is of another GPU.",
        ) from None


def in_words(kind: int, value: bytes) -> str:
    """A field of the opaque data for people."""
    if kind in _TEXTS:
        return _text(value)
    if kind in _SWITCHES and value in _STATES:
        return _STATES[value]
    return value.hex()


def _expect(reader: Reader, name: str, expected: int, meaning: str = "") -> None:
    seen = reader.little(1, name)
    if seen != expected:
        words = f" ({meaning})" if meaning else ""
        raise EvidenceError(f"GPU report: the {name} is {seen:#x}, and should be {expected:#x}{words}")


def _measurements(record: bytes, count: int) -> dict[int, bytes]:
    """Values by index (DSP0274 1.1, measurement block and DMTF measurement specification format)."""
    reader = Reader(record, "GPU report's measurement record")
    found: dict[int, bytes] = {}
    for _ in range(count):
        index = reader.little(1, "index")
        specification = reader.little(1, "specification")
        if specification != _DMTF:
            raise EvidenceError(
                f"GPU report: its measurement {index} is of another specification than DMTF's"
            )
        block = Reader(
            reader.take(reader.little(2, "size"), "measurement"), f"GPU report's measurement {index}"
        )
        block.take(1, "type")
        value = block.take(block.little(2, "size of the value"), "value")
        block.end(b"")
        if not index or index in found:
            raise EvidenceError(f"GPU report: the index {index} of a measurement is zero or there twice")
        found[index] = value
    reader.end(b"")
    if not found:
        raise EvidenceError("GPU report: it has no measurements")
    return found


def _opaque(data: bytes) -> dict[int, bytes]:
    """Fields by type; a type that has no name here is kept, since the signature covers it too."""
    reader = Reader(data, "GPU report's opaque data")
    found: dict[int, bytes] = {}
    while reader.left:
        kind = reader.little(2, "type")
        value = reader.take(reader.little(2, "size"), f"field {OPAQUE.get(kind, kind)}")
        if kind in found:
            raise EvidenceError(f"GPU report: its opaque data has the field {OPAQUE.get(kind, kind)} twice")
        found[kind] = value
    return found


def _text(value: bytes) -> str:
    """Text up to its end, which zeros mark; hexadecimal where it is not printable."""
    text = value.rstrip(b"\0")
    return text.decode("ascii") if all(0x20 <= byte < 0x7F for byte in text) else value.hex()
