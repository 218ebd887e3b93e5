"""Rules for the compression of what is summed masked: a step has to be the same at all members."""

from __future__ import annotations

from collections.abc import Iterator

from hanse.core.plan.privacy.parts import PlanParts
from hanse.core.plan.privacy.secure_aggregation import SecureAggregation
from hanse.core.plan.transforms import Bf16, RandomK, Rotate, Transform
from hanse.core.values.schema import Problem

_OWN_SCALE = "has scales that differ from site to site, so that what it makes cannot be added masked"
_OWN_NUMBERS = "chooses other numbers at each site, which shows what is large there"
_WHY = {
    "fp16": _OWN_SCALE,
    "int8": _OWN_SCALE,
    "int4": _OWN_SCALE,
    "drive": _OWN_SCALE,
    "eden": _OWN_SCALE,
    "top_k": _OWN_NUMBERS,
    "stc": _OWN_NUMBERS,
    "zstd": "makes a size of the values, and masked words cannot be compressed",
}


def upload_problems(plan: PlanParts, section: SecureAggregation) -> Iterator[Problem]:
    """List steps of `compression` that are not possible under masks, each with its place and the mend."""
    for index, step in enumerate(plan.compression.upload):
        if problem := _problem(step, section):
            yield Problem(("compression", "upload", index), problem)
    if plan.compression.groups:
        yield Problem(
            ("compression", "groups"),
            "groups keep their ranges under secure aggregation, and compression would not: leave `groups` "
            "out of `compression`",
        )


def _problem(step: Transform, section: SecureAggregation) -> str:
    match step:
        case Bf16():
            return ""
        case RandomK(error_feedback=True):
            return (
                "`random_k` with error feedback keeps numbers of one sum for the next: write `{name: "
                f"random_k, fraction: {step.fraction:g}, error_feedback: false}}`"
            )
        case RandomK():
            return ""
        case Rotate():
            if section.model is not None and section.model.norm != "l2":
                return (
                    "`rotate` keeps the length of an update, and not its largest number: write `model: "
                    f"{{clip: {section.model.clip:g}, norm: l2}}`, or leave `rotate` out"
                )
            return ""
        case _:
            return (
                f"`{step.name}` {_WHY[step.name]}: leave it out; `random_k` with `error_feedback: false`, "
                "`rotate` and `bf16` are possible"
            )
