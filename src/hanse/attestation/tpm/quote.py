"""Quotes of a TPM (TPMS_ATTEST of type TPM_ST_ATTEST_QUOTE; TPM 2.0 library, part 2, section 10.12)."""

from __future__ import annotations

from dataclasses import dataclass

from hanse.attestation.reading import Reader
from hanse.attestation.tpm.algorithms import SHA256, in_words, read_sized
from hanse.errors import EvidenceError

GENERATED = 0xFF544347
"""TPM_GENERATED_VALUE: what a restricted key signs begins with it, and only if the TPM made it."""
ATTEST_QUOTE = 0x8018
MAX_ATTEST = 1024
"""Bytes of a quote; one takes some 150."""
_TYPES = {
    0x8014: "a certified NV index",
    0x8015: "an audit of commands",
    0x8016: "an audit of a session",
    0x8017: "a certified key",
    0x8019: "a time",
    0x801A: "a creation of a key",
    0x801C: "a digest of an NV index",
}
REGISTERS = 24
"""Registers of a bank on a PC (TCG PC Client Platform TPM Profile, section 4.6)."""


@dataclass(frozen=True, slots=True)
class Started:
    """Counters of a TPM that change when its machine starts: together with an instance's keys, its start.

    Attributes:
        resets: Starts after the power was off or the machine was reset.
        restarts: Returns from hibernation or sleep since.
    """

    resets: int
    restarts: int

    def __str__(self) -> str:
        """For people."""
        return f"reset {self.resets}, restart {self.restarts}"


@dataclass(frozen=True, slots=True)
class Quote:
    """Statement of a TPM about its registers.

    Attributes:
        signer: Qualified name of the key that signed.
        qualifying: Data of the party that asked.
        clock_ms: Time during which the TPM had power, ever, in milliseconds.
        started: Its counters of starts.
        safe: False where the clock may have been set back since it was last stored.
        firmware: Version of its firmware, 8 bytes.
        selection: Registers of the SHA-256 bank, ascending.
        digest: Digest of their values, one after the other.
    """

    signer: bytes
    qualifying: bytes
    clock_ms: int
    started: Started
    safe: bool
    firmware: bytes
    selection: tuple[int, ...]
    digest: bytes


def read_quote(data: bytes) -> Quote:
    """Read a TPMS_ATTEST, which nothing may follow.

    Raises:
        EvidenceError: It is malformed, not made by a TPM, not a quote, or of another bank than SHA-256.
    """
    if len(data) > MAX_ATTEST:
        raise EvidenceError(f"TPM quote: it has {len(data)} bytes, more than {MAX_ATTEST}")
    reader = Reader(data, "TPM quote")
    if (magic := reader.big(4, "magic")) != GENERATED:
        raise EvidenceError(
            f"TPM quote: it begins with {magic:#010x}, not {GENERATED:#010x}: a TPM did not make it"
        )
    if (kind := reader.big(2, "type")) != ATTEST_QUOTE:
        raise EvidenceError(f"TPM quote: it is {_TYPES.get(kind, f'of type {kind:#06x}')}, not a quote")
    signer = read_sized(reader, 68, "qualified signer")
    qualifying = read_sized(reader, 68, "qualifying data")
    clock_ms = reader.big(8, "clock")
    started = Started(reader.big(4, "reset count"), reader.big(4, "restart count"))
    safe = reader.big(1, "safe flag")
    if safe > 1:
        raise EvidenceError(f"TPM quote: its safe flag is {safe}, neither 0 nor 1")
    firmware = reader.take(8, "firmware version")
    selection = _read_selection(reader)
    digest = read_sized(reader, 64, "digest of registers")
    reader.end(b"")
    return Quote(signer, qualifying, clock_ms, started, bool(safe), firmware, selection, digest)


def _read_selection(reader: Reader) -> tuple[int, ...]:
    """The registers (TPML_PCR_SELECTION); one bank, SHA-256."""
    count = reader.big(4, "number of banks")
    if count != 1:
        raise EvidenceError(f"TPM quote: it selects registers of {count} banks, not of SHA-256 alone")
    if (bank := reader.big(2, "bank")) != SHA256:
        raise EvidenceError(
            f"TPM quote: its bank is {in_words(bank)}, and SHA-256 alone is taken",
            mend="Quote registers of the SHA-256 bank: `tpm2_quote --pcr-list sha256:…`.",
        )
    size = reader.big(1, "size of the selection")
    chosen = int.from_bytes(reader.take(size, "selection"), "little")
    if size > 4 or chosen >= 1 << REGISTERS:
        raise EvidenceError(f"TPM quote: it selects registers beyond PCR {REGISTERS - 1}")
    return tuple(number for number in range(REGISTERS) if chosen >> number & 1)
