"""SEV-SNP attestation reports, read from bytes: versions 2, 3, 4 and 5.

AMD SEV Secure Nested Paging Firmware ABI Specification (56860), section 7.3, table ATTESTATION_REPORT.
Version 3 added the processor's family, model and stepping, version 5 the mitigation vectors; 3 and 4 have
one layout. Numbers are little-endian.
"""

from __future__ import annotations

from dataclasses import dataclass

from hanse.attestation.reading import Reader
from hanse.errors import EvidenceError

SIZE = 0x4A0
SIGNED = 0x2A0
"""Bytes that the signature covers."""
VERSIONS = (2, 3, 4, 5)
SIGNERS = {0: "VCEK", 1: "VLEK"}
"""SIGNING_KEY of the key information; 7 is none, and 2 to 6 are reserved."""
_UNSIGNED = 7
_ECDSA_P384_SHA384 = 1
_COMPONENT = 72
"""Bytes of r, and of s, in a signature (56860, table of the ECDSA P-384 with SHA-384 signature)."""

POLICY_BITS = {
    "SMT": 16,
    "MIGRATE_MA": 18,
    "DEBUG": 19,
    "SINGLE_SOCKET": 20,
    "CXL_ALLOW": 21,
    "MEM_AES_256_XTS": 22,
    "RAPL_DIS": 23,
    "CIPHERTEXT_HIDING": 24,
    "PAGE_SWAP_DISABLE": 25,
}
"""Bits of the guest policy (56860, section 4.3); 0 to 15 are the ABI version, 17 is always one."""
_POLICY_ONE = 17
PLATFORM_BITS = {
    "SMT_EN": 0,
    "TSME_EN": 1,
    "ECC_EN": 2,
    "RAPL_DIS": 3,
    "CIPHERTEXT_HIDING_EN": 4,
    "ALIAS_CHECK_COMPLETE": 5,
    "TIO_EN": 7,
}
"""Bits of PLATFORM_INFO (56860, section 7.3)."""


@dataclass(frozen=True, slots=True)
class Firmware:
    """Version of the firmware: API major and minor version, and build."""

    major: int
    minor: int
    build: int

    def __str__(self) -> str:
        """The version as AMD writes it."""
        return f"{self.major}.{self.minor}.{self.build}"


@dataclass(frozen=True, slots=True)
class GuestPolicy:
    """Settings of the guest policy, which the firmware enforces.

    Attributes:
        abi: Least ABI version, major and minor, that the firmware has to have.
        bits: The other settings, by name.
    """

    abi: tuple[int, int]
    bits: dict[str, bool]


@dataclass(frozen=True, slots=True)
class KeyInformation:
    """The keys of a report.

    Attributes:
        signer: The key that signed: `VCEK` or `VLEK`.
        author_key: Whether the ID key was certified by an author key.
        mask_chip_key: Whether the host forbids the firmware to use the VCEK.
    """

    signer: str
    author_key: bool
    mask_chip_key: bool


@dataclass(frozen=True, slots=True)
class Processor:
    """The processor, as CPUID states it."""

    family: int
    model: int
    stepping: int

    def __str__(self) -> str:
        """The processor in words."""
        return f"family {self.family:#x}, model {self.model:#x}, stepping {self.stepping}"


@dataclass(frozen=True, slots=True)
class Mitigations:
    """Mitigation vectors: bits whose meaning AMD's bulletins state, at the guest's launch and now."""

    launch: int
    current: int


@dataclass(frozen=True, slots=True)
class SnpReport:
    """An attestation report. Nothing of it is believed before its signature is verified.

    Attributes:
        version: Version of the layout.
        guest_svn: Security version of the guest, from its ID block.
        policy: The guest policy.
        family_id, image_id: Identifiers from the ID block, 16 bytes each.
        vmpl: Privilege level that asked for the report, 0 to 3.
        current_tcb, reported_tcb, committed_tcb, launch_tcb: TCB versions, 8 bytes each, whose layout
            depends on the product.
        platform: Bits of PLATFORM_INFO, by name.
        key: Which key signed.
        report_data: What the guest bound the report to, 64 bytes.
        measurement: Measurement of the guest at its launch, 48 bytes.
        host_data: What the host gave at the launch, 32 bytes.
        id_key_digest, author_key_digest: SHA-384 of the ID key and the author key; zeros for none.
        report_id, report_id_ma: Identifiers of the guest and of its migration agent, 32 bytes each.
        processor: The processor; None before version 3.
        chip_id: Identifier of the processor, 64 bytes; zeros where the host masks it.
        current, committed: Versions of the firmware.
        mitigations: Mitigation vectors; None before version 5.
        signed: The bytes that the signature covers.
        signature: The numbers r and s.
    """

    version: int
    guest_svn: int
    policy: GuestPolicy
    family_id: bytes
    image_id: bytes
    vmpl: int
    current_tcb: bytes
    platform: dict[str, bool]
    key: KeyInformation
    report_data: bytes
    measurement: bytes
    host_data: bytes
    id_key_digest: bytes
    author_key_digest: bytes
    report_id: bytes
    report_id_ma: bytes
    reported_tcb: bytes
    processor: Processor | None
    chip_id: bytes
    committed_tcb: bytes
    current: Firmware
    committed: Firmware
    launch_tcb: bytes
    mitigations: Mitigations | None
    signed: bytes
    signature: tuple[int, int]


def read_report(data: bytes) -> SnpReport:
    """Read a report; only zeros may follow its 1184 bytes.

    Raises:
        EvidenceError: It is cut off, of a version that is not known, not signed, or a reserved field is
            not zero.
    """
    reader = Reader(data, "SNP report")
    version = reader.little(4, "version")
    if version not in VERSIONS:
        raise EvidenceError(f"SNP report: its version is {version}, and 2 to 5 are taken")
    report = SnpReport(  # in the order of the layout: arguments are read from left to right
        version=version,
        guest_svn=reader.little(4, "guest SVN"),
        policy=_guest_policy(reader),
        family_id=reader.take(16, "family id"),
        image_id=reader.take(16, "image id"),
        vmpl=_vmpl_and_algorithm(reader),
        current_tcb=reader.take(8, "current TCB"),
        platform=_bits(reader.little(8, "platform info"), PLATFORM_BITS, 0, "platform info"),
        key=_key(reader),
        report_data=reader.take(64, "report data"),
        measurement=reader.take(48, "measurement"),
        host_data=reader.take(32, "host data"),
        id_key_digest=reader.take(48, "ID key digest"),
        author_key_digest=reader.take(48, "author key digest"),
        report_id=reader.take(32, "report id"),
        report_id_ma=reader.take(32, "report id of the migration agent"),
        reported_tcb=reader.take(8, "reported TCB"),
        processor=_processor(reader, version),
        chip_id=reader.take(64, "chip id"),
        committed_tcb=reader.take(8, "committed TCB"),
        current=_firmware(reader, "current"),
        committed=_firmware(reader, "committed"),
        launch_tcb=reader.take(8, "launch TCB"),
        mitigations=_mitigations(reader, version),
        signed=data[:SIGNED],
        signature=_signature(reader),
    )
    reader.end()
    return report


def _vmpl_and_algorithm(reader: Reader) -> int:
    vmpl, algorithm = reader.little(4, "VMPL"), reader.little(4, "signature algorithm")
    if vmpl > 3:
        raise EvidenceError(
            f"SNP report: its VMPL is {vmpl}, and 0 to 3 are guests'",
            mend="Have the guest ask for the report: one that the host asked for is not bound to it.",
        )
    if algorithm != _ECDSA_P384_SHA384:
        raise EvidenceError(
            f"SNP report: its signature algorithm is {algorithm}, and should be 1: ECDSA P-384 with SHA-384"
        )
    return vmpl


def _bits(value: int, names: dict[str, int], others: int, what: str) -> dict[str, bool]:
    """The named bits of a field; `others` may be set too, and all else is reserved."""
    reserved = value & ~others
    for bit in names.values():
        reserved &= ~(1 << bit)
    if reserved:
        raise EvidenceError(
            f"SNP report: its {what} {value:#x} has reserved bits, {reserved:#x}",
            mend="A newer specification may give them a meaning: a newer version of Hanse is needed then.",
        )
    return {name: bool(value >> bit & 1) for name, bit in names.items()}


def _guest_policy(reader: Reader) -> GuestPolicy:
    value = reader.little(8, "guest policy")
    if not value >> _POLICY_ONE & 1:
        raise EvidenceError(f"SNP report: bit 17 of its guest policy {value:#x} is always one, and is zero")
    bits = _bits(value, POLICY_BITS, 0xFFFF | 1 << _POLICY_ONE, "guest policy")
    return GuestPolicy((value >> 8 & 0xFF, value & 0xFF), bits)


def _key(reader: Reader) -> KeyInformation:
    key = reader.little(4, "key information")
    reader.zeros(4, "field after the key information")
    if key >> 5:
        raise EvidenceError(f"SNP report: its key information {key:#x} has reserved bits")
    number = key >> 2
    if number == _UNSIGNED:
        raise EvidenceError("SNP report: it is not signed, since the guest asked for none")
    if number not in SIGNERS:
        raise EvidenceError(f"SNP report: it is signed with the key {number}, which is reserved")
    if SIGNERS[number] == "VCEK" and key & 2:
        raise EvidenceError(
            "SNP report: the host forbids to use the chip's key (MASK_CHIP_KEY), so the report is not signed",
            mend="Have the host unset it, or load a VLEK.",
        )
    return KeyInformation(SIGNERS[number], bool(key & 1), bool(key & 2))


def _processor(reader: Reader, version: int) -> Processor | None:
    found = None
    if version >= 3:
        found = Processor(*reader.take(3, "family, model and stepping"))
    reader.zeros(21 if found else 24, "field before the chip id")
    return found


def _firmware(reader: Reader, which: str) -> Firmware:
    build, minor, major = reader.take(3, f"{which} version")
    reader.zeros(1, f"field after the {which} version")
    return Firmware(major, minor, build)


def _mitigations(reader: Reader, version: int) -> Mitigations | None:
    found = None
    if version >= 5:
        found = Mitigations(reader.little(8, "launch mitigations"), reader.little(8, "current mitigations"))
    reader.zeros(SIGNED - reader.at, "field before the signature")
    return found


def _signature(reader: Reader) -> tuple[int, int]:
    r, s = reader.little(_COMPONENT, "signature"), reader.little(_COMPONENT, "signature")
    reader.zeros(SIZE - SIGNED - 2 * _COMPONENT, "field after the signature")
    if not r and not s:
        raise EvidenceError("SNP report: it is not signed: its signature is all zeros")
    return r, s
