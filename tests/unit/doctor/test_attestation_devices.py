"""Attestation devices that the doctor finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from hanse.attestation.devices import DEVICES, Device
from hanse.doctor.attestation_devices import check_attestation_devices
from hanse.doctor.checks import Grade


def test_a_machine_without_devices_is_said_to_be_one_and_does_not_fail(tmp_path: Path) -> None:
    (finding,) = check_attestation_devices(tmp_path)

    assert finding.grade is Grade.OK
    assert all(device.name in finding.detail for device in DEVICES)
    assert "runs need none" in finding.detail


@pytest.mark.parametrize("device", DEVICES, ids=[device.name for device in DEVICES])
def test_each_device_is_found_and_its_use_said(device: Device, tmp_path: Path) -> None:
    for path in device.paths[:1]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()

    found, missing = check_attestation_devices(tmp_path)

    assert found.detail == f"{device.name} (/{device.paths[0]}): {device.gives}"
    assert device.name not in missing.detail.split(". ")[0].split(": ")[1].split(", ")


def test_a_device_that_this_user_may_not_read_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/tpmrm0").touch()
    monkeypatch.setattr("os.access", lambda *_: False)

    found, _ = check_attestation_devices(tmp_path)

    assert found.grade is Grade.WARN
    assert "this user may not read it" in found.detail
