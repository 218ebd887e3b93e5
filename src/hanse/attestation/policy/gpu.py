"""Policy of GPU evidence: chips, their mode, and the firmware that runs on them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hanse.attestation.policy.fields import Anything, Hex
from hanse.attestation.policy.rows import RowName, check_row_names
from hanse.core.values.schema import Strict

Version = Annotated[str, Field(min_length=1, max_length=64)]
Index = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,2}$")]
References = Annotated[tuple[Hex, ...], Field(min_length=1, max_length=64)] | Anything
Serial = Annotated[str, Field(pattern=r"^[0-9a-f]{1,40}$")]


class GpuRow(Strict):
    """One set of driver and firmware: all its values."""

    name: RowName
    driver: Version | Anything = Field(description="Version of the driver, such as `550.90.07`.")
    vbios: Version | Anything = Field(description="Version of the VBIOS, such as `96.00.9F.00.01`.")
    measurements: Annotated[dict[Index, References], Field(min_length=1, max_length=255)] | Anything = Field(
        description="Reference values of all measurements, by index, each with the values that are accepted: "
        "NVIDIA publishes them as reference integrity manifests of driver and VBIOS. With `any` the firmware "
        "is inspected, not affirmed."
    )


class GpuPolicy(Strict):
    """Policy of GPU evidence. Every field is required; `{ any = "reason" }` accepts every value."""

    machines: Annotated[tuple[Serial, ...], Field(min_length=1, max_length=10_000)] | Literal["any"] = Field(
        description="Serial numbers of the certificates of the chips' identity keys, hexadecimal; or `any`: "
        "every chip that NVIDIA certified, in anyone's hands."
    )
    chips: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=64)], ...], Field(min_length=1)] = (
        Field(description="Products that are accepted, such as `GH100`.")
    )
    mode: Literal["on"] | Anything = Field(
        description="Mode of confidential computing: `on`, and neither off nor devtools. A report does not "
        "state it; the driver does, in the measured guest that took the report."
    )
    feature: Literal["SPT", "MPT", "PPCIE"] | Anything = Field(
        description="Feature flag of the report: `SPT` for one GPU, `MPT` for several, `PPCIE` for protected "
        "PCIe. Reports of older firmware do not state it, and are accepted only with `any`."
    )
    rows: Annotated[tuple[GpuRow, ...], Field(min_length=1, max_length=256)] = Field(
        description="Drivers and firmware that are accepted; each row has all values of one set."
    )
    revocation: Literal["required"] | Anything = Field(
        description="`required`: without NVIDIA's current revocation lists the GPU is refused."
    )

    @model_validator(mode="after")
    def _one_name_a_row(self) -> GpuPolicy:
        check_row_names(row.name for row in self.rows)
        return self
