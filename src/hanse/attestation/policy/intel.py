"""Fields that policies of SGX and TDX have in common: which machines are accepted, and how up to date."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hanse.attestation.policy.fields import Anything, Hex16
from hanse.core.values.schema import Strict

AcceptedStatus = Literal[
    "UpToDate",
    "SWHardeningNeeded",
    "ConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded",
    "TDRelaunchAdvised",
    "TDRelaunchAdvisedConfigurationNeeded",
    "OutOfDate",
    "OutOfDateConfigurationNeeded",
]
"""Statuses that a policy may accept: all but `Revoked`, and that no level fits."""

Advisory = Annotated[str, Field(min_length=4, max_length=64, pattern=r"^[A-Z0-9][A-Za-z0-9.\-]*$")]


class IntelPlatform(Strict):
    """Machines that are accepted, and how up to date they have to be."""

    machines: Annotated[tuple[Hex16, ...], Field(min_length=1, max_length=10_000)] | Literal["any"] = Field(
        description="PPIDs of the machines, 16 bytes each as hexadecimal digits; or `any`: every machine "
        "with a key that Intel certified, wherever it stands, in anyone's hands."
    )
    statuses: Annotated[tuple[AcceptedStatus, ...], Field(min_length=1)] = Field(
        description="TCB statuses that are accepted, of the worst of platform, quoting enclave and TDX "
        "module. All but `UpToDate` are shown as a warning. `Revoked` is never accepted."
    )
    advisories: Annotated[tuple[Advisory, ...], Field(max_length=256)] | Anything = Field(
        description="Advisories that may concern the machine, such as `INTEL-SA-00615`; empty for none."
    )
    least_evaluation: int = Field(
        ge=1,
        le=0xFFFFFFFF,
        description="Least `tcbEvaluationDataNumber` of Intel's collateral: which recovery of its TCB Intel "
        "had taken into account. Numbers are at the service under `tcbevaluationdatanumbers`.",
    )
