"""What every opponent's script needs: environment, processes, the watch over them, a cell's figures."""

from __future__ import annotations

import ctypes
import itertools
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

JOBS = Path(__file__).resolve().parent / "jobs"
TENSORS = 10
START_S = 120.0  # for each command and each server before the rounds
# Nothing of this may leave the machine, and nobody's libraries may take more threads than the others'.
QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "GRPC_VERBOSITY": "ERROR",
    "NO_PROXY": "127.0.0.1,localhost",
    "no_proxy": "127.0.0.1,localhost",
    "PYTHONUNBUFFERED": "1",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """What is asked of every system alike.

    Attributes:
        sites: Collaborators.
        megabytes: Of the model (1 MB is 1e6 bytes), float32 in `TENSORS` equal tensors.
        rounds: Timed at most; the first round comes before them.
        limit_s: Seconds after which one timed round is enough; after three times as many it
            has to do without.
        tuned: Whether the system's documented intervals are set as low as they go.
    """

    sites: int
    megabytes: float
    rounds: int
    limit_s: float
    tuned: bool = False

    @property
    def count(self) -> int:
        """Elements of one tensor."""
        return int(self.megabytes * 1e6) // 4 // TENSORS


@dataclass(frozen=True, slots=True)
class Figures:
    """What came out of a cell.

    Attributes:
        system: Name of what was measured.
        version: Its version.
        rounds: Seconds of each timed round, in order. Empty: it did not get through two rounds.
        peak_bytes: Most private memory of the server's processes together.
        cpu_seconds_a_round: Processor time of the server's processes, over the timed rounds.
        reason: Why there are fewer rounds than asked for, or "".
    """

    system: str
    version: str
    rounds: list[float]
    peak_bytes: int
    cpu_seconds_a_round: float | None
    reason: str = ""

    @property
    def seconds(self) -> float | None:
        """Median over the timed rounds."""
        return statistics.median(self.rounds) if self.rounds else None

    def row(self) -> dict[str, Any]:
        """As it stands in the JSON file."""
        return asdict(self)


class DidNotFinishError(Exception):
    """A system ended, or ran out of time, before it had done its rounds."""


def cache() -> Path:
    """Where the opponents' environments are kept from one call to the next."""
    return Path(os.environ.get("HANSE_PEERS_CACHE", Path(tempfile.gettempdir()) / "hanse-peers"))


def environment(name: str, *requirements: str) -> Path:
    """The `bin` folder of a virtual environment that holds `requirements`; made if it is missing."""
    home = cache() / name
    done, asked = home / ".installed", "\n".join(requirements)
    if not (done.exists() and done.read_text() == asked):
        print(f"installing {', '.join(requirements)} in {home}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, *requirements], check=True)
        done.write_text(asked)
    return home / "bin"


def version_of(bin_: Path, package: str) -> str:
    """The version of a package in an environment."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.run(
        [bin_ / "python", "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()


@dataclass
class Group:
    """Processes of one system, each with its log; all of them, and theirs, end with it.

    Attributes:
        root: Folder of the cell; it is removed with it.
        bin: Of the environment that they run in.
        env: What the processes are started with.
    """

    root: Path
    bin: Path
    env: dict[str, str]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def log(self, name: str) -> Path:
        """What the process named so has printed."""
        return self.root / f"{name}.log"

    def run(self, command: Iterable[str | Path], cwd: Path | None = None) -> None:
        """Run a command to its end."""
        words = [str(word) for word in command]
        log = self.log("commands")
        with log.open("w+") as out:
            try:
                done = subprocess.run(
                    words,
                    env=self.env,
                    cwd=cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    timeout=START_S,
                )
            except subprocess.TimeoutExpired:
                raise DidNotFinishError(f"{' '.join(words[:3])} took over {START_S:.0f} s") from None
        if done.returncode:
            raise DidNotFinishError(f"{' '.join(words[:3])} failed: {tail(log.read_text(errors='replace'))}")

    def start(self, name: str, command: Iterable[str | Path], cwd: Path, **env: str) -> int:
        """Start a process that stays; its id."""
        with self.log(name).open("wb") as log:
            process = subprocess.Popen(
                [str(word) for word in command],
                cwd=cwd,
                env=self.env | env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.processes[name] = process
        return process.pid

    def ended(self) -> str:
        """Name of a process that is no more, with the end of its log; "" while all live."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                log = tail(self.log(name).read_text(errors="replace"))
                return f"{name} ended with {process.returncode}: {log}"
        return ""

    def end(self) -> None:
        """End every process, and what they have started, by id."""
        for process in self.processes.values():
            process.terminate()
        until = time.monotonic() + 5
        while time.monotonic() < until and any(p.poll() is None for p in self.processes.values()):
            time.sleep(0.05)
        # Those who outlived a parent are children of this process by now (see `group`).
        while family := descendants(os.getpid()):
            for pid in family:
                _kill(pid)
            for process in self.processes.values():
                process.poll()
            _reap()
            time.sleep(0.02)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


@contextmanager
def group(name: str, bin_: Path, **env: str) -> Iterator[Group]:
    """A folder and a group of processes for one cell; nothing is left of either."""
    # PR_SET_CHILD_SUBREAPER: a process whose parent dies becomes ours, so that none can hide.
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory(prefix=f"peers-{name}-", ignore_cleanup_errors=True) as folder:
        values: Mapping[str, str] = os.environ | QUIET | {"HOME": folder, "TMPDIR": folder} | env
        members = Group(Path(folder), bin_, {**values, "PATH": f"{bin_}:{values['PATH']}"})
        members.env.pop("PYTHONPATH", None)
        try:
            yield members
        finally:
            members.end()


def tail(text: str, characters: int = 300) -> str:
    """The end of a log, on one line."""
    return " ".join(text.split())[-characters:]


def descendants(pid: int) -> list[int]:
    """Process ids of the children of a process, theirs, and so on."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            children.setdefault(_stat(int(entry.name))[0], []).append(int(entry.name))
    found, queue = [], [pid]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def _stat(pid: int) -> tuple[int, int]:
    """Parent of a process and clock ticks that it, and its ended children, have used; zeros if it is gone."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0, 0
    return int(words[1]), sum(int(word) for word in words[11:15])


def _private(pid: int) -> int:
    """Anonymous memory of a process in bytes.

    The same pages that `smaps_rollup` counts as Anonymous; but from a counter: walking the
    page tables of a process of 10 GB would hold it up.
    """
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("RssAnon:"))


class Watch:
    """Samples private memory and processor time of a process and all below it, ten times a second."""

    def __init__(self, *pids: int) -> None:
        self.peak_bytes = 0
        self._pids, self._cpu = pids, [(time.time(), 0.0)]
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Sample no more."""
        self._done.set()
        self._thread.join()

    def cpu_seconds(self, start: float, stop: float) -> float:
        """Processor time between two times (of `time.time`)."""
        return self._cpu_until(stop) - self._cpu_until(start)

    def _cpu_until(self, when: float) -> float:
        return [cpu for at, cpu in self._cpu if at <= when or at == self._cpu[0][0]][-1]

    def _sample(self) -> None:
        tick, most = os.sysconf("SC_CLK_TCK"), 0.0
        while not self._done.wait(0.1):
            tree = [pid for root in self._pids for pid in (root, *descendants(root))]
            self.peak_bytes = max(self.peak_bytes, sum(_private(pid) for pid in tree))
            # A process that ends takes its time along until its parent has waited for it.
            most = max(most, sum(_stat(pid)[1] for pid in tree) / tick)
            self._cpu.append((time.time(), most))


def listens(port: int) -> bool:
    """Whether somebody answers at a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(what: str, done: Callable[[], object], members: Group, timeout_s: float) -> None:
    """Wait until `done`; a process that ends, or the end of the time, is a reason to give up."""
    until = time.monotonic() + timeout_s
    while not done():
        if ended := members.ended():
            raise DidNotFinishError(ended)
        if time.monotonic() > until:
            raise DidNotFinishError(f"no {what} after {timeout_s:.0f} s")
        time.sleep(0.02)


class Marks:
    """Reads at what times a system's own hook saw a round closed.

    The hook writes a line a round, `time value`, where the value is one element of the new
    model. Each round adds one to it: a system that had not done its work would be found out.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self) -> list[float]:
        text = self._path.read_text() if self._path.exists() else ""
        lines = [line.split() for line in text.splitlines(keepends=True) if line.endswith("\n")]
        for number, (_, value) in enumerate(lines, start=1):
            if abs(float(value) - number) > 1e-3:
                raise DidNotFinishError(f"round {number} gave {value}, where {number} is right")
        return [float(at) for at, _ in lines]


def watched(
    who: tuple[str, str], cell: Cell, members: Group, server: int, closings: Callable[[], list[float]]
) -> Figures:
    """Wait for the rounds of a system that is under way, and give their figures.

    Args:
        who: Name and version of the system.
        cell: What was asked of it.
        members: Its processes.
        server: Process id of its server.
        closings: Gives the times (of `time.time`) at which rounds were closed so far.
    """
    watch, reason = Watch(server), ""
    closed: list[float] = []
    enough = time.monotonic() + cell.limit_s

    def done() -> bool:
        closed[:] = closings()
        return len(closed) > cell.rounds or (len(closed) > 1 and time.monotonic() > enough)

    try:
        wait_for("timed round", done, members, 3 * cell.limit_s)
    except DidNotFinishError as error:
        reason = str(error)
    watch.stop()
    del closed[cell.rounds + 1 :]
    if reason:
        reason = f"{len(closed)} rounds done; {reason}"
    times = [later - earlier for earlier, later in itertools.pairwise(closed)]
    cpu = watch.cpu_seconds(closed[0], closed[-1]) / len(times) if times else None
    return Figures(*who, times, watch.peak_bytes, cpu, reason)
