"""Checks of `hanse doctor` that hold what settings permit against what this machine can hold."""

from __future__ import annotations

from collections.abc import Iterator

from hanse.config.settings import AggregatorSettings, Worker
from hanse.config.units import format_size
from hanse.doctor.checks import Finding, Grade
from hanse.sandbox.confine import Confined
from hanse.transport.server.open_files import MORE_FILES, room_under, too_few_files


def check_connections(settings: AggregatorSettings, files: int) -> Iterator[Finding]:
    """Hold the connections that an aggregator permits against the files that it may open."""
    wanted, room = settings.limits.connections, room_under(files)
    if room.connections < wanted:
        yield Finding("connections", Grade.WARN, too_few_files(wanted, room), MORE_FILES)
    else:
        yield Finding("connections", Grade.OK, f"{wanted} at a time; a process may open {files} files here")


def check_worker_limits(confined: Confined) -> Iterator[Finding]:
    """Say which limits of a worker the kernel holds on this machine, and which are only watched."""
    if not confined.watched:
        yield Finding("limits", Grade.OK, "the kernel holds the memory and the processes of plan code")
        return
    yield Finding(
        "limits",
        Grade.WARN,
        f"plan code is ended when it exceeds a limit, but can exceed it for a moment: "
        f"{'; '.join(confined.watched)}",
        "Run the service under a user of its own, and as a systemd service with `Delegate=memory pids`.",
    )


def check_worker_settings(worker: Worker) -> Iterator[Finding]:
    """Say whether plan code may take all of the machine's memory."""
    if worker.memory is None:
        yield Finding(
            "memory",
            Grade.WARN,
            "plan code may take all memory of this machine",
            "Set `worker: {memory: 8GB}` in the settings, with what the machine can spare.",
        )
    else:
        yield Finding("memory", Grade.OK, f"{format_size(worker.memory)} for the plan code of a run")
