"""Search for attestation devices of this machine: what each gives, and what it does not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hanse.doctor.checks import Finding, Grade

_CHECK = "attestation"


@dataclass(frozen=True, slots=True)
class Device:
    """A device that may be there.

    Attributes:
        paths: Where it is, below the root; any of them.
        name: Its name in a sentence.
        gives: What it gives, and what it does not.
    """

    paths: tuple[str, ...]
    name: str
    gives: str


DEVICES = (
    Device(
        ("dev/sgx_enclave",),
        "SGX",
        "processes can run in enclaves. It gives no quote by itself: a program in an enclave gets one, "
        "from Intel's quoting enclave",
    ),
    Device(
        ("dev/attestation/quote",),
        "Gramine in an enclave",
        "this process runs in an SGX enclave, and gets quotes of it",
    ),
    Device(
        ("dev/tdx_guest", "dev/tdx-guest"),
        "TDX guest",
        "this virtual machine is a trust domain. Its reports are for this machine; a quote takes the host's "
        "quoting service, by configfs-tsm",
    ),
    Device(
        ("sys/kernel/config/tsm/report",),
        "configfs-tsm",
        "the kernel gives quotes or reports of this virtual machine, of TDX or SEV-SNP",
    ),
    Device(
        ("dev/sev-guest",),
        "SEV-SNP guest",
        "this virtual machine gets reports, and certificates where the host has them",
    ),
    Device(
        ("dev/tpmrm0", "dev/tpm0"),
        "TPM",
        "it states what this machine has started. It does not keep memory from who has the machine in hand; "
        "whether it is a chip or software, it cannot show",
    ),
    Device(
        ("dev/nvidia0", "dev/nvidiactl"),
        "NVIDIA GPU",
        "`nvidia-smi conf-compute -f` says whether confidential computing is on; its reports count beside "
        "evidence of the virtual machine that took them",
    ),
)


def check_attestation_devices(root: Path = Path("/")) -> Iterator[Finding]:
    """Look for devices; a missing one is not a failure.

    Args:
        root: The root of the file system; another one for tests.
    """
    missing = []
    for device in DEVICES:
        found = next((root / path for path in device.paths if (root / path).exists()), None)
        if found is None:
            missing.append(device.name)
            continue
        shown = f"/{found.relative_to(root)}"
        if os.access(found, os.R_OK):
            yield Finding(_CHECK, Grade.OK, f"{device.name} ({shown}): {device.gives}")
        else:
            yield Finding(
                _CHECK,
                Grade.WARN,
                f"{device.name} ({shown}): this user may not read it; {device.gives}",
                "Give the user access if it is to show evidence; nothing else needs it.",
            )
    if missing:
        yield Finding(
            _CHECK,
            Grade.OK,
            f"not here: {', '.join(missing)}. No evidence of these can come from here; runs need none",
        )
