"""A command of Hanse with a gate before and after each step of the protocol, at which the tests may act.

A step is an append to a run's journal or to a site's, a file of a run's worker that is taken in, a request
that is served, a call of a run's worker that is answered, an order to a task worker or its report, a step of
a site's part in a masked sum. A process that comes to a gate says so over a socket of the tests, and waits
for their leave: so a fault comes at that very step, each time.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hanse import fault_points
from hanse.assembly import tuning
from hanse.core.journal.membership import STREAM
from hanse.core.journal.site_records import STREAM as SITE
from hanse.fault_points import Facts, FaultPoint
from hanse.transport.client.address import Patience
from hanse.transport.client.retry import Retry

PATIENCE = Patience(connect_s=5.0, idle_s=8.0)
"""Of agents: shorter than usual, so that a network that swallows everything takes no minute."""
RETRY = Retry(first_s=0.1, longest_s=2.0)
"""Of agents and operators: quicker than usual, because somebody comes back at once."""
_FACTS = ("exchange", "round_number", "site")


class Gate:
    """Where this process waits for the tests' leave: an observer of Hanse's fault points.

    Args:
        path: Of the tests' socket.
        who: `aggregator`, or the name of a site.
    """

    def __init__(self, path: str, who: str) -> None:
        self._path = path
        self._who = who

    def reached(self, point: FaultPoint, facts: Facts) -> None:
        """Say where this process stands, and wait until it may go on; at once where nobody listens."""
        when, _, kind = point.partition(" ")
        what = _STEPS[kind](facts)
        if what is None:
            return
        step = {"who": self._who, "pid": os.getpid(), "when": when, "what": what}
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(self._path)
                connection.sendall(json.dumps(step).encode() + b"\n")
                connection.recv(1)
        except OSError:
            pass  # the tests have let go of it

    async def reached_async(self, point: FaultPoint, facts: Facts) -> None:
        """The same from an event loop, which goes on meanwhile."""
        await asyncio.to_thread(self.reached, point, facts)


def put_up(gate: Gate, clock: Path) -> None:
    """Put up the gates in this process, and let its clock be set by a file."""
    fault_points.observer = gate
    tuning.current = replace(
        tuning.current,
        clock=_told_by(clock),
        patience=PATIENCE,
        # Small models go the way of large ones, by threads, over files that are there; so do short tasks.
        worth_lending=1,
        recycle_from=1,
        first_sign_s=0.0,
    )


def be_quick() -> None:
    """Have a command that asks the aggregator try again quickly."""
    tuning.current = replace(tuning.current, retry=RETRY)


def _told_by(clock: Path) -> Callable[[], datetime]:
    def now() -> datetime:
        try:
            ahead_s = float(clock.read_text())
        except (OSError, ValueError):  # nobody has set it
            ahead_s = 0.0
        return datetime.now(UTC) + timedelta(seconds=ahead_s)

    return now


def _append(facts: Facts) -> str | None:
    if facts["stream"] == STREAM:
        return None
    entries: Any = facts["entries"]
    return ("record " if facts["stream"] == SITE else "journal ") + ", ".join(
        _entry(kind, body) for kind, body in entries
    )


def _entry(kind: str, body: dict[str, Any]) -> str:
    return " ".join([kind, *(f"{name}={body[name]}" for name in _FACTS if name in body)])


def _call(facts: Facts) -> str:
    names = ("call", "round_number", "task")
    return " ".join(["call", *(str(facts[name]) for name in names if name in facts)])


_STEPS: dict[str, Callable[[Facts], str | None]] = {
    "append": _append,
    "copy": lambda facts: f"copy of {facts['most']} bytes",
    "request": lambda facts: f"{facts['method']} {facts['path']} by {facts['party']}",
    "call": _call,
    "order": lambda facts: f"order {facts['task']} {facts['round_number']}",
    "report": lambda facts: f"report {facts['task']} {facts['round_number']}",
    "key": lambda facts: f"key {facts['step']}",
    "sum": lambda facts: f"sum {facts['step']}",
}
"""The name of a step, by the kind of its point; None where a step has no gate."""
