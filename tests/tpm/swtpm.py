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
    """A TPM with its state in a folder, powered on and started; ended, as by a cut of power, at the end.

    The path of the folder has to be short: sockets lie in it.
    """
    server, control = folder / "tpm.sock", folder / "ctrl.sock"
    arguments = [
        *("socket", "--tpm2", "--tpmstate", f"dir={folder}", "--flags", "not-need-init"),
        *("--server", f"type=unixio,path={server}", "--ctrl", f"type=unixio,path={control}"),
    ]
    process = subprocess.Popen(
        [str(SWTPM), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with _connected(server, process) as connection:
            client = TpmClient(connection)
            client.start()
            yield client
    finally:
        process.terminate()
        try:
            process.wait(_WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        server.unlink(missing_ok=True)
        control.unlink(missing_ok=True)


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
