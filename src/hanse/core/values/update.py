"""What a task is asked to do and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from hanse.core.values.groups import Group, Groups
from hanse.core.values.parameters import Parameters

Metrics = Mapping[str, float]

ReportedMetrics = Mapping[str, float | None]
"""Metrics as a site reports them; None for one that is not defined for its examples."""


def given(metrics: ReportedMetrics) -> dict[str, float]:
    """The metrics that a site gave, without those that it reports as not defined."""
    return {name: value for name, value in metrics.items() if value is not None}


class Correction(Protocol):
    """Applier of the plan's local rules to gradients; see `hanse.local`."""

    def correct(self, gradients: Mapping[str, Any], parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Task.correct`."""
        ...


@dataclass(frozen=True, slots=True)
class Task:
    """One unit of local work, as a learner sees it.

    Attributes:
        name: The task's name in the plan: `train`, `evaluate`, ...
        round_number: Round it belongs to, counted from 1.
        seed: Seed of every random choice in this task; differs between sites,
            rounds and tasks, and is the same when the task is run again.
            Python's, NumPy's and torch's global generators are seeded with it
            before the task starts.
        settings: The task's settings in the plan (`epochs`, `lr`, ...).
        groups: The groups that the plan has the task receive, read-only.
    """

    name: str
    round_number: int
    seed: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    groups: Groups = field(default_factory=dict)
    _local: Correction | None = field(default=None, repr=False, compare=False, kw_only=True)

    def correct(self, gradients: Mapping[str, Any], parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        """Apply the plan's local rules to the gradients of one step; call it once before each step.

        Args:
            gradients: Gradients of the loss by the names of the model's tensors, as arrays of NumPy, torch or
                JAX; not changed. Those of tensors that were not received, and None, pass as they are.
            parameters: The values at which they were taken, by the same names and in the same shapes.

        Returns:
            The gradients for the optimiser's step; without local rules, `gradients` itself.

        Raises:
            TaskError: A gradient is of another shape than its tensor, or not one is of a tensor that was
                received.
        """
        return gradients if self._local is None else self._local.correct(gradients, parameters)


@dataclass(frozen=True, slots=True, eq=False)
class TaskResult:
    """What a learner's task gives back to the agent; not yet what leaves the site.

    Attributes:
        num_examples: Examples the task worked on; the weight of its update
            and metrics in a mean. At least 0.
        metrics: Numbers by name (`loss`, `accuracy`); None for one that is not defined for the site's
            examples (an AUC where all are of one class), which no mean counts. A NaN is a failure.
        parameters: The trained parameters (not a difference), or None for a
            task that changes none. Names, shapes and dtypes of what it received.
        converged: Whether parameters that training left exactly as they were are its outcome. Else they are
            taken for a slip, a copy that was trained perhaps, of which the site's log says so.
        groups: The groups that the plan has the task disclose: values, not differences.
    """

    num_examples: int
    metrics: ReportedMetrics = field(default_factory=dict)
    parameters: Parameters | None = None
    converged: bool = False
    groups: Groups = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Update:
    """One collaborator's answer in one exchange, as a workflow sees it.

    Attributes:
        site: Name of the collaborator.
        num_examples: Examples it worked on; at least 0.
        metrics: The metrics that the plan lets it disclose.
        delta: Trained minus received parameters by tensor name (see
            `hanse.core.values.parameters`); None for a task without an update. Arrays
            are read-only memory maps.
        staleness: Rounds committed since the model it trained on was sent;
            0 except in `Federation.stream`.
        groups: The groups that the plan discloses individually; read-only memory maps.
    """

    site: str
    num_examples: int
    metrics: Metrics
    delta: Parameters | None = None
    staleness: int = 0
    groups: Groups = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Aggregate:
    """What a round's updates come to, without any one of them.

    Attributes:
        num_examples: Examples of all sites together.
        metrics: Mean of each metric over the sites that gave it, weighted by `num_examples`.
        delta: Mean of the deltas, weighted by `num_examples`; float64 or
            float32 sums cast back to each tensor's dtype. None for a task without an update.
        sites: Who took part, in site order.
        groups: Each group that the plan combines, as its rule says.
        each: Of each group that the plan discloses individually, every site's own: group, site, value.
        clipped: With secure aggregation, number of sites whose update was clipped to the plan's bound.
        out_of_range: With secure aggregation, number of sites of which another number was cut to its range.
    """

    num_examples: int
    metrics: Metrics
    delta: Parameters | None
    sites: tuple[str, ...]
    groups: Groups = field(default_factory=dict)
    each: Mapping[str, Mapping[str, Group]] = field(default_factory=dict)
    clipped: int = 0
    out_of_range: int = 0
