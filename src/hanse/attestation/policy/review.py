"""A policy in words, for the person who decides whether it is right."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from hanse.attestation.base import Kind
from hanse.attestation.policy.fields import Anything
from hanse.attestation.policy.file import AppraisalPolicy, Section, is_rehearsal
from hanse.attestation.policy.intel import IntelPlatform
from hanse.attestation.policy.snp import SnpMilan, SnpPolicy
from hanse.core.values.wording import counted, named

_WHAT = {
    Kind.SGX: "Intel SGX: one process, an enclave",
    Kind.TDX: "Intel TDX: a virtual machine, a trust domain",
    Kind.SNP: "AMD SEV-SNP: a virtual machine, a guest",
    Kind.TPM: "TPM 2.0: what a machine has started; its memory stays readable to who has it in hand",
    Kind.GPU: "NVIDIA GPU: counts only beside evidence of the machine that took the report",
}
_MAKERS = {Kind.SGX: "Intel", Kind.TDX: "Intel", Kind.SNP: "AMD", Kind.GPU: "NVIDIA", Kind.TPM: "its maker"}


def review(policy: AppraisalPolicy) -> tuple[str, ...]:
    """Lines about what a policy accepts, and about each thing that it leaves open."""
    lines = []
    if policy.rehearsal:
        lines.append(
            "REHEARSAL: software that plays a device is accepted. A verdict proves nothing about a machine, "
            "and counts only where the plan and the verifier's settings say that it is a rehearsal."
        )
    for kind, section in policy.sections.items():
        lines.append(f"[{kind}] {_WHAT[kind]}")
        lines += [f"  {line}" for line in (*_accepted(kind, section), *_left_open(section))]
    others = [kind.value for kind in Kind if kind not in policy.sections]
    lines.append(f"refused: evidence of every other kind ({', '.join(others)})")
    return tuple(lines)


def _accepted(kind: Kind, section: Section) -> Iterator[str]:
    rows = [row.name for row in section.rows]
    yield f"{counted(len(rows), 'image')} accepted: {named(rows)}"
    if section.machines == "any":
        yield (
            f"machines = any: every machine that {_MAKERS[kind]} certified counts, wherever it stands and in "
            "anyone's hands; a person who has one in hand can break its protection with cheap parts, and "
            "make evidence for other machines with its keys"
        )
    else:
        yield f"{counted(len(section.machines), 'machine')} accepted, by identity"
    if isinstance(section, IntelPlatform):
        yield f"TCB statuses accepted: {', '.join(section.statuses)}"
        worse = [status for status in section.statuses if status != "UpToDate"]
        if worse:
            yield f"warning: {named(worse)} leave known flaws open; a verdict passes with a warning"
        if not isinstance(section.advisories, Anything) and section.advisories:
            yield f"warning: advisories accepted: {named(section.advisories, 20)}"
    if isinstance(section, SnpPolicy):
        for product in section.products:
            yield f"processors accepted: {product.product}, from the stated levels on"
            if isinstance(product, SnpMilan):
                yield f"warning: {product.in_spite_of}, in spite of which it is accepted: {product.reason}"
    if is_rehearsal(section):
        yield "rehearsal = true: software that plays this device counts"


def _left_open(section: Section) -> Iterator[str]:
    for place, reason in anythings(section):
        yield f"any {place}: {reason}"


def anythings(value: object, place: str = "") -> Iterator[tuple[str, str]]:
    """Each field that accepts every value: where it stands, and the reason."""
    if isinstance(value, Anything):
        yield place, value.any
    elif isinstance(value, BaseModel):
        name = getattr(value, "name", None)
        above = f"{place} {name!r}" if isinstance(name, str) else place
        for key in type(value).model_fields:
            yield from anythings(getattr(value, key), f"{above}.{key}".removeprefix("."))
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from anythings(inner, f"{place}.{key}")
    elif isinstance(value, tuple):
        for inner in value:
            yield from anythings(inner, place)
