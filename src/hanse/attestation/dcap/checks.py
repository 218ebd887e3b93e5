"""Components of a machine of Intel's held against a policy, in words for an administrator."""

from __future__ import annotations

from datetime import datetime

from hanse.attestation.base import Aspect, Check, Tier
from hanse.attestation.dcap.tcb_status import MEANINGS, Status
from hanse.attestation.dcap.verification import Genuine
from hanse.attestation.policy.fields import Anything, in_words
from hanse.attestation.policy.intel import IntelPlatform


def platform_checks(policy: IntelPlatform, genuine: Genuine) -> list[Check]:
    """Machine, TCB status, advisories and evaluation number."""
    return [
        _machine(policy, genuine.pck.ppid.hex()),
        _status(policy, genuine),
        _advisories(policy, genuine),
        _evaluation(policy, genuine.evaluation),
    ]


def platform_values(genuine: Genuine) -> dict[str, str]:
    """Values that the evidence states about the machine, by component."""
    pck, standing = genuine.pck, genuine.standing
    found = {
        "quote version": str(genuine.quote.version),
        "PPID": pck.ppid.hex(),
        "FMSPC": pck.fmspc.hex(),
        "SGX type": pck.sgx_type,
        "SGX TCB components": " ".join(map(str, pck.components)),
        "PCESVN": str(pck.pce_svn),
        "TCB status": standing.status.value,
        "tcbEvaluationDataNumber": str(genuine.evaluation),
    }
    if pck.instance:
        found["platform instance id"] = pck.instance.hex()
    found |= {name: "yes" if value else "no" for name, value in pck.configuration.items()}
    for level in standing.levels:
        found[f"status of the {level.part}"] = level.status.value + (f" ({level.date})" if level.date else "")
    return found


def until(expires: datetime) -> str:
    """An end in words."""
    return f"{expires:%Y-%m-%d %H:%M}Z"


def _machine(policy: IntelPlatform, ppid: str) -> Check:
    if policy.machines == "any":
        expected = "any: every machine that Intel certified, in anyone's hands"
        return Check("PPID", Aspect.INSTANCE_IDENTITY, Tier.AFFIRMING, expected, ppid)
    known = ppid in policy.machines
    count = len(policy.machines)
    expected = policy.machines[0] if count == 1 else f"one of {count} machines"
    return Check(
        "PPID",
        Aspect.INSTANCE_IDENTITY,
        Tier.AFFIRMING if known else Tier.CONTRAINDICATED,
        expected,
        ppid,
        mend="" if known else "Ask who has this machine in hand; add its PPID only if you trust them.",
    )


def _status(policy: IntelPlatform, genuine: Genuine) -> Check:
    standing = genuine.standing
    status, meaning = standing.status, MEANINGS[standing.status]
    note = [meaning.note]
    parts = [
        f"{level.part} {level.status}{f' of {level.date}' if level.date else ''}" for level in standing.levels
    ]
    note.append(f"Parts: {', '.join(parts)}.")
    behind = list(dict.fromkeys(each for level in standing.levels for each in level.behind))
    if behind and status is not Status.UP_TO_DATE:
        note.append(f"Behind the newest level: {'; '.join(behind)}.")
    if standing.advisories:
        note.append(f"Advisories: {', '.join(standing.advisories)}.")
    tier = Tier.CONTRAINDICATED
    if status.value in policy.statuses:
        tier = Tier.AFFIRMING if status is Status.UP_TO_DATE else Tier.WARNING
    return Check(
        "TCB status",
        Aspect.HARDWARE,
        tier,
        " or ".join(policy.statuses),
        status.value,
        " ".join(note),
        "" if tier is Tier.AFFIRMING else meaning.mend,
    )


def _advisories(policy: IntelPlatform, genuine: Genuine) -> Check:
    found = genuine.standing.advisories
    accepted = policy.advisories
    if isinstance(accepted, Anything):
        others: list[str] = []
    else:
        others = [advisory for advisory in found if advisory not in accepted]
    tier = Tier.CONTRAINDICATED if others else Tier.WARNING if found else Tier.AFFIRMING
    note = f"Not accepted: {', '.join(others)}. " if others else ""
    if found:
        note += "Intel's security center describes each; INTEL-DOC-10000 and 10001: updates have ended."
    expected = in_words(accepted) if isinstance(accepted, Anything) else ", ".join(accepted) or "none"
    mend = "Read what each advisory says of this processor; apply its updates and settings to the host"
    mend += ", or add the advisory to the policy, if what is left is acceptable." if others else "."
    return Check(
        "advisories", Aspect.HARDWARE, tier, expected, ", ".join(found) or "none", note, mend if found else ""
    )


def _evaluation(policy: IntelPlatform, seen: int) -> Check:
    enough = seen >= policy.least_evaluation
    return Check(
        "tcbEvaluationDataNumber",
        Aspect.HARDWARE,
        Tier.AFFIRMING if enough else Tier.CONTRAINDICATED,
        f"{policy.least_evaluation} or more",
        str(seen),
        mend="" if enough else "Fetch newer collateral; without it, flaws found since then are not counted.",
    )
