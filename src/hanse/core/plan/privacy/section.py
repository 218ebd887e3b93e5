"""The section `privacy` of a plan."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from hanse.core.plan.privacy.secure_aggregation import SecureAggregation
from hanse.core.plan.section import PlanSection, new_since


def _of_a_later_version(value: Any) -> Any:
    if value is not None:
        raise ValueError("differential_privacy: not available in this version; leave it out")
    return value


class Privacy(PlanSection):
    """Protection of the sites beyond what tasks disclose."""

    secure_aggregation: SecureAggregation | None = Field(
        None,
        description="Sums in which no party sees the numbers of a single site; for tasks with "
        "`aggregated_by: secure_aggregation`.",
        json_schema_extra=new_since("0.2"),
    )
    # A validator of the whole section would have the manifest's arrays refused, which are read strictly.
    differential_privacy: Annotated[None, BeforeValidator(_of_a_later_version)] = Field(
        None, description="Not available in this version.", json_schema_extra=new_since("0.2")
    )
