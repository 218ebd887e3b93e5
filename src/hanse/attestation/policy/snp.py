"""Policy of SEV-SNP evidence: images of guests, what their hosts may do, and the machines that run them."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal

from pydantic import Field, StrictBool, model_validator

from hanse.attestation.policy.fields import Anything, Hex16, Hex32, Hex48, Hex64
from hanse.attestation.policy.rows import RowName, check_row_names
from hanse.core.values.schema import Strict

Flag = StrictBool | Anything
Level = Annotated[int, Field(ge=0, le=0xFF)]
Number = Annotated[int, Field(ge=0, le=0xFFFFFFFF)]
Abi = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})$")]


class SnpRow(Strict):
    """One image: all that identifies it."""

    name: RowName
    measurement: Hex48 | Anything = Field(
        description="MEASUREMENT: firmware and, where it is measured with it, kernel, initrd and command "
        "line, 48 bytes."
    )
    host_data: Hex32 | Anything = Field(
        description="HOST_DATA: given by the host at the start, 32 bytes; zeros for none."
    )
    id_key_digest: Hex48 | Anything = Field(
        description="ID_KEY_DIGEST: SHA-384 of the key that signed the image's ID block; zeros for none."
    )
    author_key_digest: Hex48 | Anything = Field(
        description="AUTHOR_KEY_DIGEST: SHA-384 of the key that certified the ID key; zeros for none."
    )
    family_id: Hex16 | Anything = Field(description="FAMILY_ID of the ID block, 16 bytes; zeros for none.")
    image_id: Hex16 | Anything = Field(description="IMAGE_ID of the ID block, 16 bytes; zeros for none.")
    guest_svn: Number | Anything = Field(description="GUEST_SVN of the ID block; 0 for none.")


class SnpGuestPolicy(Strict):
    """The guest policy: what the guest's owner lets the host do. The firmware enforces it."""

    debug: Literal[False] = Field(description="DEBUG: always false. The host reads a guest that has it.")
    migrate_ma: Literal[False] | Anything = Field(
        description="MIGRATE_MA: false, since a migration agent then decides where the memory goes."
    )
    smt: Flag = Field(
        description="SMT: whether the host may have simultaneous multithreading, whose side channels reach "
        "between threads."
    )
    single_socket: Flag = Field(description="SINGLE_SOCKET: whether the guest stays on one socket.")
    cxl: Flag = Field(description="CXL_ALLOW: whether the host may have CXL devices or memory.")
    aes_256_xts: Flag = Field(description="MEM_AES_256_XTS: whether memory has to be encrypted by AES-256.")
    rapl_disabled: Flag = Field(
        description="RAPL_DIS: whether the host must not measure power, which leaks secrets."
    )
    ciphertext_hiding: Flag = Field(
        description="CIPHERTEXT_HIDING: whether the host must not see encrypted memory, whose changes leak."
    )
    page_swap_disabled: Flag = Field(
        description="PAGE_SWAP_DISABLE: whether the host must not move or swap the guest's pages."
    )
    least_abi: Abi | Anything = Field(
        description="Least ABI version that the guest policy has to ask of the firmware, such as `1.51`."
    )


class SnpPlatform(Strict):
    """PLATFORM_INFO: how the host's machine is set up at the time of the report."""

    smt_enabled: Flag = Field(description="SMT_EN: simultaneous multithreading is on.")
    tsme_enabled: Flag = Field(description="TSME_EN: all memory of the machine is encrypted.")
    ecc_enabled: Flag = Field(description="ECC_EN: memory has error correction. Firmware 1.55 and later.")
    rapl_disabled: Flag = Field(description="RAPL_DIS: measurement of power is off. 1.55 and later.")
    ciphertext_hiding: Flag = Field(
        description="CIPHERTEXT_HIDING_EN: the host does not see encrypted memory. 1.55 and later."
    )
    alias_check: Flag = Field(
        description="ALIAS_CHECK_COMPLETE: memory was checked for addresses that lead to the same cells, as "
        "BadRAM (CVE-2024-21944) makes them. Firmware of 2024-12 and later."
    )
    tio_enabled: Flag = Field(description="TIO_EN: trusted devices (SEV-TIO) are on.")


class SnpLevels(Strict):
    """Least security patch levels of Milan and Genoa."""

    bootloader: Level
    tee: Level
    snp: Level
    microcode: Level


class SnpTurinLevels(SnpLevels):
    """Least security patch levels of Turin."""

    fmc: Level


class SnpMilan(Strict):
    """Milan is accepted, in spite of what is published about it."""

    product: Literal["Milan"]
    in_spite_of: Literal["arXiv:2605.12990"] = Field(
        description="Milan's chips give up the seed of their VCEK to software: an administrator of the "
        "host can forge reports of the chip for ever. Say that you know it."
    )
    reason: str = Field(min_length=8, max_length=300, description="Why it is accepted, for the review.")
    least_committed: SnpLevels = Field(description="Least COMMITTED_TCB: what the host cannot go back from.")
    least_reported: SnpLevels = Field(description="Least REPORTED_TCB: what the signing key stands for.")
    least_launch: SnpLevels = Field(description="Least LAUNCH_TCB: what measured the guest at its start.")


class SnpGenoa(Strict):
    """Genoa, Bergamo and Siena are accepted from these levels on."""

    product: Literal["Genoa"]
    least_committed: SnpLevels = Field(description="Least COMMITTED_TCB: what the host cannot go back from.")
    least_reported: SnpLevels = Field(description="Least REPORTED_TCB: what the signing key stands for.")
    least_launch: SnpLevels = Field(description="Least LAUNCH_TCB: what measured the guest at its start.")


class SnpTurin(Strict):
    """Turin is accepted from these levels on."""

    product: Literal["Turin"]
    least_committed: SnpTurinLevels = Field(
        description="Least COMMITTED_TCB: what the host cannot go back from."
    )
    least_reported: SnpTurinLevels = Field(description="Least REPORTED_TCB: what the signing key stands for.")
    least_launch: SnpTurinLevels = Field(
        description="Least LAUNCH_TCB: what measured the guest at its start."
    )


SnpProduct = Annotated[SnpMilan | SnpGenoa | SnpTurin, Field(discriminator="product")]


class SnpVlek(Strict):
    """Reports are signed with a key that AMD gave to a cloud provider, which loads it into its machines."""

    vlek: Annotated[str, Field(min_length=1, max_length=127)] | Anything = Field(
        description="Name of the provider, as its certificate has it (CSP_ID)."
    )


class SnpPolicy(Strict):
    """Policy of SEV-SNP evidence. Every field is required; `{ any = "reason" }` accepts every value."""

    machines: Annotated[tuple[Hex64, ...], Field(min_length=1, max_length=10_000)] | Literal["any"] = Field(
        description="Chip ids of the machines, 64 bytes each; Turin's have 8, with zeros after them. Or "
        "`any`: every machine with a key that AMD certified, wherever it stands, in anyone's hands."
    )
    signer: Literal["VCEK"] | SnpVlek = Field(
        description="The key that signs: `VCEK`, of the chip, or a table with the `vlek` of a provider."
    )
    rows: Annotated[tuple[SnpRow, ...], Field(min_length=1, max_length=256)] = Field(
        description="Images that are accepted; each row has all values of one image."
    )
    vmpl: Annotated[int, Field(ge=0, le=3)] | Anything = Field(
        description="VMPL: privilege level in the guest that asks for reports; 0 where there is no other "
        "software, such as a provider's paravisor, above the system."
    )
    guest_policy: SnpGuestPolicy
    platform: SnpPlatform
    mitigations: Number | Anything = Field(
        description="Bits of the mitigation vectors at launch and now that have to be set; 0 for none. "
        "Reports before version 5 do not state them."
    )
    products: Annotated[tuple[SnpProduct, ...], Field(min_length=1, max_length=3)] = Field(
        description="Product lines that are accepted, with the least levels of each."
    )
    revocation: Literal["required"] | Anything = Field(
        description="`required`: without a current revocation list of AMD's the machine is refused."
    )

    @model_validator(mode="after")
    def _one_of_each(self) -> SnpPolicy:
        check_row_names(row.name for row in self.rows)
        name, count = Counter(product.product for product in self.products).most_common(1)[0]
        if count > 1:
            raise ValueError(f"{count} products have the name {name!r}: each stands once, with its levels")
        return self
