"""Parts of a plan that rules of secure aggregation read.

`Plan` has them all. It cannot be named here, since it checks itself by these rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

from hanse.core.plan.aggregation import Aggregation
from hanse.core.plan.cohort import Cohort
from hanse.core.plan.groups import GroupSpec
from hanse.core.plan.privacy.section import Privacy
from hanse.core.plan.privacy.secure_aggregation import SecureAggregation
from hanse.core.plan.tasks import TaskPlan
from hanse.core.plan.transforms import Compression


class PlanParts(Protocol):
    """Keys of `Plan` that rules of secure aggregation read."""

    @property
    def workflow(self) -> str:
        """Name of the workflow."""
        ...

    @property
    def seed(self) -> int:
        """Seed of every random choice."""
        ...

    @property
    def cells(self) -> Mapping[str, tuple[str, ...]]:
        """Sites by cell."""
        ...

    @property
    def cohort(self) -> Cohort:
        """Rules of a round."""
        ...

    @property
    def aggregation(self) -> Aggregation:
        """Rule by which updates become one model."""
        ...

    @property
    def tasks(self) -> Mapping[str, TaskPlan]:
        """The tasks by name."""
        ...

    @property
    def group_specs(self) -> Mapping[str, GroupSpec]:
        """Declarations of the groups by name."""
        ...

    @property
    def compression(self) -> Compression:
        """Compression of tensors."""
        ...

    @property
    def privacy(self) -> Privacy:
        """Protection of the sites."""
        ...

    @property
    def first_model(self) -> Literal["file", "site", "workflow", "none"]:
        """Where the first model comes from."""
        ...


def section_of(plan: PlanParts) -> SecureAggregation:
    """The section `privacy: secure_aggregation` of a plan that has one.

    Raises:
        ValueError: The plan has none.
    """
    section = plan.privacy.secure_aggregation
    if section is None:
        raise ValueError("the plan has no section `privacy: secure_aggregation`")
    return section
