"""Memory and processor time of the processes of a federation, as Linux shows them under /proc."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local_processes import Child

_PROC = Path("/proc")
_LEAST_PAUSE_S = 1.0
_SHARE = 0.3
"""Most of the time that goes into looking: many processes are looked at less often."""
_PARENT, _USER, _SYSTEM = 1, 11, 12
"""Fields of /proc/PID/stat after the command's name, which may hold anything."""


@dataclass
class Meter:
    """Looks at all processes again and again, and keeps the largest sums.

    Memory is the proportional set size (PSS): pages that several processes share count once. Where the
    kernel does not show it, the resident set (RSS) counts, in which they count each time.

    Attributes:
        samples: How often it has looked.
        most_mib: Most memory of all processes at one time.
        most_by_kind_mib: The same by kind of process; each at its own time.
        processes: Processes at that time, by kind.
        shown: `PSS`, or `RSS` where the kernel does not show it.
    """

    samples: int = 0
    most_mib: float = 0.0
    most_by_kind_mib: dict[str, float] = field(default_factory=dict)
    processes: dict[str, int] = field(default_factory=dict)
    shown: str = "PSS"
    _cpu_s: dict[tuple[int, str], float] = field(default_factory=dict)
    _loopback: int | None = field(default_factory=lambda: loopback_bytes())
    _next: float = 0.0

    def look(self, children: Iterable[Child]) -> None:
        """Look at these processes and all that they have started, unless it did so just now."""
        begun = time.monotonic()
        if begun < self._next or not _PROC.is_dir():
            return
        parents = {pid: int(stat[_PARENT]) for pid, stat in _all_stats()}
        mib: dict[str, float] = defaultdict(float)
        count: dict[str, int] = defaultdict(int)
        for pid, kind in _kinds(parents, {child.process.pid: child.kind for child in children}).items():
            if (used := self._memory_mib(pid)) is not None:
                mib[kind] += used
                count[kind] += 1
            if (stat := _stat(pid)) is not None:
                ticks = int(stat[_USER]) + int(stat[_SYSTEM])
                self._cpu_s[pid, kind] = ticks / os.sysconf("SC_CLK_TCK")
        self.samples += 1
        for kind, used in mib.items():
            self.most_by_kind_mib[kind] = max(used, self.most_by_kind_mib.get(kind, 0.0))
        if sum(mib.values()) > self.most_mib:
            self.most_mib, self.processes = sum(mib.values()), dict(count)
        now = time.monotonic()
        self._next = now + max(_LEAST_PAUSE_S, (now - begun) / _SHARE)

    def as_json(self) -> dict[str, Any]:
        """What was seen."""
        cpu: dict[str, float] = defaultdict(float)
        for (_, kind), seconds in self._cpu_s.items():
            cpu[kind] += seconds
        now = loopback_bytes()
        moved = None if now is None or self._loopback is None else now - self._loopback
        return {
            "memory": self.shown,
            "most_mib": round(self.most_mib, 1),
            "most_by_kind_mib": {k: round(v, 1) for k, v in sorted(self.most_by_kind_mib.items())},
            "processes_at_most": dict(sorted(self.processes.items())),
            "processor_s": {kind: round(seconds, 1) for kind, seconds in sorted(cpu.items())},
            "loopback_bytes": moved,
            "samples": self.samples,
        }

    def _memory_mib(self, pid: int) -> float | None:
        try:
            for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    return int(line.split()[1]) / 1024
        except PermissionError:
            self.shown = "RSS"
        except OSError:
            return None  # it ended meanwhile
        try:
            pages = int((_PROC / str(pid) / "statm").read_text().split()[1])
        except (OSError, IndexError):
            return None
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def loopback_bytes() -> int | None:
    """Bytes that went over loopback since the machine began, of all programs; None where not shown."""
    try:
        lines = (_PROC / "self/net/dev").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.split()[0] == "lo:"), None)


def _kinds(parents: Mapping[int, int], roots: Mapping[int, str]) -> dict[int, str]:
    """Kind of each process: of a root its own, of what it has started `workers of ...`."""
    below: dict[int, list[int]] = defaultdict(list)
    for pid, parent in parents.items():
        below[parent].append(pid)
    found = dict(roots)
    for root, kind in roots.items():
        generation = below[root]
        while generation:
            found.update(dict.fromkeys(generation, f"workers of {kind}"))
            generation = [child for pid in generation for child in below[pid]]
    return found


def _all_stats() -> Iterable[tuple[int, list[str]]]:
    for path in _PROC.iterdir():
        if path.name.isdigit() and (stat := _stat(int(path.name))) is not None:
            yield int(path.name), stat


def _stat(pid: int) -> list[str] | None:
    try:
        return (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None  # it ended meanwhile
