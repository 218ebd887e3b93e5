"""Values of registers that come along with a quote, which states only their digest.

The part of evidence is one record of 33 bytes for each register that the quote selects, ascending: the number
of the register, one byte, and its value in the SHA-256 bank, 32 bytes.
"""

from __future__ import annotations

from collections.abc import Mapping

from hanse.attestation.reading import Reader
from hanse.attestation.tpm.algorithms import digest
from hanse.attestation.tpm.quote import REGISTERS, Quote
from hanse.errors import EvidenceError

SIZE = 32
"""Bytes of a value: SHA-256."""


def write_registers(values: Mapping[int, bytes]) -> bytes:
    """Write the values of registers as a part of evidence."""
    return b"".join(bytes([number]) + values[number] for number in sorted(values))


def read_registers(data: bytes) -> dict[int, bytes]:
    """Read values of registers, ascending.

    Raises:
        EvidenceError: They are malformed, out of order, or of registers that there are not.
    """
    reader = Reader(data, "values of the PCRs")
    values: dict[int, bytes] = {}
    last = -1
    while reader.left:
        number = reader.big(1, "number of a register")
        if not last < number < REGISTERS:
            raise EvidenceError(
                f"values of the PCRs: PCR {number} after PCR {last} at offset {reader.at - 1}; each of 0 to "
                f"{REGISTERS - 1} stands once, ascending"
            )
        values[number] = reader.take(SIZE, f"value of PCR {number}")
        last = number
    return values


def check_registers(values: Mapping[int, bytes], quote: Quote, algorithm: int) -> None:
    """Hold that values are those that a quote states.

    Args:
        values: Values by register.
        quote: The quote.
        algorithm: Hash of its signature, which the digest of the registers is made by too (part 3,
            TPM2_Quote).

    Raises:
        EvidenceError: They are of other registers, or lead to another digest.
    """
    if tuple(values) != quote.selection:
        raise EvidenceError(
            f"values of the PCRs: of {in_words(tuple(values))}, and the quote selects "
            f"{in_words(quote.selection)}"
        )
    found = digest(algorithm, b"".join(values.values()), "hash of the registers' digest")
    if found != quote.digest:
        raise EvidenceError(
            f"values of the PCRs: their digest is {found.hex()}, and the quote states {quote.digest.hex()}",
            mend="Read the registers right after the quote, and again if one was extended between.",
        )


def in_words(selection: tuple[int, ...]) -> str:
    """A selection of registers for people."""
    return f"PCR {', '.join(map(str, selection))}" if selection else "none"
