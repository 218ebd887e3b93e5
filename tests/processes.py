"""Processes as Linux shows them: those that another has started, and whether they still run."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

PATIENCE_S = 60.0
"""How long a test waits for what has to come; the machine may be busy."""

VISIBLE = Path("/proc/self/stat").exists()
"""Whether processes can be found at all."""

_STATE, _PARENT, _BEGUN = 0, 1, 19
"""Fields of /proc/PID/stat after the command's name, which may hold anything."""


@dataclass(frozen=True)
class Process:
    """A process, told from a later one that has the same number by when it began.

    Attributes:
        command: Its command line.
    """

    pid: int
    begun: str
    command: str

    @property
    def runs(self) -> bool:
        """Whether it has not ended; a zombie has."""
        stat = _stat(self.pid)
        return stat is not None and stat[_BEGUN] == self.begun and stat[_STATE] not in "ZX"

    @property
    def stopped(self) -> bool:
        """Whether it stands still, until it is told to go on."""
        stat = _stat(self.pid)
        return stat is not None and stat[_BEGUN] == self.begun and stat[_STATE] == "T"

    def send(self, number: signal.Signals) -> None:
        """Signal it, if it is still there."""
        if self.runs:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


def below(pid: int) -> list[Process]:
    """All processes that a process has started, and that these have: children after their parents."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*"):
        if (stat := _stat(int(path.name))) is not None:
            children.setdefault(int(stat[_PARENT]), []).append(int(path.name))
    found, generation = [], [pid]
    while generation := [child for parent in generation for child in sorted(children.get(parent, ()))]:
        found += [process for child in generation if (process := _process(child)) is not None]
    return found


def until(look: Callable[[], T | None], what: str, patience_s: float = PATIENCE_S) -> T:
    """Wait until there is something to see, at most `patience_s` seconds."""
    deadline = time.monotonic() + patience_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited {patience_s:g} s in vain for {what}"
        time.sleep(0.01)
    return found


def _process(pid: int) -> Process | None:
    stat = _stat(pid)
    try:
        command = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return None
    return None if stat is None else Process(pid, stat[_BEGUN], command)


def _stat(pid: int) -> list[str] | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None  # it ended meanwhile
