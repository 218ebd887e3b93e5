"""A real federation on this machine for a benchmark: the commands that an operator types."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HANSE = [sys.executable, "-m", "hanse"]


def hanse(*arguments: str | Path, **options: Any) -> str:
    """Run a command to its end; what it printed."""
    done = subprocess.run([*HANSE, *map(str, arguments)], capture_output=True, text=True, **options)
    if done.returncode:
        raise SystemExit(f"hanse {' '.join(map(str, arguments))} failed:\n{done.stderr}")
    return done.stdout


@dataclass
class Deployment:
    """Processes of one federation.

    Attributes:
        directory: Of the aggregator.
        aggregator: Its process id.
    """

    root: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def directory(self) -> Path:
        return self.root / "federation"

    @property
    def aggregator(self) -> int:
        return self.processes[0].pid

    def start(self, *arguments: str | Path) -> None:
        log = (self.root / f"{len(self.processes)}.log").open("wb")
        self.processes.append(subprocess.Popen([*HANSE, *map(str, arguments)], stdout=log, stderr=log))

    def stop(self) -> None:
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def cpu_seconds(self) -> float:
        """Processor time so far of all processes of the federation, those that have ended included."""
        children: dict[int, list[int]] = {}
        for path in Path("/proc").iterdir():
            if path.name.isdigit() and (fields := _stat(int(path.name))):
                children.setdefault(int(fields[1]), []).append(int(path.name))
        pending, ticks = [process.pid for process in self.processes], 0
        while pending:
            pid = pending.pop()
            pending += children.get(pid, ())
            ticks += sum(map(int, _stat(pid)[11:15]))  # its own, and of children that it has waited for
        return ticks / os.sysconf("SC_CLK_TCK")

    def events(self, run_id: str) -> list[dict[str, Any]]:
        """The run's journal."""
        out = self.root / f"export-{run_id}"
        hanse("run", "export", run_id, "-d", self.directory, "-o", out)
        lines = next(out.rglob("journal.jsonl")).read_text().splitlines()
        return [json.loads(line) for line in lines[1:-1]]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def deployed(root: Path, sites: int, settings: Mapping[str, Any] | None = None) -> Iterator[Deployment]:
    """An aggregator and `sites` collaborators, enrolled through tokens, each a process.

    `settings` is put into each site.yaml.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that they end with this script
    deployment = Deployment(root)
    port = free_port()
    hanse(
        "federation",
        "create",
        deployment.directory,
        "--name",
        "bench",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    )
    try:
        deployment.start("aggregator", "start", deployment.directory)
        wait_for_port(port)
        for number in range(sites):
            name, folder = f"site-{number:03d}", root / f"site-{number:03d}"
            token = hanse("federation", "invite", name, "-d", deployment.directory).split()[-1]
            hanse("join", token, "--site", folder)
            file = folder / "site.yaml"
            file.write_text(accept_all(file.read_text(), settings or {}))
            deployment.start("collaborator", "start", "--site", folder)
        yield deployment
    finally:
        deployment.stop()


def accept_all(settings: str, more: Mapping[str, Any]) -> str:
    """site.yaml with a policy that accepts the benchmark's plans, and with more settings."""
    import yaml

    value = yaml.safe_load(settings)
    discloses: dict[str, Any] = {"update": "individual"}
    if "at_least" in settings:  # not in those of 0.1, which may be measured too
        discloses["at_least"] = 1
    value |= {"policy": {"accept": ["*"], "discloses": discloses}, **more}
    return yaml.safe_dump(value, sort_keys=False)


def wait_for_port(port: int, timeout_s: float = 20.0) -> None:
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit("the aggregator did not come up")


class MemoryWatch:
    """Samples a process's private memory until it is told to stop."""

    def __init__(self, pid: int) -> None:
        self.peak_bytes = 0
        self._pid = pid
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        self._done.set()
        self._thread.join()
        return self.peak_bytes

    def _sample(self) -> None:
        while not self._done.wait(0.02):
            self.peak_bytes = max(self.peak_bytes, private_bytes(self._pid))


def private_bytes(pid: int) -> int:
    """Anonymous memory of a process: what it alone holds. Mapped files are the page cache's.

    From `status`, which the kernel counts as it goes: to read `smaps_rollup` it walks every page of
    what is mapped, which fifty times a second took a share of what is measured.
    """
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("RssAnon:"))


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on; none where the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return []
