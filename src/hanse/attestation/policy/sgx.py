"""Policy of SGX evidence: enclaves, their attributes, and the machines that run them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hanse.attestation.policy.fields import Anything, Hex1, Hex4, Hex8, Hex16, Hex32, Hex64, bits
from hanse.attestation.policy.intel import IntelPlatform
from hanse.attestation.policy.rows import RowName, check_row_names
from hanse.core.values.schema import Strict

DEBUG = 0x02
"""The DEBUG bit of the flags."""
Number = Annotated[int, Field(ge=0, le=0xFFFF)]


class MeasuredEnclave(Strict):
    """One enclave, by the measurement of its code."""

    by: Literal["mrenclave"] = Field(description="This row names an enclave by its measurement.")
    name: RowName
    mrenclave: Hex32 = Field(description="Measurement of the code, 32 bytes.")


class SignedEnclave(Strict):
    """All enclaves of a product of a signer, from a version on."""

    by: Literal["mrsigner"] = Field(description="This row names enclaves by who signed them.")
    name: RowName
    mrsigner: Hex32 = Field(description="Digest of the signing key, 32 bytes.")
    product: Number = Field(description="ISVPRODID of the product: one signer may have several.")
    least_svn: Number = Field(description="Least ISVSVN: earlier versions with known flaws are refused.")


class SgxAttributes(Strict):
    """Attributes of the enclave."""

    debug: Literal[False] = Field(description="DEBUG: always false. The host reads an enclave that has it.")
    flags: Hex8 | Anything = Field(
        description="All other flags, 8 bytes as they stand in the quote, with the DEBUG bit zero: "
        "`0500000000000000` is INIT and MODE64BIT."
    )
    xfrm: Hex8 | Anything = Field(description="XFRM: processor features that the enclave may use, 8 bytes.")

    @model_validator(mode="after")
    def _no_debug_bit(self) -> SgxAttributes:
        if not isinstance(self.flags, Anything) and bits(self.flags) & DEBUG:
            raise ValueError("flags have the DEBUG bit, which `debug` speaks of")
        return self


class SgxPolicy(IntelPlatform):
    """Policy of SGX evidence. Every field is required; `{ any = "reason" }` accepts every value."""

    rows: Annotated[
        tuple[Annotated[MeasuredEnclave | SignedEnclave, Field(discriminator="by")], ...],
        Field(min_length=1, max_length=256),
    ] = Field(description="Enclaves that are accepted; each row is complete in itself.")
    attributes: SgxAttributes
    misc_select: Hex4 | Anything = Field(description="MISCSELECT, 4 bytes as in the quote.")
    cet_attributes: Hex1 | Anything = Field(description="CET_ATTRIBUTES, 1 byte.")
    config_id: Hex64 | Anything = Field(description="CONFIGID, 64 bytes: given by the host at the start.")
    config_svn: Number | Anything = Field(description="CONFIGSVN: given by the host at the start.")
    ext_product: Hex16 | Anything = Field(description="ISVEXTPRODID, 16 bytes.")
    family: Hex16 | Anything = Field(description="ISVFAMILYID, 16 bytes.")

    @model_validator(mode="after")
    def _one_name_a_row(self) -> SgxPolicy:
        check_row_names(row.name for row in self.rows)
        return self
