"""Plan keys of an algorithm that has a task of its own, whose answers are combined over the sites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hanse.algorithms.base import CombinedSettings, Keys
from hanse.core.values.parameters import Array, Parameters
from hanse.core.values.update import Aggregate

Shapes = Mapping[str, Any]
"""Arrays of a group as a plan declares them: `{"sums": {"float64": [3, 13]}}`, or one array."""


@dataclass(frozen=True, slots=True)
class OwnTask:
    """A task, what it is sent and what it answers.

    Attributes:
        name: The task's name: a method of the learner.
        totals: Groups that the sites disclose, which are added over the sites.
        sent: Groups that the workflow sends.
        model: Whether the task receives the model.
        exchanges: Exchanges of the task in one round.
    """

    name: str
    totals: Mapping[str, Shapes]
    sent: Mapping[str, Shapes] = field(default_factory=dict)
    model: bool = False
    exchanges: int = 1


def own_keys(
    algorithm: str, settings: CombinedSettings, tasks: Sequence[OwnTask], *, rounds: int = 1
) -> dict[str, Any]:
    """The keys of a plan whose built-in workflow asks tasks of its own.

    Args:
        algorithm: Its name, which its workflow and its options have too.
        settings: Its settings, which become options, but for who combines the answers.
        tasks: The tasks.
        rounds: Rounds of the plan.
    """
    model = any(task.model for task in tasks)
    keys: dict[str, Any] = {
        "workflow": algorithm,
        "rounds": rounds,
        "initial_model": "workflow" if model else "none",
        "options": {algorithm: settings.model_dump(mode="json", exclude={"aggregated_by"})},
        "groups": {name: shapes for task in tasks for name, shapes in {**task.sent, **task.totals}.items()},
        "tasks": {task.name: _task(task, settings.aggregated_by) for task in tasks},
    }
    return keys


def arrays(aggregate: Aggregate, group: str) -> Mapping[str, Any]:
    """The arrays of a combined group by name; what it is made of, the plan and the site have checked."""
    found = aggregate.groups[group]
    return found if isinstance(found, Mapping) else {"": found}


def split(name: str, found: Mapping[str, Array], **parts: Sequence[str]) -> dict[str, Parameters]:
    """Results under an algorithm's name and, of the arrays of each part, under `NAME_PART`.

    So that vectors of one length stand together, which an export also writes as a table of text.

    Args:
        name: The algorithm's name.
        found: All arrays.
        parts: Names of the arrays of each part; those that were not found are left out.
    """
    apart = {array for arrays in parts.values() for array in arrays}
    results: dict[str, Parameters] = {name: {key: array for key, array in found.items() if key not in apart}}
    for part, arrays in parts.items():
        chosen = {key: found[key] for key in arrays if key in found}
        if chosen:
            results[f"{name}_{part}"] = chosen
    return results


def _task(task: OwnTask, aggregated_by: str) -> Keys:
    receives = [*(["model"] if task.model else []), *task.sent]
    groups = dict.fromkeys(task.totals, "total")
    keys: dict[str, Any] = {"discloses": {"aggregated_by": aggregated_by, "groups": groups}}
    if receives != ["model"]:
        keys["receives"] = receives
    if task.exchanges > 1:
        keys["exchanges"] = task.exchanges
    return keys
