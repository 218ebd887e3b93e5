"""Functions of a session of Python that take the place of those that a plan names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from hanse.config.document import Document
from hanse.config.load import LoadedPlan
from hanse.core.plan.manifest import Manifest
from hanse.core.plan.plan import Plan
from hanse.core.values.site import Site
from hanse.errors import PlanError
from hanse.learners.base import Learner
from hanse.workflow.federation import Federation


@dataclass(frozen=True, slots=True)
class Functions:
    """Functions to use as they are, in place of those that a plan names.

    Attributes:
        learner: Makes the learner of a site; None for that of the plan.
        workflow: The workflow; None for that of the plan.
        open_tasks: Tasks of which the plan declares the metrics that the learner turns out to report.
    """

    learner: Callable[[Site], Learner] | None = None
    workflow: Callable[[Federation], None] | None = None
    open_tasks: frozenset[str] = frozenset()


class ReportedMetrics:
    """A plan that declares what its learner turns out to report.

    Args:
        loaded: The plan, as far as it is known before the learner reports.
        tasks: Tasks whose metrics are added; those of others are declared by the plan's author.
    """

    def __init__(self, loaded: LoadedPlan, tasks: frozenset[str]) -> None:
        self._loaded = loaded
        self._plan = loaded.manifest.plan
        self._tasks = tasks

    def declare(self, task: str, metrics: Iterable[str]) -> Plan:
        """Declare the metrics that a task reports.

        Returns:
            The plan.

        Raises:
            PlanError: A metric has a name that no plan can declare, or there are too many.
        """
        if task not in self._tasks:
            return self._plan
        declared = self._plan.tasks[task].discloses.metrics
        new = [name for name in metrics if name not in declared]
        if new:
            values = self._plan.model_dump(mode="json")
            values["tasks"][task]["discloses"]["metrics"] = [*declared, *new]
            self._plan = Document(f"plan {self._plan.name}", values, {}, PlanError).check(Plan)
        return self._plan

    def outcome(self) -> LoadedPlan:
        """The plan with everything that was declared."""
        old = self._loaded.manifest
        manifest = Manifest(plan=self._plan, files=old.files, initial_model=old.initial_model)
        return replace(self._loaded, manifest=manifest, digest=manifest.digest)
