"""The section `privacy` of a plan."""

from __future__ import annotations

from pydantic import Field

from hanse.core.plan.privacy.secure_aggregation import SecureAggregation
from hanse.core.plan.section import PlanSection, new_since


class Privacy(PlanSection):
    """Protection of the sites beyond what tasks disclose."""

    secure_aggregation: SecureAggregation | None = Field(
        None,
        description="Sums in which no party sees the numbers of a single site; for tasks with "
        "`aggregated_by: secure_aggregation`.",
        json_schema_extra=new_since("0.2"),
    )
