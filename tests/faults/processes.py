"""Parties as processes that are started in a tenth of a second, and stop at gates where the tests may act."""

from __future__ import annotations

import json
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.integration.deployment import Started
from tests.processes import PATIENCE_S, until

_LAUNCHER = Path(__file__).parent / "launch" / "launcher.py"
_BACKLOG = 1_024


@dataclass(frozen=True)
class Step:
    """A step of the protocol that a process takes.

    Attributes:
        who: `aggregator`, or the name of a site.
        pid: The process.
        when: `before` the step or `after` it.
        what: Which step.
    """

    who: str
    pid: int
    when: str
    what: str

    @property
    def name(self) -> str:
        """The same in every life of the process."""
        where = "" if self.who == "aggregator" else f" at {self.who}"
        return f"{self.when} {self.what}{where}"


class Arrival:
    """A process at a gate that is held there."""

    def __init__(self, step: Step, connection: socket.socket) -> None:
        self.step = step
        self._connection = connection

    def release(self) -> None:
        """Let it go on, if it still can."""
        with suppress(OSError), self._connection:
            self._connection.sendall(b"\n")


class Gates:
    """Where processes say which step they take, and wait.

    Args:
        path: For the socket.

    Attributes:
        hold: Which steps are held, until somebody has taken their `Arrival` and released it; asked on
            another thread, one step at a time. All others pass at once.
        passed: Names of the steps, in the order in which processes came to them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.hold: Callable[[Step], bool] = lambda _: False
        self.passed: list[str] = []
        self._arrivals: queue.SimpleQueue[Arrival] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(_BACKLOG)
        self._thread = threading.Thread(target=self._serve, name="gates", daemon=True)
        self._thread.start()

    def next(self, patience_s: float = PATIENCE_S) -> Arrival | None:
        """Wait for the next process that is held; None where none comes in time."""
        with suppress(queue.Empty):
            return self._arrivals.get(timeout=patience_s)
        return None

    def open(self) -> None:
        """Hold nobody any more, nor whoever stands here."""
        self.hold = lambda _: False
        while (arrival := self.next(0.0)) is not None:
            arrival.release()

    def close(self) -> None:
        """Let go of everybody."""
        self.open()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        self.open()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._meet, args=(connection,), daemon=True).start()

    def _meet(self, connection: socket.socket) -> None:
        with connection.makefile() as lines:
            line = lines.readline()
        if not line:  # it was killed before it could say what it does
            connection.close()
            return
        step = Step(**json.loads(line))
        arrival = Arrival(step, connection)
        with self._lock:
            self.passed.append(step.name)
            held = self.hold(step)
        if held:
            self._arrivals.put(arrival)
        else:
            arrival.release()


class Launched:
    """A process that the launcher has started: what it is told, and what it ends with."""

    def __init__(self, launcher: Path, order: dict[str, object]) -> None:
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(str(launcher))
        self._connection.sendall(json.dumps(order).encode() + b"\n")
        self._lines = self._connection.makefile()
        self.pid = int(self._lines.readline())
        self._code: int | None = None

    def poll(self) -> int | None:
        """What it ended with; None as long as it runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0.0)
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end."""
        if self._code is None:
            ready, _, _ = select.select([self._connection], [], [], timeout)
            if not ready:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
            self._code = int(self._lines.readline())
            self._lines.close()
            self._connection.close()
        return self._code

    def send_signal(self, sig: int) -> None:
        """Signal it, as long as it runs."""
        if self.poll() is None:
            os.kill(self.pid, sig)


class Launcher:
    """Starts commands by forking a process that has imported everything already.

    Args:
        folder: For its sockets and the clocks of parties; its path has to be short.

    Attributes:
        gates: Where the parties stop.
        temporary: The parties' own directory for temporary files.
    """

    def __init__(self, folder: Path) -> None:
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.gates = Gates(folder / "gates")
        self._folder = folder
        self._socket = folder / "launcher"
        self._process = subprocess.Popen(
            [sys.executable, str(_LAUNCHER), str(self._socket)], stdin=subprocess.PIPE
        )
        until(self._listens, "the launcher")

    def start(self, log: Path, arguments: list[str]) -> Started:
        """Start a command; an aggregator or an agent with gates and a clock of its own."""
        who = _who(arguments)
        order: dict[str, object] = {
            "log": str(log),
            "arguments": arguments,
            "gate": str(self.gates.path) if who else "",
            "who": who,
            "clock": str(self.clock(who)),
            "environment": {"TMPDIR": str(self.temporary)},
        }
        log.touch()
        return Launched(self._socket, order)

    def clock(self, who: str) -> Path:
        """The file that sets the clock of a party: seconds ahead of the machine's."""
        return self._folder / f"clock-{who}"

    def set_clock(self, who: str, ahead_s: float) -> None:
        """Have the clock of a party jump."""
        clock = self.clock(who)
        part = clock.with_suffix(".part")
        part.write_text(str(ahead_s))
        part.replace(clock)

    def close(self) -> None:
        """End it, and whatever it has started and still runs."""
        self.gates.close()
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGKILL)
            raise

    def _listens(self) -> bool:
        assert self._process.poll() is None, "the launcher ended"
        with socket.socket(socket.AF_UNIX) as small_federation:
            try:
                small_federation.connect(str(self._socket))
            except OSError:
                time.sleep(0.02)
                return False
        return True


def _who(arguments: list[str]) -> str:
    """Whose process a command is: `aggregator`, the name of a site, or nobody's in particular."""
    match arguments:
        case ["aggregator", "start", *_]:
            return "aggregator"
        case ["collaborator", "start", "--site", place]:
            return Path(place).parent.name.partition("-")[2]
        case _:
            return ""
