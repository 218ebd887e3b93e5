"""Event logs of firmware: what was measured into which register, and to which values it leads.

TCG PC Client Platform Firmware Profile Specification, version 1.06, section 10 (crypto-agile log); UEFI
specification 2.10, section 38.2 (confidential computing, CCEL), which takes the same layout.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from hanse.attestation.reading import Reader
from hanse.errors import EvidenceError

SHA1, SHA256, SHA384, SHA512 = 0x0004, 0x000B, 0x000C, 0x000D
"""Hash algorithms (TCG Algorithm Registry)."""
EV_NO_ACTION = 0x00000003
"""Type of events that are not measured."""
MOST_EVENTS = 8192
_HASHES = {SHA1: hashlib.sha1, SHA256: hashlib.sha256, SHA384: hashlib.sha384, SHA512: hashlib.sha512}
_SIZES = {SHA1: 20, SHA256: 32, SHA384: 48, SHA512: 64, 0x0012: 32}
_MOST_ALGORITHMS = 8
_SIGNATURE = b"Spec ID Event03\0"
_LOCALITY = b"StartupLocality\0"
_NAMES = {
    0x00: "EV_PREBOOT_CERT",
    0x01: "EV_POST_CODE",
    0x03: "EV_NO_ACTION",
    0x04: "EV_SEPARATOR",
    0x05: "EV_ACTION",
    0x06: "EV_EVENT_TAG",
    0x07: "EV_S_CRTM_CONTENTS",
    0x08: "EV_S_CRTM_VERSION",
    0x09: "EV_CPU_MICROCODE",
    0x0A: "EV_PLATFORM_CONFIG_FLAGS",
    0x0B: "EV_TABLE_OF_DEVICES",
    0x0C: "EV_COMPACT_HASH",
    0x0D: "EV_IPL",
    0x0F: "EV_NONHOST_CODE",
    0x10: "EV_NONHOST_CONFIG",
    0x11: "EV_NONHOST_INFO",
    0x12: "EV_OMIT_BOOT_DEVICE_EVENTS",
    0x13: "EV_POST_CODE2",
    0x80000001: "EV_EFI_VARIABLE_DRIVER_CONFIG",
    0x80000002: "EV_EFI_VARIABLE_BOOT",
    0x80000003: "EV_EFI_BOOT_SERVICES_APPLICATION",
    0x80000004: "EV_EFI_BOOT_SERVICES_DRIVER",
    0x80000005: "EV_EFI_RUNTIME_SERVICES_DRIVER",
    0x80000006: "EV_EFI_GPT_EVENT",
    0x80000007: "EV_EFI_ACTION",
    0x80000008: "EV_EFI_PLATFORM_FIRMWARE_BLOB",
    0x80000009: "EV_EFI_HANDOFF_TABLES",
    0x8000000A: "EV_EFI_PLATFORM_FIRMWARE_BLOB2",
    0x8000000B: "EV_EFI_HANDOFF_TABLES2",
    0x8000000C: "EV_EFI_VARIABLE_BOOT2",
    0x80000010: "EV_EFI_HCRTM_EVENT",
    0x800000E0: "EV_EFI_VARIABLE_AUTHORITY",
    0x800000E1: "EV_EFI_SPDM_FIRMWARE_BLOB",
    0x800000E2: "EV_EFI_SPDM_FIRMWARE_CONFIG",
}


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a log.

    Attributes:
        register: The register that it extends: a PCR, or in a CCEL 0 for MRTD and 1 to 4 for RTMR0 to 3.
        kind: Its type.
        digests: What the register was extended by, by algorithm.
        data: What is said of it; only where `described` is true does a digest cover it.
    """

    register: int
    kind: int
    digests: Mapping[int, bytes]
    data: bytes

    @property
    def name(self) -> str:
        """The name of its type."""
        return _NAMES.get(self.kind, f"type {self.kind:#x}")

    @property
    def described(self) -> bool:
        """True where the digests are those of its data, which is proven then if the register is."""
        known = [(algorithm, digest) for algorithm, digest in self.digests.items() if algorithm in _HASHES]
        return bool(known) and all(
            _HASHES[algorithm](self.data).digest() == digest for algorithm, digest in known
        )


@dataclass(frozen=True, slots=True)
class EventLog:
    """A log of a start of a machine.

    Attributes:
        algorithms: Sizes of digests, by algorithm.
        events: Events in order; the header is not among them.
    """

    algorithms: Mapping[int, int]
    events: tuple[Event, ...]

    @property
    def not_proven(self) -> tuple[str, ...]:
        """Texts of the log that no digest covers, in words, by type of event."""
        counts: dict[str, int] = {}
        for event in self.events:
            if event.data and (event.kind == EV_NO_ACTION or not event.described):
                counts[event.name] = counts.get(event.name, 0) + 1
        return tuple(
            f"event log: data of {count} event{'s' if count > 1 else ''} {name} (their digests are of "
            "something else)"
            for name, count in sorted(counts.items())
        )

    def replay(self, algorithm: int) -> dict[int, bytes]:
        """The values that the events lead to, of each register that has any.

        Registers begin at zero, and the first PCR at the locality that the log states, if it does (section
        10.4.5.3 of the profile).

        Raises:
            EvidenceError: The log has no digests of this algorithm.
        """
        if algorithm not in self.algorithms or algorithm not in _HASHES:
            raise EvidenceError(f"event log: it has no digests of the algorithm {algorithm:#06x}")
        size, compute = self.algorithms[algorithm], _HASHES[algorithm]
        values: dict[int, bytes] = {}
        for event in self.events:
            if event.kind != EV_NO_ACTION:
                before = values.get(event.register, bytes(size))
                values[event.register] = compute(before + event.digests[algorithm]).digest()
            elif event.data.startswith(_LOCALITY):
                values[0] = self._at_locality(event, values, size)
        return values

    @staticmethod
    def _at_locality(event: Event, values: Mapping[int, bytes], size: int) -> bytes:
        locality = event.data[len(_LOCALITY) :]
        if event.register or values.get(0) is not None or locality not in (b"\0", b"\3", b"\4"):
            raise EvidenceError("event log: it states the locality of the start at a wrong place or value")
        return bytes(size - 1) + locality


def read_event_log(data: bytes) -> EventLog:
    """Read a crypto-agile event log; only 0xFF may follow its last event.

    Raises:
        EvidenceError: It is malformed.
    """
    reader = Reader(data, "event log")
    algorithms = _read_header(reader)
    events: list[Event] = []
    while reader.left and data[reader.at : reader.at + 4] != b"\xff\xff\xff\xff"[: reader.left]:
        if len(events) == MOST_EVENTS:
            raise EvidenceError(f"event log: it has more than {MOST_EVENTS} events")
        events.append(_read_event(reader, algorithms))
    reader.end(b"\xff")
    return EventLog(algorithms, tuple(events))


def _read_header(reader: Reader) -> dict[int, int]:
    """The first event, in the older layout, which states the algorithms (section 10.4.5.1)."""
    reader.take(4, "register of the header")
    kind, digest = reader.little(4, "type of the header"), reader.take(20, "digest of the header")
    inner = Reader(reader.take(reader.little(4, "size of the header"), "header"), "header of the event log")
    signature = inner.take(16, "signature")
    if kind != EV_NO_ACTION or any(digest) or signature != _SIGNATURE:
        raise EvidenceError("event log: it does not begin with a crypto-agile header (Spec ID Event03)")
    inner.take(4, "platform class")
    minor, major = inner.little(1, "minor version"), inner.little(1, "major version")
    inner.take(1, "errata")
    if (major, minor) != (2, 0):
        raise EvidenceError(f"event log: its version is {major}.{minor}, and 2.0 is taken")
    if inner.little(1, "size of a word") not in (1, 2):
        raise EvidenceError("event log: its header has a size of words that is neither 1 nor 2")
    count = inner.little(4, "number of algorithms")
    if not 1 <= count <= _MOST_ALGORITHMS:
        raise EvidenceError(f"event log: it has {count} algorithms, and 1 to {_MOST_ALGORITHMS} are taken")
    algorithms: dict[int, int] = {}
    for _ in range(count):
        algorithm, size = inner.little(2, "algorithm"), inner.little(2, "size of digests")
        if algorithm in algorithms or not 1 <= size <= 64 or _SIZES.get(algorithm, size) != size:
            raise EvidenceError(f"event log: its algorithm {algorithm:#06x} stands twice or has a wrong size")
        algorithms[algorithm] = size
    inner.take(inner.little(1, "size of the vendor's data"), "vendor's data")
    inner.end(b"")
    return algorithms


def _read_event(reader: Reader, algorithms: Mapping[int, int]) -> Event:
    register, kind = reader.little(4, "register"), reader.little(4, "type of an event")
    count = reader.little(4, "number of digests")
    if count != len(algorithms):
        raise EvidenceError(
            f"event log: the event at offset {reader.at - 12} has {count} digests, not {len(algorithms)}"
        )
    digests: dict[int, bytes] = {}
    for _ in range(count):
        algorithm = reader.little(2, "algorithm of a digest")
        if algorithm not in algorithms or algorithm in digests:
            raise EvidenceError(
                f"event log: the algorithm {algorithm:#06x} at {reader.at - 2} is not expected"
            )
        digests[algorithm] = reader.take(algorithms[algorithm], "digest")
    data = reader.take(reader.little(4, "size of the data of an event"), "data of an event")
    return Event(register, kind, digests, data)
