"""Attestation devices that a machine may have: what each gives, and what to do where one is missing."""

from __future__ import annotations

from dataclasses import dataclass

from hanse.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Device:
    """A device that may be there.

    Attributes:
        paths: Where it is, below the root; any of them.
        name: Its name in a sentence.
        gives: What it gives, and what it does not.
        mend: What to do where it is needed and missing.
    """

    paths: tuple[str, ...]
    name: str
    gives: str
    mend: str


SGX = Device(
    ("dev/sgx_enclave",),
    "SGX",
    "processes can run in enclaves. It gives no quote by itself: a program in an enclave gets one, "
    "from Intel's quoting enclave",
    "Enable SGX in the firmware of the machine.",
)
GRAMINE = Device(
    ("dev/attestation/quote",),
    "Gramine in an enclave",
    "this process runs in an SGX enclave, and gets quotes of it",
    'Start the process with `gramine-sgx`, and set `sgx.remote_attestation = "dcap"` in its manifest.',
)
TDX = Device(
    ("dev/tdx_guest", "dev/tdx-guest"),
    "TDX guest",
    "this virtual machine is a trust domain. Its reports are for this machine; a quote takes the host's "
    "quoting service, by configfs-tsm",
    "Start the virtual machine as a TDX guest.",
)
CONFIGFS = Device(
    ("sys/kernel/config/tsm/report",),
    "configfs-tsm",
    "the kernel gives quotes or reports of this virtual machine, of TDX or SEV-SNP",
    "It takes Linux 6.7 or later in a TDX or SEV-SNP guest, with the module `tdx_guest` or `sev_guest` "
    "loaded and configfs mounted at /sys/kernel/config.",
)
SNP = Device(
    ("dev/sev-guest",),
    "SEV-SNP guest",
    "this virtual machine gets reports, and certificates where the host has them",
    "Start the virtual machine as an SEV-SNP guest.",
)
TPM = Device(
    ("dev/tpmrm0", "dev/tpm0"),
    "TPM",
    "it states what this machine has started. It does not keep memory from who has the machine in hand; "
    "whether it is a chip or software, it cannot show",
    "Enable the TPM in the firmware of the machine, or give the virtual machine one.",
)
GPU = Device(
    ("dev/nvidia0", "dev/nvidiactl"),
    "NVIDIA GPU",
    "`nvidia-smi conf-compute -f` says whether confidential computing is on; its reports count beside "
    "evidence of the virtual machine that took them",
    "Install the driver of the card.",
)
DEVICES = (SGX, GRAMINE, TDX, CONFIGFS, SNP, TPM, GPU)


def missing(device: Device, path: object) -> ConfigError:
    """The error for a device that is to show evidence and is not there.

    Args:
        device: The device.
        path: The file that was looked for.
    """
    return ConfigError(
        f"this machine has no {device.name}: there is no {path}. Where there is one, {device.gives}",
        mend=device.mend,
    )


def closed(device: Device, path: object) -> ConfigError:
    """The error for a device that this user may not use."""
    return ConfigError(
        f"{device.name}: this user may not use {path}",
        mend="Give the user access, and no user that needs none.",
    )
