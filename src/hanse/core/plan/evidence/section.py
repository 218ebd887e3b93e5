"""Sections of a plan about evidence of what the parties run, and about a sealed model."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from hanse.core.plan.section import PlanSection
from hanse.core.values.schema import CodePath, Duration

SEALED_SUFFIX = ".sealed"
"""End of the name of a sealed model."""


class Attestation(PlanSection):
    """Evidence that parties show of what they run, and the policies that it is held against."""

    aggregator: CodePath | None = Field(
        None,
        description="Appraisal policy (TOML) for the aggregator, a file under `code`; unset: it shows none.",
    )
    collaborators: CodePath | None = Field(
        None, description="Appraisal policy (TOML) for the sites, a file under `code`; unset: they show none."
    )
    valid_for: Duration = Field(
        86_400.0, description="How long a verdict counts, never longer than its collateral."
    )
    rehearsal: bool = Field(
        False,
        description="Whether software may play the devices; each party's own settings have to say so too.",
    )

    @model_validator(mode="after")
    def _of_somebody(self) -> Self:
        if self.aggregator is None and self.collaborators is None:
            raise ValueError("write a policy for `aggregator`, for `collaborators`, or for both")
        return self


class Sealed(PlanSection):
    """Encryption of the model for its owner and for the instances that run the plan."""

    owner: CodePath = Field(description="The owner's public keys, `owner.json`, a file under `code`.")
    aggregator: Literal["owner"] = Field(
        "owner", description="Who operates the aggregator; the owner of the model, for now."
    )
