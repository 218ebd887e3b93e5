"""Components of a GPU held against a policy, in words for an administrator."""

from __future__ import annotations

from hanse.attestation.base import Aspect, Check, Tier
from hanse.attestation.comparison import compared
from hanse.attestation.gpu.chain import GpuChain
from hanse.attestation.gpu.report import GpuReport
from hanse.attestation.policy.fields import Anything, accepts, in_words
from hanse.attestation.policy.gpu import GpuPolicy, GpuRow

INSPECTED = "Inspected, not affirmed."
_SHOWN = 4
"""Measurements that differ and are shown in full."""
_FIRMWARE = (
    "Find out which driver and firmware the GPU runs; add a row for them if NVIDIA's manifests have them."
)


def checks_of(policy: GpuPolicy, report: GpuReport, chain: GpuChain, mode: str) -> tuple[Check, ...]:
    """All components, in the order of the policy.

    Args:
        policy: The policy.
        report: The report, verified.
        chain: The chain of its key, verified.
        mode: Mode of confidential computing, as the driver states it; empty where it was not recorded.
    """
    return (
        _machine(policy, chain),
        _chip(policy, chain),
        _revocation(policy, chain),
        _mode(policy, mode),
        compared(
            "FEATURE_FLAG",
            Aspect.CONFIGURATION,
            policy.feature,
            report.feature or "not stated",
            "Have the GPU set to the mode that is expected, or its firmware updated.",
        ),
        *_firmware(policy, report),
    )


def _machine(policy: GpuPolicy, chain: GpuChain) -> Check:
    if policy.machines == "any":
        expected = "any: every chip that NVIDIA certified, in anyone's hands"
        return Check("identity", Aspect.INSTANCE_IDENTITY, Tier.AFFIRMING, expected, chain.machine)
    known = chain.machine in policy.machines
    return Check(
        "identity",
        Aspect.INSTANCE_IDENTITY,
        Tier.AFFIRMING if known else Tier.CONTRAINDICATED,
        policy.machines[0] if len(policy.machines) == 1 else f"one of {len(policy.machines)} GPUs",
        chain.machine,
        mend="" if known else "Ask who has this GPU in hand; add it only if you trust them.",
    )


def _chip(policy: GpuPolicy, chain: GpuChain) -> Check:
    known = chain.chip in policy.chips
    return Check(
        "chip",
        Aspect.HARDWARE,
        Tier.AFFIRMING if known else Tier.CONTRAINDICATED,
        " or ".join(policy.chips),
        chain.chip,
        f"Its key is that of {chain.name!r}.",
        "" if known else "Use a GPU of a product that the policy names, or add the product.",
    )


def _revocation(policy: GpuPolicy, chain: GpuChain) -> Check:
    enough = not chain.unlisted or isinstance(policy.revocation, Anything)
    return Check(
        "revocation",
        Aspect.INSTANCE_IDENTITY,
        Tier.AFFIRMING if enough else Tier.CONTRAINDICATED,
        "current lists" if policy.revocation == "required" else in_words(policy.revocation),
        f"no list {', '.join(chain.unlisted)}" if chain.unlisted else "not revoked",
        "The certificates of the chip itself name no list: NVIDIA answers by OCSP, which is not asked.",
        "" if enough else "Fetch NVIDIA's revocation lists, and give them as collateral.",
    )


def _mode(policy: GpuPolicy, mode: str) -> Check:
    fits = isinstance(policy.mode, Anything) or mode == policy.mode
    note = f"{INSPECTED} The report does not state the mode"
    note += "; the driver of the guest that took the report does." if mode else "."
    return Check(
        "mode of confidential computing",
        Aspect.RUNTIME_OPAQUE,
        Tier.WARNING if fits else Tier.CONTRAINDICATED,
        in_words(policy.mode),
        mode or "not recorded",
        note,
        "Believe it only where evidence of the guest covers it."
        if fits
        else "Have the host set the GPU's mode to on, and record the mode with the report.",
    )


def _firmware(policy: GpuPolicy, report: GpuReport) -> list[Check]:
    """Driver, VBIOS and measurements, all held against one row: the one that fits, or else the nearest."""
    row = min(policy.rows, key=lambda row: _distance(row, report))
    note = f"Held against the row {row.name!r}."
    return [
        compared(
            "DRIVER_VERSION", Aspect.EXECUTABLES, row.driver, report.driver or "not stated", _FIRMWARE, note
        ),
        compared(
            "VBIOS_VERSION", Aspect.EXECUTABLES, row.vbios, report.vbios or "not stated", _FIRMWARE, note
        ),
        _measurements(row, report, note),
    ]


def _distance(row: GpuRow, report: GpuReport) -> int:
    versions = (not accepts(row.driver, report.driver)) + (not accepts(row.vbios, report.vbios))
    return 1000 * versions + len(_differing(row, report))


def _differing(row: GpuRow, report: GpuReport) -> list[str]:
    """Indices of measurements that are not as a row says, or that only one side has."""
    if isinstance(row.measurements, Anything):
        return []
    seen = {str(index): value.hex() for index, value in report.measurements.items()}
    differing = []
    for index in sorted({*seen, *row.measurements}, key=int):
        accepted = row.measurements.get(index, ())
        if not isinstance(accepted, Anything) and seen.get(index) not in accepted:
            differing.append(index)
    return differing


def _measurements(row: GpuRow, report: GpuReport, note: str) -> Check:
    name, count = "firmware measurements", len(report.measurements)
    if isinstance(row.measurements, Anything):
        mend = "Take reference values from NVIDIA's manifests of this driver and VBIOS."
        expected = in_words(row.measurements)
        return Check(
            name, Aspect.EXECUTABLES, Tier.WARNING, expected, f"{count} values", f"{INSPECTED} {note}", mend
        )
    expected = f"reference values of {len(row.measurements)}"
    differing = _differing(row, report)
    if differing:
        for index in differing[:_SHOWN]:
            seen = report.measurements.get(int(index), b"").hex() or "none"
            note += f" {index}: {seen}."
        indices = ", ".join(differing)
        return Check(
            name,
            Aspect.EXECUTABLES,
            Tier.CONTRAINDICATED,
            expected,
            f"differing: {indices}",
            note,
            _FIRMWARE,
        )
    unknown = sorted((index for index, v in row.measurements.items() if isinstance(v, Anything)), key=int)
    if unknown:
        note = f"{INSPECTED[:-1]}: {', '.join(unknown)}. {note}"
        mend = "Take reference values from NVIDIA's manifests for all of them."
        return Check(
            name, Aspect.EXECUTABLES, Tier.WARNING, expected, f"{count - len(unknown)} fit", note, mend
        )
    return Check(name, Aspect.EXECUTABLES, Tier.AFFIRMING, expected, f"all {count} fit", note)
