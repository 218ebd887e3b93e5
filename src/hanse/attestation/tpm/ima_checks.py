"""Files that a kernel has measured held against those of an image."""

from __future__ import annotations

from collections.abc import Sequence

from hanse.attestation.base import Aspect, Check, Tier
from hanse.attestation.policy.fields import Anything, in_words
from hanse.attestation.policy.tpm import ImaReference
from hanse.attestation.tpm.ima import BOOT_AGGREGATE, Measured

_SHOWN = 16
"""Files that are shown one by one; of the others, their number."""
_UNKNOWN = "Find out what this file is; add it to the row only if it belongs to the image."
_CHANGED = (
    "Compare the file with the image's: it was replaced, or the image is a new one that has a row to come."
)
_WRITTEN = "Find out which program writes to the file while others run or read it."


def ima_checks(reference: ImaReference, entries: Sequence[Measured], row: str) -> list[Check]:
    """The boot aggregate, the files that differ, and how many do not.

    Args:
        reference: What the row accepts.
        entries: The entries of the log that lead to the quoted register, at least one.
        row: Name of the row.
    """
    note = f"Held against the row {row!r}."
    accepted = {file.path: file.sha256 for file in reference.files}
    found = [
        check
        for entry in dict.fromkeys(entries[1:])
        if (check := _file(accepted, reference.others, entry, note)) is not None
    ]
    shown = found[:_SHOWN]
    many = f"{len(found)} of {len(entries)} entries differ" if found else f"{len(entries)} entries"
    whole = Check(
        "IMA files",
        Aspect.FILE_SYSTEM,
        Tier.CONTRAINDICATED if found else Tier.AFFIRMING,
        f"{len(accepted)} files; others {in_words(reference.others)}",
        many,
        note + (f" The first {_SHOWN} are shown." if len(found) > _SHOWN else ""),
        "See the files." if found else "",
    )
    return [_boot_aggregate(reference, entries[0], note), whole, *shown]


def _boot_aggregate(reference: ImaReference, entry: Measured, note: str) -> Check:
    expected, seen = reference.boot_aggregate, _stated(entry)
    first = entry.path == BOOT_AGGREGATE and not entry.violation
    fits = first and (isinstance(expected, Anything) or seen == f"sha256:{expected}")
    return Check(
        "IMA boot_aggregate",
        Aspect.EXECUTABLES,
        Tier.AFFIRMING if fits else Tier.CONTRAINDICATED,
        in_words(expected) if isinstance(expected, Anything) else f"sha256:{expected}",
        seen if first else f"{entry.path[:200]} {seen}",
        f"Digest of PCR 0 to 9: what was started before the kernel. {note}",
        "" if fits else "Firmware, boot loader or kernel differ: quote PCR 0 to 9 too to find out which.",
    )


def _file(accepted: dict[str, tuple[str, ...]], others: object, entry: Measured, note: str) -> Check | None:
    """A file that differs; None for one that does not."""
    digests = accepted.get(entry.path)
    if entry.violation:
        expected, mend = "not written to while it was measured", _WRITTEN
    elif digests is None:
        if isinstance(others, Anything):
            return None
        expected, mend = "not among the files of the row", _UNKNOWN
    elif entry.algorithm == "sha256" and entry.digest.hex() in digests:
        return None
    else:
        expected, mend = " or ".join(f"sha256:{each}" for each in digests[:4]), _CHANGED
    return Check(
        f"IMA {entry.path[:200]}",
        Aspect.FILE_SYSTEM,
        Tier.CONTRAINDICATED,
        expected,
        "a violation" if entry.violation else _stated(entry),
        note,
        mend,
    )


def _stated(entry: Measured) -> str:
    return f"{entry.algorithm[:20]}:{entry.digest.hex()[:128]}"
