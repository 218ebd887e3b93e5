"""Policy of TDX evidence: images of trust domains, their attributes, and the machines that run them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hanse.attestation.policy.fields import Anything, Hex8, Hex48, bits
from hanse.attestation.policy.intel import IntelPlatform
from hanse.attestation.policy.rows import RowName, check_row_names
from hanse.core.values.schema import Strict

DEBUG_BITS = 0xFF
"""TUD: bit 0 is DEBUG, and a domain with any of these bits is not trusted."""
SEPT_VE_DISABLE = 1 << 28
MIGRATABLE = 1 << 29


class TdxRow(Strict):
    """One image: all its registers."""

    name: RowName
    mrtd: Hex48 | Anything = Field(description="MRTD: firmware that the domain starts with, 48 bytes.")
    rtmr0: Hex48 | Anything = Field(description="RTMR0: configuration of the firmware.")
    rtmr1: Hex48 | Anything = Field(description="RTMR1: boot loader and kernel.")
    rtmr2: Hex48 | Anything = Field(description="RTMR2: command line, initrd, and the root that it names.")
    rtmr3: Hex48 | Anything = Field(description="RTMR3: what the system extends; zeros where it does not.")


class TdAttributes(Strict):
    """Attributes of the trust domain."""

    debug: Literal[False] = Field(
        description="DEBUG and the other bits of its byte: always false. The host reads a domain that has it."
    )
    migratable: Literal[False] | Anything = Field(
        description="MIGRATABLE: false, since a migration domain then decides where the memory goes."
    )
    sept_ve_disable: Literal[True] | Anything = Field(
        description="SEPT_VE_DISABLE: true, since else the host can inject exceptions at accesses of memory."
    )
    others: Hex8 | Anything = Field(
        description="All other bits, 8 bytes as they stand in the quote, with the bits of DEBUG, MIGRATABLE "
        "and SEPT_VE_DISABLE zero: `0000000000000000` is none."
    )

    @model_validator(mode="after")
    def _no_named_bits(self) -> TdAttributes:
        named = DEBUG_BITS | MIGRATABLE | SEPT_VE_DISABLE
        if not isinstance(self.others, Anything) and bits(self.others) & named:
            raise ValueError(
                "others has a bit of DEBUG, MIGRATABLE or SEPT_VE_DISABLE, which have their own keys"
            )
        return self


class TdxPolicy(IntelPlatform):
    """Policy of TDX evidence. Every field is required; `{ any = "reason" }` accepts every value."""

    rows: Annotated[tuple[TdxRow, ...], Field(min_length=1, max_length=256)] = Field(
        description="Images that are accepted; each row has all registers of one image."
    )
    attributes: TdAttributes
    xfam: Hex8 | Anything = Field(description="XFAM: processor features that the domain may use, 8 bytes.")
    mrconfigid: Hex48 | Anything = Field(description="MRCONFIGID: given by the host at the start, 48 bytes.")
    mrowner: Hex48 | Anything = Field(description="MROWNER: given by the host at the start.")
    mrownerconfig: Hex48 | Anything = Field(description="MROWNERCONFIG: given by the host at the start.")
    mrservicetd: Hex48 | Anything = Field(
        description="MRSERVICETD: service domains bound to this one; zeros for none. Quotes with a TD report "
        "1.0 do not state it, and are accepted only with `any`."
    )
    mrsignerseam: Hex48 | Anything = Field(
        description="MRSIGNERSEAM: signer of the TDX module; zeros: Intel."
    )
    mrseam: Annotated[tuple[Hex48, ...], Field(min_length=1, max_length=256)] | Anything = Field(
        description="MRSEAM: measurements of the TDX modules that are accepted. Updates of hosts change it."
    )

    @model_validator(mode="after")
    def _one_name_a_row(self) -> TdxPolicy:
        check_row_names(row.name for row in self.rows)
        return self
