"""The workflows that a plan can name without code of its own, and the tasks that each of them asks.

Their functions are in `hanse.algorithms`; a plan is judged by what stands here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from hanse.core.plan.tasks import TaskPlan

Disclosed = Literal["none", "aggregate", "individual"]

_ANY: tuple[Disclosed, ...] = ("aggregate", "individual")
_EACH: tuple[Disclosed, ...] = ("individual",)
_NONE: tuple[Disclosed, ...] = ("none", "aggregate", "individual")


@dataclass(frozen=True, slots=True)
class TaskNeeds:
    """A task that a workflow asks.

    Attributes:
        update: The values of `discloses: update` with which the workflow can work.
        groups: The groups that the task has to disclose.
    """

    update: tuple[Disclosed, ...] = _NONE
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """A workflow that a plan can name.

    Attributes:
        says: One sentence for the people who judge a plan.
        tasks: The tasks that it asks, by name; a task `evaluate` is asked too where the plan has one.
        streams: Whether it takes updates one by one as they come.
        chooses: Whether it asks single sites of a round's cohort.
        given_model: Whether the plan has to have an `initial_model`.
    """

    says: str
    tasks: Mapping[str, TaskNeeds] = field(default_factory=dict)
    streams: bool = False
    chooses: bool = False
    given_model: bool = False


def missing(workflow: str, tasks: Mapping[str, TaskPlan], *, has_model: bool) -> Iterator[str]:
    """List what a plan lacks of the needs of its built-in workflow, a sentence each.

    Args:
        workflow: A name of `BUILT_IN`.
        tasks: The plan's tasks.
        has_model: Whether the plan has an `initial_model`.
    """
    needs = BUILT_IN[workflow]
    for name, task in needs.tasks.items():
        if name not in tasks:
            yield f"workflow {workflow} needs a task named `{name}` under `tasks`"
        elif tasks[name].discloses.update not in task.update:
            kinds = " or ".join(f"`{kind}`" for kind in task.update)
            yield f"workflow {workflow} needs `{name}` to disclose an update: {kinds}"
    if needs.given_model and not has_model:
        yield f"workflow {workflow} needs `initial_model`: the model to evaluate"


BUILT_IN: dict[str, BuiltIn] = {
    "fedavg": BuiltIn(
        "each round it averages what the sites send into one model.", {"train": TaskNeeds(_ANY)}
    ),
    "evaluate": BuiltIn(
        "it measures the plan's model and changes nothing.", {"evaluate": TaskNeeds()}, given_model=True
    ),
    "cyclic": BuiltIn(
        "the model goes from site to site, and each trains what the one before it gave.",
        {"train": TaskNeeds(_EACH)},
        chooses=True,
    ),
    "fedbuff": BuiltIn(
        "it adds the sites' updates to the model, some at a time, as they come.",
        {"train": TaskNeeds(_EACH)},
        streams=True,
    ),
}
"""Workflows by the names that a plan gives them."""
