"""A software TPM (swtpm) as a process of its own, whose start the tests play."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.tpm.client import TpmClient

SWTPM = shutil.which("swtpm")
_WAIT_S = 20.0


@contextmanager
def running(folder: Path) -> Iterator[TpmClient]:
    """A TPM as `served` has it, with a connection."""
    with served(folder) as server, connected(server) as client:
        yield client


@contextmanager
def served(folder: Path) -> Iterator[Path]:
    """A TPM with its state in a folder, powered on and started; ended, as by a cut of power, at the end.

    The path of the folder has to be short: sockets lie in it. The TPM takes one connection after the other.

    Yields:
        Its socket. Beside it lies that of its control channel, where the TPM2 software stack looks for it.
    """
    server = folder / "tpm.sock"
    control = folder / "tpm.sock.ctrl"
    arguments = [
        *("socket", "--tpm2", "--tpmstate", f"dir={folder}", "--flags", "not-need-init,startup-clear"),
        *("--server", f"type=unixio,path={server}", "--ctrl", f"type=unixio,path={control}"),
    ]
    process = subprocess.Popen(
        [str(SWTPM), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _connected(server, process).close()
        yield server
    finally:
        process.terminate()
        try:
            process.wait(_WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        server.unlink(missing_ok=True)
        control.unlink(missing_ok=True)


@contextmanager
def connected(server: Path) -> Iterator[TpmClient]:
    """A connection to a TPM that is served; nothing else may have one."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_WAIT_S)
        connection.connect(str(server))
        yield TpmClient(connection)


def _connected(path: Path, process: subprocess.Popen[bytes]) -> socket.socket:
    end = time.monotonic() + _WAIT_S
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(path))
        except OSError:
            connection.close()
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"swtpm did not start: exit status {process.poll()}") from None
            time.sleep(0.02)
        else:
            connection.settimeout(_WAIT_S)
            return connection
