"""Settings of a party about evidence: its own, and what it asks of others."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hanse.config.units import FilePath
from hanse.core.values.schema import Strict

Register = Annotated[int, Field(ge=0, le=23)]


class OwnEvidence(Strict):
    """Evidence that this machine shows of what it runs."""

    device: Literal["tpm", "tdx", "snp", "sgx"] | None = Field(
        None, description="The device that makes the evidence; null for none."
    )
    tpm: str = Field(
        "device:/dev/tpmrm0",
        max_length=300,
        description="Where the TPM is, as a TCTI of tpm2-tss: `device:/dev/tpmrm0`, `swtpm:path=/run/tpm`.",
    )
    registers: tuple[Register, ...] = Field(
        (4, 7, 11, 12), min_length=1, max_length=24, description="Registers (PCRs) that the TPM quotes."
    )
    ek: Literal["rsa", "ecc"] = Field(
        "rsa", description="Kind of the endorsement key by which others know the TPM: RSA 2048 or P-256."
    )
    ek_certificates: FilePath | None = Field(
        None,
        description="Certificates (PEM) of the TPM's maker up to the root, which go along after that of the "
        "endorsement key; null for what the TPM itself has.",
    )
    event_log: FilePath | None = Field(
        None, description="Log of the firmware, such as `/sys/kernel/security/tpm0/binary_bios_measurements`."
    )
    ima_log: FilePath | None = Field(
        None,
        description="Log of the kernel, such as `/sys/kernel/security/ima/binary_runtime_measurements`; the "
        "registers then have to include 10.",
    )


class EvidenceSettings(Strict):
    """Evidence: what this party shows, and with what it holds that of others."""

    own: OwnEvidence = Field(default_factory=OwnEvidence, description="What this machine shows.")
    collateral: FilePath | None = Field(
        None,
        description="Folder of collateral, as `hanse attest collateral` keeps it; null for "
        "`attestation/collateral` beside this file.",
    )
    rehearsal: bool = Field(
        False,
        description="Whether software may play devices here, where a plan says so too. For trials only: such "
        "evidence proves nothing.",
    )


class Required(Strict):
    """Evidence that this site requires, whatever a plan asks for."""

    attested_aggregator: FilePath | None = Field(
        None,
        description="Appraisal policy (TOML) that the aggregator has to pass before this site does any task.",
    )


class Owner(Strict):
    """The owner of sealed models, who operates this aggregator."""

    key: FilePath = Field(description="The owner's private keys, `owner.key`.")
    release: FilePath = Field(
        description="Release policy (TOML): the plans and the sites that may get keys of sealed models."
    )
