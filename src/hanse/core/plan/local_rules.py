"""Local rules: what a plan has act at its sites between a gradient and the optimiser's step.

This file has their names, their settings, and what each needs of the groups that travel; what they compute is
in `hanse.local`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, JsonValue

from hanse.core.plan.groups import MODEL, GroupSpec, read_group
from hanse.core.plan.section import PlanSection


class Proximal(PlanSection):
    """FedProx (Li et al. 2020, arXiv 1812.06127): a pull towards the received model."""

    name: Literal["proximal"] = "proximal"
    mu: float = Field(ge=0, description="Strength of the pull; 0 is FedAvg.")


class ControlVariates(PlanSection):
    """SCAFFOLD (Karimireddy et al. 2020, arXiv 1910.06378): gradients corrected by control variates."""

    name: Literal["control_variates"] = "control_variates"


class Dynamic(PlanSection):
    """FedDyn (Acar et al. 2021, arXiv 2111.04263): dynamic regularisation."""

    name: Literal["dynamic"] = "dynamic"
    alpha: float = Field(gt=0, description="Strength of the regularisation.")


class Normalise(PlanSection):
    """FedNova (Wang et al. 2020, arXiv 2007.07481): updates divided by the number of local steps."""

    name: Literal["normalise"] = "normalise"
    momentum: float = Field(
        0.0, ge=0, lt=1, description="Momentum of the local optimiser, which begins at zero in every task."
    )


class Clip(PlanSection):
    """Norm bounding (McMahan et al. 2018, arXiv 1710.06963): updates of at most this length."""

    name: Literal["clip"] = "clip"
    norm: float = Field(gt=0, description="Largest L2 norm of the update.")


LocalEntry = Proximal | ControlVariates | Dynamic | Normalise | Clip
"""One entry of `local`."""
LOCAL_RULES: tuple[type[PlanSection], ...] = get_args(LocalEntry)
"""All of them, for the reference."""


def _named(value: Any) -> Any:
    """`control_variates` is short for `{name: control_variates}`."""
    return {"name": value} if isinstance(value, str) else value


_IN_REFERENCE: dict[str, JsonValue] = {"format": "local rule, below"}
LocalRule = Annotated[
    Annotated[LocalEntry, Field(discriminator="name", json_schema_extra=_IN_REFERENCE)],
    BeforeValidator(_named),
]
"""One entry of `local`, as a field of a section."""


@dataclass(frozen=True, slots=True)
class GroupNeed:
    """A group that a rule gives, and perhaps gets; a plan with the rule has to have all of it.

    Attributes:
        group: Its name.
        declaration: What stands under its name in `groups` of the plan.
        combined: How the task's `discloses.groups` has it combined.
        received: Whether the task has to receive it too.
    """

    group: str
    declaration: Mapping[str, JsonValue]
    combined: str
    received: bool


def needs_of(entry: LocalEntry) -> tuple[GroupNeed, ...]:
    """The groups that a rule needs of a plan."""
    match entry:
        case ControlVariates():
            return (GroupNeed("control", {"like": "model"}, "mean", received=True),)
        case Normalise():
            return (GroupNeed("steps", {"float64": []}, "weighted_mean", received=False),)
        case Proximal() | Dynamic() | Clip():
            return ()


def unmet_need(
    entries: Sequence[LocalEntry],
    groups: Mapping[str, GroupSpec],
    received: Sequence[str],
    combined: Mapping[str, object],
) -> str:
    """Say in words what the rules of a task need and its plan lacks, and the mend; empty where nothing is.

    Args:
        entries: The rules.
        groups: Groups that the plan declares.
        received: Names of those that the task receives, and `model`.
        combined: How it has those that it discloses combined.
    """
    if entries and MODEL not in received:
        return f"the local rule `{entries[0].name}` acts on the model, which the task does not receive"
    for entry in entries:
        for need in needs_of(entry):
            declared, wanted = groups.get(need.group), read_group(need.declaration)
            # It may be held in more digits, and to a range.
            like = declared and replace(declared, bounds=None, dtype=wanted.dtype)
            sent = need.group in received or not need.received
            if like != wanted or not sent or combined.get(need.group) != need.combined:
                receives = f", `receives: [model, {need.group}]`" if need.received else ""
                return (
                    f"the local rule `{entry.name}` needs a group `{need.group}`: write `groups: "
                    f"{{{need.group}: {_flow(need.declaration)}}}`{receives} and `discloses: {{groups: "
                    f"{{{need.group}: {need.combined}}}}}`"
                )
    return ""


def _flow(declaration: Mapping[str, JsonValue]) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in declaration.items()) + "}"


def order_problem(entries: Sequence[LocalEntry]) -> str:
    """Say in words what is wrong with a list of rules, and the mend; empty where nothing is."""
    names = [entry.name for entry in entries]
    for name in names:
        if names.count(name) > 1:
            return f"`{name}` is listed twice: keep one of them"
    if "control_variates" in names[1:]:
        return (
            "`control_variates` takes the mean of the gradients as the loss gave them: it must stand before "
            f"`{names[0]}`"
        )
    pulls = sorted({"proximal", "dynamic"} & set(names))
    if "normalise" in names and pulls:
        return (
            f"`normalise` counts steps of SGD, and with `{pulls[0]}` older gradients count for less: leave "
            "one of them out"
        )
    return ""


def describe(entry: LocalEntry) -> str:
    """A rule as a plan writes it, without what is at its default."""
    settings: dict[str, JsonValue] = entry.model_dump(exclude={"name"}, exclude_defaults=True)
    told = ", ".join(f"{key} {value}" for key, value in settings.items())
    return f"{entry.name} ({told})" if told else entry.name
