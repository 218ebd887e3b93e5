"""Devices that attest a machine, and a software TPM, tried by real workers; slow, as each is a process."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hanse.sandbox import kernel

PROGRAM = Path(__file__).parent / "sandbox" / "attested_machine.py"
REFUSALS = ("PermissionError", "FileNotFoundError")
MACHINES = {
    "all layers": "",
    "without mounts": "mount_setattr",
    "without Landlock": "landlock_create_ruleset",
    "without any": "mount_setattr landlock_create_ruleset",
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not kernel.supported() or os.getuid() != 0, reason="needs a machine of its own"),
]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What workers could open on each machine."""
    command = [sys.executable, str(PROGRAM), str(tmp_path_factory.mktemp("machine")), *MACHINES.values()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return dict(zip(MACHINES, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("machine", ["all layers", "without mounts", "without Landlock"])
def test_no_worker_opens_a_device_that_attests_its_machine(
    found: dict[str, dict[str, Any]], machine: str
) -> None:
    tried = {path: result for path, result in found[machine].items() if path.startswith("/")}

    assert len(tried) >= 7
    assert {path: result for path, result in tried.items() if result not in REFUSALS} == {}


@pytest.mark.parametrize("machine", ["all layers", "without mounts", "without Landlock"])
def test_no_worker_connects_to_a_software_tpm(found: dict[str, dict[str, Any]], machine: str) -> None:
    assert found[machine]["socket"] in REFUSALS


def test_devices_that_could_be_opened_are_told(found: dict[str, dict[str, Any]]) -> None:
    there = found["without any"]

    assert there["/dev/tpmrm0"] == "opened"
    assert "can reach the secret /dev/tpmrm0" in there["gaps"]
    assert "can reach the secret /sys/kernel/config/tsm" in there["gaps"]
