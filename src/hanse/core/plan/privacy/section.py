"""The section `privacy` of a plan."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

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

    @model_validator(mode="before")
    @classmethod
    def _of_this_version(cls, value: Any) -> Any:
        if isinstance(value, dict) and "differential_privacy" in value:
            raise ValueError("differential_privacy: not available in this version; leave it out")
        return value
