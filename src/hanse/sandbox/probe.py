"""How far workers can be confined on this machine, found out by confining one."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hanse.sandbox.channel import Channel
from hanse.sandbox.confine import Confined, Confinement, default_processes
from hanse.sandbox.process import WorkerProcess, WorkerSpec

_MEMORY = 1 << 30


async def available() -> Confined:
    """Confine a short-lived worker, with a limit of each kind, and say what took effect.

    Raises:
        TaskError: No worker can be started at all.
    """
    with tempfile.TemporaryDirectory(prefix="hanse-probe-") as directory:
        worker = await WorkerProcess.start(
            WorkerSpec(
                module=__name__,
                workspace=Path(directory, "work"),
                log=Path(directory, "log"),
                confinement=Confinement(memory_bytes=_MEMORY, processes=default_processes()),
            )
        )
        await worker.stop()
        return worker.confined


def main(channel: Channel, confined: Confined, arguments: tuple[str, ...]) -> None:
    """Be the worker that is confined, and no more."""
