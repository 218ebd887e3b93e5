"""Checks of `hanse doctor` that hold what settings permit against what this machine can hold."""

from __future__ import annotations

from collections.abc import Iterator

from hanse.config.settings import AggregatorSettings
from hanse.doctor.checks import Finding, Grade
from hanse.transport.server.open_files import MORE_FILES, room_under, too_few_files


def check_connections(settings: AggregatorSettings, files: int) -> Iterator[Finding]:
    """Hold the connections that an aggregator permits against the files that it may open."""
    wanted, room = settings.limits.connections, room_under(files)
    if room.connections < wanted:
        yield Finding("connections", Grade.WARN, too_few_files(wanted, room), MORE_FILES)
    else:
        yield Finding("connections", Grade.OK, f"{wanted} at a time; a process may open {files} files here")
