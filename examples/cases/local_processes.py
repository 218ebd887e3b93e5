"""Processes of one federation on one machine: started, watched, and all ended with this one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_GRACE_S = 20.0
"""How long all processes together may take to end when they are asked to."""
_TAIL_BYTES = 3_000
_PAUSE_S = 0.1


@dataclass(frozen=True)
class Child:
    """A process of a party.

    Attributes:
        name: Whose it is, for people.
        kind: What it counts as in a sum over processes, such as `agents`.
        process: Leads a process group of its own.
        log: What it prints; None where it prints to this program's output.
    """

    name: str
    kind: str
    process: subprocess.Popen[bytes]
    log: Path | None

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Signal the process and all that it has started, as far as they are there."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def says(self, text: str, patience_s: float) -> str:
        """Wait until its log has a line with this text; the line."""
        end = time.monotonic() + patience_s
        while self.runs and time.monotonic() < end:
            for line in self._read().splitlines():
                if text in line:
                    return line
            time.sleep(_PAUSE_S)
        if self.runs:
            raise SystemExit(f"{self.name} was not ready after {patience_s:g} s{self._tail()}")
        raise self.death()

    def death(self) -> SystemExit:
        """Say in words how it ended, with the end of its log."""
        code = self.process.wait()
        how = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
        return SystemExit(f"the process of {self.name} {how}{self._tail()}")

    def _read(self) -> str:
        return self.log.read_text("utf-8", "replace") if self.log else ""

    def _tail(self) -> str:
        tail = self._read()[-_TAIL_BYTES:].strip()
        return f"; the end of {self.log}:\n{tail}" if tail else ""


class Children:
    """Processes that all end when the block ends, whatever ends it: success, an error, Ctrl-C, SIGTERM.

    If this process is killed, they end too: `hanse.cli.demo.child` is the program `hanse` which ends
    once nobody holds the other end of its standard input.
    """

    def __init__(self) -> None:
        self.all: list[Child] = []

    def start(self, name: str, kind: str, arguments: Sequence[str], log: Path | None = None) -> Child:
        """Start a command of Hanse.

        Args:
            name: Whose it is, for people.
            kind: See `Child`.
            arguments: The command line after `hanse`.
            log: File for all that it prints; None for this program's own output.
        """
        output = None
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            output = log.open("wb")
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "hanse.cli.demo.child", *arguments],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for this program, which then ends its children
            )
        finally:
            if output is not None:
                output.close()
        child = Child(name, kind, process, log)
        self.all.append(child)
        return child

    def wait_for(self, child: Child, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Wait until a command has done its work, for which all others are needed.

        Args:
            child: The command.
            meanwhile: Called again and again while it works.
        """
        others = [other for other in self.all if other is not child and other.runs]
        while child.runs:
            for other in others:
                if not other.runs:
                    raise other.death()
            meanwhile()
            time.sleep(_PAUSE_S)
        if child.process.returncode:
            raise child.death()

    def end(self) -> None:
        """End all, with everything that they have started."""
        for child in self.all:
            child.send(signal.SIGCONT)  # one that stands still could not end
            with suppress(ProcessLookupError):
                child.process.terminate()
        deadline = time.monotonic() + _GRACE_S
        for child in self.all:
            with suppress(subprocess.TimeoutExpired):
                child.process.wait(max(deadline - time.monotonic(), 0))
        for child in self.all:
            child.send(signal.SIGKILL)
        for child in self.all:
            child.process.wait()
            if child.process.stdin is not None:
                child.process.stdin.close()


@contextmanager
def children() -> Iterator[Children]:
    """A block for processes that do not outlive it."""
    found = Children()
    with _ended_by(signal.SIGTERM, signal.SIGHUP):
        try:
            yield found
        finally:
            with _deaf_to(signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                found.end()


def _ended_by(*numbers: signal.Signals) -> Any:
    def end(number: int, _: object) -> None:
        sys.exit(128 + number)  # what a shell expects of a program that a signal ended

    heard = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]  # by nohup
    return _handling(end, *heard)


def _deaf_to(*numbers: signal.Signals) -> Any:
    return _handling(signal.SIG_IGN, *numbers)


@contextmanager
def _handling(handler: Any, *numbers: signal.Signals) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
