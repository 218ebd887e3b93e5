"""Search for attestation devices of this machine: what each gives, and what it does not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from hanse.attestation.devices import DEVICES
from hanse.doctor.checks import Finding, Grade

_CHECK = "attestation"


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
