import os
import socket
from pathlib import Path

import pytest

from hanse.sandbox.sealed.secret_paths import attestation_devices, reachable

DEVICES = (
    *("dev/tpm0", "dev/tpmrm0", "dev/tpmrm1", "dev/sev-guest", "dev/tdx_guest", "dev/tdx-guest"),
    *("dev/attestation/quote", "sys/kernel/config/tsm/report"),
)


@pytest.mark.parametrize("device", DEVICES)
def test_each_device_that_attests_a_machine_is_found(tmp_path: Path, device: str) -> None:
    (tmp_path / device).mkdir(parents=True)

    (found,) = attestation_devices(tmp_path)

    assert (tmp_path / device).is_relative_to(found)


def test_other_devices_are_none_of_them(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "null").touch()

    assert attestation_devices(tmp_path) == ()


def test_files_and_folders_that_can_be_opened_are_reachable(tmp_path: Path) -> None:
    (tmp_path / "key").touch()

    assert list(reachable([tmp_path, tmp_path / "key", tmp_path / "absent"])) == [tmp_path, tmp_path / "key"]


def test_a_pipe_is_reachable_without_its_other_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    assert list(reachable([tmp_path / "pipe"])) == [tmp_path / "pipe"]


@pytest.mark.parametrize("listens", [True, False])
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_socket_is_reachable_that_could_take_a_connection(
    tmp_path: Path, kind: socket.SocketKind, listens: bool
) -> None:
    with socket.socket(socket.AF_UNIX, kind) as bound:
        bound.bind(str(tmp_path / "tpm"))
        if listens and kind == socket.SOCK_STREAM:
            bound.listen()

        assert list(reachable([tmp_path / "tpm"])) == [tmp_path / "tpm"]
