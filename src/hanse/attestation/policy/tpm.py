"""Policy of TPM evidence: images by their registers, and the TPMs that may state them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hanse.attestation.policy.fields import Anything, Hex8, Hex32
from hanse.attestation.policy.rows import RowName, check_row_names
from hanse.core.values.schema import Strict

RESETTABLE = (16, 23)
"""Registers that every software can set to zero at any time."""
UKI = (4, 7, 11, 12)
"""Registers of a unified kernel image: it, Secure Boot, its parts, and what overrides its command line."""
IMA = 10
"""Register that the kernel's integrity measurement architecture extends by each file."""

Register = Annotated[int, Field(ge=0, le=23)]
RegisterKey = Annotated[str, Field(pattern=r"^(0|[1-9]|1[0-9]|2[0-3])$")]


class ImaFile(Strict):
    """A file, or all versions of it, that the kernel may measure."""

    path: str = Field(min_length=1, max_length=1024, description="Its path as the kernel writes it.")
    sha256: Annotated[tuple[Hex32, ...], Field(min_length=1, max_length=64)] = Field(
        description="Digests of its content that are accepted."
    )


class ImaReference(Strict):
    """Files that the kernel of an image may measure, in any order."""

    boot_aggregate: Hex32 | Anything = Field(
        description="Digest of the first entry, `boot_aggregate`: of PCR 0 to 9, what was started before."
    )
    files: Annotated[tuple[ImaFile, ...], Field(max_length=20_000)] = Field(
        description="Files that may be measured; each with its digests."
    )
    others: Literal["refused"] | Anything = Field(
        description="What becomes of files that are not named: refused, or any with a reason."
    )


class TpmRow(Strict):
    """One image: all its registers."""

    name: RowName
    pcrs: dict[RegisterKey, Hex32 | Literal["ima"] | Anything] = Field(
        description="Value of each register of `selection`, 32 bytes, by its number. PCR 10 may be `ima`: "
        "whatever the log of the kernel leads to, whose files are then held against the table `ima`."
    )
    ima: ImaReference | Literal["none"] = Field(description="Files for PCR 10; `none` where it is not `ima`.")

    @model_validator(mode="after")
    def _one_use_of_ima(self) -> TpmRow:
        by_log = [number for number, value in self.pcrs.items() if value == "ima"]
        if by_log not in ([], [str(IMA)]):
            raise ValueError(f"PCR {by_log[0]} is `ima`, which stands for PCR {IMA} alone")
        if bool(by_log) != (self.ima != "none"):
            raise ValueError(f"the table `ima` and the value `ima` of PCR {IMA} stand together or not at all")
        return self


class TpmPolicy(Strict):
    """Policy of TPM evidence. Every field is required; `{ any = "reason" }` accepts every value.

    No policy can have a TPM affirm that memory is confidential: its machine's memory is readable by
    who has the machine in hand.
    """

    rehearsal: bool = Field(
        description="True: software TPMs are accepted, and the verdict counts only where plan and verifier's "
        "settings say `rehearsal: true` too. Nothing in evidence shows for certain that a TPM is software: "
        "what counts is that a person has pinned the EK of a chip."
    )
    machines: Annotated[tuple[Hex32, ...], Field(min_length=1, max_length=10_000)] = Field(
        description="EKs of the machines: SHA-256 of the public area (TPMT_PUBLIC, as `tpm2_createek` makes "
        "it, without the 2 bytes of its size) or of the certificate (DER). There is no `any`: every "
        "program can answer as a TPM whose EK no person has seen."
    )
    manufacturers: Annotated[tuple[Hex32, ...], Field(min_length=1, max_length=256)] | Anything = Field(
        description="SHA-256 of the root certificates (DER) of makers of TPMs, to one of which the EK's "
        "certificates have to lead; any: the pinned EK is enough, and no maker says that it is in a chip."
    )
    selection: Annotated[tuple[Register, ...], Field(min_length=1, max_length=24)] = Field(
        description="Registers of the SHA-256 bank that the quote has to be of, exactly, ascending: 4, 7, 11 "
        "and 12 for a unified kernel image, or 10 with the log of the kernel. 16 and 23 are refused."
    )
    rows: Annotated[tuple[TpmRow, ...], Field(min_length=1, max_length=256)] = Field(
        description="Images that are accepted; each row has all registers of one image."
    )
    firmware: Annotated[tuple[Hex8, ...], Field(min_length=1, max_length=64)] | Anything = Field(
        description="Versions of the TPM's own firmware that are accepted, 8 bytes as in the quote. Only AKs "
        "of the endorsement and platform hierarchies state it openly."
    )
    clock_safe: Literal[True] | Anything = Field(
        description="True: the TPM says that its clock was not set back. It is false for a while after "
        "the power was cut."
    )

    @model_validator(mode="after")
    def _selection_proves_an_image(self) -> TpmPolicy:
        if list(self.selection) != sorted(set(self.selection)):
            raise ValueError("selection: each register stands once, ascending")
        for number in RESETTABLE:
            if number in self.selection:
                raise ValueError(
                    f"selection: PCR {number} proves nothing, since any software can set it to zero"
                )
        by_log = all(row.ima != "none" for row in self.rows)
        if not self.rehearsal and not (set(UKI) <= set(self.selection) or by_log):
            raise ValueError(
                "selection: it has to have 4, 7, 11 and 12, or 10 with `ima` in every row; others do not "
                "say what runs"
            )
        return self

    @model_validator(mode="after")
    def _rows_are_complete(self) -> TpmPolicy:
        check_row_names(row.name for row in self.rows)
        for row in self.rows:
            if set(row.pcrs) != set(map(str, self.selection)):
                raise ValueError(
                    f"row {row.name!r}: it has PCR {', '.join(row.pcrs)}, and `selection` has "
                    f"{', '.join(map(str, self.selection))}"
                )
        return self
