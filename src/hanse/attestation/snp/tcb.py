"""Product lines of AMD's processors, and TCB versions, whose layout depends on them.

56860, table TCB_VERSION: Milan and Genoa have boot loader, TEE, four reserved bytes, SNP and microcode;
Turin has FMC, boot loader, TEE, SNP, three reserved bytes and microcode.
"""

from __future__ import annotations

from hanse.attestation.snp.report import SnpReport
from hanse.errors import EvidenceError

_LAYOUTS = {
    "Milan": {"bootloader": 0, "tee": 1, "snp": 6, "microcode": 7},
    "Genoa": {"bootloader": 0, "tee": 1, "snp": 6, "microcode": 7},
    "Turin": {"fmc": 0, "bootloader": 1, "tee": 2, "snp": 3, "microcode": 7},
}
"""Offset of each level in the 8 bytes of a TCB version, by product line."""
LINES = tuple(_LAYOUTS)
_MODELS = {
    0x19: ((range(0x10), "Milan"), (range(0x10, 0x20), "Genoa"), (range(0xA0, 0xB0), "Genoa")),
    0x1A: ((range(0x12), "Turin"),),
}
"""Product lines by the processor's family and model."""


def read_tcb(raw: bytes, line: str, what: str) -> dict[str, int]:
    """Security patch levels of a TCB version, by component.

    Raises:
        EvidenceError: A reserved byte is not zero.
    """
    layout = _LAYOUTS[line]
    if any(byte for at, byte in enumerate(raw) if at not in layout.values()):
        raise EvidenceError(
            f"SNP report: its {what} {raw.hex()} has reserved bytes that are not zero, for {line}"
        )
    return {name: raw[at] for name, at in layout.items()}


def components(line: str) -> tuple[str, ...]:
    """Names of the components whose levels a TCB version of a product line has."""
    return tuple(_LAYOUTS[line])


def line_of(report: SnpReport) -> str | None:
    """The product line that a report states; None before version 3.

    Raises:
        EvidenceError: It is of a processor that is not known.
    """
    if report.processor is None:
        return None
    for models, line in _MODELS.get(report.processor.family, ()):
        if report.processor.model in models:
            return line
    raise EvidenceError(
        f"SNP report: a processor of {report.processor} is not known",
        mend=f"Known are {', '.join(LINES)}: a newer version of Hanse may know it.",
    )


def in_levels(levels: dict[str, int]) -> str:
    """Levels in words."""
    return ", ".join(f"{name} {level}" for name, level in levels.items())
