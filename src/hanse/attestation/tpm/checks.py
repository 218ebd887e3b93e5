"""Components of a TPM's evidence held against a policy, in words for an administrator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hanse.attestation.base import Aspect, Check, Tier
from hanse.attestation.comparison import IMAGE, compared, mixed_with
from hanse.attestation.policy.fields import Anything, accepts, in_words
from hanse.attestation.policy.tpm import TpmPolicy, TpmRow
from hanse.attestation.tpm.endorsement import Endorsement
from hanse.attestation.tpm.quote import Quote, Started
from hanse.attestation.tpm.registers import in_words as registers_in_words

MEANINGS = {
    0: "Firmware of the machine.",
    1: "Configuration of the firmware.",
    2: "Firmware of plugged-in cards.",
    3: "Configuration of plugged-in cards.",
    4: "Boot loader or unified kernel image that the firmware started.",
    5: "Partition table and configuration of the boot loader.",
    7: "Secure Boot: whether it is on, and its keys.",
    8: "Commands of the boot loader.",
    9: "Files that the boot loader or the kernel loaded, such as the initrd.",
    10: "Files that the kernel measured (IMA).",
    11: "Parts of the unified kernel image: kernel, command line with the root's digest, initrd.",
    12: "What overrides the image's command line, and credentials.",
    13: "Extensions of the system.",
    14: "Keys of the machine's owner (shim).",
    15: "Identity of the system and keys of its volumes.",
}
"""Registers in words (TCG PC Client Platform Firmware Profile, section 3.3; Linux TPM PCR registry)."""
_CONFIGURATION = {1, 3, 5, 7, 12, 14, 15}
_EMPTY = (
    "Nothing was measured: have firmware and boot loader measure what they start, or state the value itself."
)
_SOFTWARE_FIRMWARE = {
    "2019102300163636": "libtpms, as swtpm uses it",
}
_SOFTWARE_MAKERS = {"id:00001014": "swtpm"}
_NOT_THE_CHIP = "Use the TPM of the machine, or a policy for rehearsals, whose verdicts count nowhere else."


def machine_checks(policy: TpmPolicy, ek: str, endorsement: Endorsement) -> list[Check]:
    """The EK, by what a person has pinned, and by its maker."""
    known = ek in policy.machines or endorsement.digest in policy.machines
    count = len(policy.machines)
    pinned = Check(
        "EK",
        Aspect.INSTANCE_IDENTITY,
        Tier.AFFIRMING if known else Tier.CONTRAINDICATED,
        policy.machines[0] if count == 1 else f"one of {count} machines",
        f"{ek} (certificate {endorsement.digest})" if endorsement.digest else ek,
        mend="" if known else "Ask who has this machine in hand; pin its EK only if you trust them.",
    )
    roots = policy.manufacturers
    if isinstance(roots, Anything):
        maker = Check("EK certificate", Aspect.HARDWARE, Tier.AFFIRMING, in_words(roots), endorsement.seen)
    else:
        maker = Check(
            "EK certificate",
            Aspect.HARDWARE,
            Tier.AFFIRMING if endorsement.root else Tier.CONTRAINDICATED,
            f"a chain to {roots[0]}" if len(roots) == 1 else f"a chain to one of {len(roots)} roots",
            endorsement.seen,
            mend="" if endorsement.root else "Send the EK's certificates up to the root of the TPM's maker.",
        )
    return [pinned, maker]


def implementation_check(policy: TpmPolicy, quote: Quote, endorsement: Endorsement) -> Check:
    """TPM held against what it says of itself, which is enough to refuse software and never to trust it."""
    maker = endorsement.facts.get("TPM manufacturer", "")
    stated = [
        words
        for words in (_SOFTWARE_FIRMWARE.get(quote.firmware.hex()), _SOFTWARE_MAKERS.get(maker))
        if words
    ]
    seen = f"software: {' and '.join(stated)}" if stated else "nothing says that it is software"
    if policy.rehearsal:
        return Check(
            "TPM implementation",
            Aspect.HARDWARE,
            Tier.WARNING,
            "any, in a rehearsal",
            seen,
            "Counts only where plan and verifier's settings say `rehearsal: true`.",
            "Pin the EK of a chip, and set `rehearsal = false`, for anything else.",
        )
    return Check(
        "TPM implementation",
        Aspect.HARDWARE,
        Tier.CONTRAINDICATED if stated else Tier.AFFIRMING,
        "a chip",
        seen,
        "Software can state whatever it likes: that it is a chip, the pinned EK alone says.",
        _NOT_THE_CHIP if stated else "",
    )


def memory_check() -> Check:
    """Confidentiality of memory, which no TPM affirms."""
    return Check(
        "confidentiality of memory",
        Aspect.RUNTIME_OPAQUE,
        Tier.WARNING,
        "not affirmed by a TPM",
        "not affirmed",
        "A TPM states what was started. Who has the machine in hand can read its memory.",
        "Where a model is sealed, require TDX, SNP or SGX.",
    )


def quote_checks(policy: TpmPolicy, quote: Quote, expected: Started | None) -> list[Check]:
    """Firmware, clock, start and selection."""
    checks = [
        compared(
            "PCR selection",
            Aspect.CONFIGURATION,
            registers_in_words(policy.selection),
            registers_in_words(quote.selection),
            "Quote exactly the registers of the policy.",
        ),
        _firmware(policy.firmware, quote.firmware.hex()),
        compared(
            "clock safe",
            Aspect.CONFIGURATION,
            policy.clock_safe,
            quote.safe,
            "The power was cut: wait until the TPM has stored its clock (an hour at most), or accept any.",
        ),
    ]
    if expected is not None:
        note = "" if expected == quote.started else "The machine was started again, or its TPM was replaced."
        mend = "A new start is a new instance: appraise it as one, with new keys."
        checks.append(
            compared("start", Aspect.INSTANCE_IDENTITY, str(expected), str(quote.started), mend, note)
        )
    return checks


def register_checks(
    rows: Sequence[TpmRow], row: TpmRow, values: Mapping[int, bytes], notes: Mapping[int, str]
) -> list[Check]:
    """Registers of an image, held against one row.

    Args:
        rows: All rows, to name another image that a value is of.
        row: The row.
        values: Values of the evidence, by register.
        notes: What the event log says of registers that differ.
    """
    checks = []
    for key, expected in row.pcrs.items():
        if expected == "ima":
            continue  # its log speaks for it
        number = int(key)
        found = values.get(number)
        seen = "not quoted" if found is None else found.hex()
        note = f"{MEANINGS.get(number, 'Register.')} Held against the row {row.name!r}."
        aspect = Aspect.CONFIGURATION if number in _CONFIGURATION else Aspect.EXECUTABLES
        fits, mend = found is not None and accepts(expected, seen), IMAGE
        if (
            found is not None
            and isinstance(expected, Anything)
            and len(set(found)) == 1
            and found[0] in (0, 255)
        ):
            fits, mend = False, _EMPTY
        if not fits:
            note += _other_row(rows, row, key, seen)
            note += f" {notes[number]}" if notes.get(number) else ""
        tier = Tier.AFFIRMING if fits else Tier.CONTRAINDICATED
        checks.append(
            Check(f"PCR {number}", aspect, tier, in_words(expected), seen, note, "" if fits else mend)
        )
    return checks


def differing(row: TpmRow, values: Mapping[int, bytes]) -> int:
    """Registers of a row that differ from the evidence; that of IMA is not among them."""
    return sum(
        not accepts(expected, values[int(key)].hex() if int(key) in values else None)
        for key, expected in row.pcrs.items()
        if expected != "ima"
    )


def _other_row(rows: Sequence[TpmRow], row: TpmRow, key: str, seen: str) -> str:
    for other in rows:
        if other is not row and other.pcrs.get(key) == seen:
            return f" {mixed_with(other.name)}"
    return ""


def _firmware(accepted: tuple[str, ...] | Anything, seen: str) -> Check:
    known = isinstance(accepted, Anything) or seen in accepted
    expected = in_words(accepted) if isinstance(accepted, Anything) else " or ".join(accepted[:4])
    return Check(
        "TPM firmware",
        Aspect.HARDWARE,
        Tier.AFFIRMING if known else Tier.CONTRAINDICATED,
        expected,
        seen,
        mend=""
        if known
        else "Compare it with the notes of the TPM's maker. An AK outside the endorsement hierarchy "
        "disguises it: make the AK there.",
    )
