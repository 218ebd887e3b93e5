"""A command of Hanse with a gate before and after each step of the protocol, at which the tests may act.

A step is an append to a run's journal, a file of a run's worker that is taken in, a request that is
served, a call of a run's worker that is answered, an order to a task worker or its report. A process
that comes to a gate says so over a socket of the tests, and waits for their leave: so a fault comes at
that very step, each time.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Callable
from dataclasses import MISSING, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hanse import assembly
from hanse.aggregator.hosting import WorkflowHost
from hanse.cli import runs
from hanse.collaborator import workers
from hanse.collaborator.premises import Premises
from hanse.collaborator.progress import Progress
from hanse.core.membership import STREAM
from hanse.storage import blobs_file
from hanse.storage.blobs_file import FileBlobStore
from hanse.storage.journal_sql import SqlJournal
from hanse.transport import https_bulk
from hanse.transport.address import Patience
from hanse.transport.https_client import HttpsUpstream
from hanse.transport.https_server import HttpsServer
from hanse.transport.replies import certificate_of
from hanse.transport.retry import Retry
from hanse.transport.routes import find

PATIENCE = Patience(connect_s=5.0, idle_s=8.0)
"""Of agents: shorter than usual, so that a network that swallows everything takes no minute."""
RETRY = Retry(first_s=0.1, longest_s=2.0)
"""Of agents and operators: quicker than usual, because somebody comes back at once."""
_FACTS = ("exchange", "round_number", "site")


class Gate:
    """Where this process waits for the tests' leave.

    Args:
        path: Of the tests' socket.
        who: `aggregator`, or the name of a site.
    """

    def __init__(self, path: str, who: str) -> None:
        self._path = path
        self._who = who

    def pass_(self, when: str, what: str) -> None:
        """Say where this process stands, and wait until it may go on; at once where nobody listens."""
        step = {"who": self._who, "pid": os.getpid(), "when": when, "what": what}
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(self._path)
                connection.sendall(json.dumps(step).encode() + b"\n")
                connection.recv(1)
        except OSError:
            pass  # the tests have let go of it

    async def passed(self, when: str, what: str) -> None:
        """The same from an event loop, which goes on meanwhile."""
        await asyncio.to_thread(self.pass_, when, what)


def put_up(gate: Gate, clock: Path) -> None:
    """Put up the gates in this process, and let its clock be set by a file."""
    _tell_time(clock)
    _at_the_journal(gate)
    _at_copies(gate)
    _at_requests(gate)
    _at_calls(gate)
    _at_tasks(gate)
    _treat_as_large()
    HttpsUpstream.__init__.__kwdefaults__["patience"] = PATIENCE
    _replace_default(Premises, "retry", RETRY)


def _treat_as_large() -> None:
    """Have small models go the way of large ones, by threads, over files that are there; so short tasks."""
    https_bulk.WORTH_LENDING = 1
    FileBlobStore.__init__.__kwdefaults__["spare_from"] = 1
    Progress.__init__.__kwdefaults__["first_s"] = 0.0


def be_quick() -> None:
    """Have a command that asks the aggregator try again quickly."""
    runs.PATIENT = replace(runs.PATIENT, first_s=RETRY.first_s, longest_s=RETRY.longest_s)


def _replace_default(kind: Any, name: str, value: object) -> None:
    """Change the value that a field of a data class has where none is given."""
    given = [field.name for field in fields(kind) if _has_default(field)]
    defaults = list(kind.__init__.__defaults__)
    defaults[given.index(name)] = value
    kind.__init__.__defaults__ = tuple(defaults)


def _has_default(field: Any) -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING


def _tell_time(clock: Path) -> None:
    def now() -> datetime:
        try:
            ahead_s = float(clock.read_text())
        except (OSError, ValueError):  # nobody has set it
            ahead_s = 0.0
        return datetime.now(UTC) + timedelta(seconds=ahead_s)

    assembly.now = now


def _at_the_journal(gate: Gate) -> None:
    append: Callable[..., Any] = SqlJournal.append

    def gated(self: SqlJournal, stream: str, entries: Any, *, time_ms: int) -> Any:
        if stream == STREAM:
            return append(self, stream, entries, time_ms=time_ms)
        what = "journal " + ", ".join(_entry(kind, body) for kind, body in entries)
        gate.pass_("before", what)
        added = append(self, stream, entries, time_ms=time_ms)
        gate.pass_("after", what)
        return added

    SqlJournal.append = gated  # type: ignore[method-assign]


def _entry(kind: str, body: dict[str, Any]) -> str:
    return " ".join([kind, *(f"{name}={body[name]}" for name in _FACTS if name in body)])


def _at_copies(gate: Gate) -> None:
    """A file that was copied is whole, but not in its place yet."""
    copy = blobs_file.copy_hashed

    def gated(source: Any, target: Any, most: int, *how: Any) -> Any:
        copied = copy(source, target, most, *how)
        gate.pass_("after", f"copy of {most} bytes")
        return copied

    blobs_file.copy_hashed = gated


def _at_requests(gate: Gate) -> None:
    respond = HttpsServer._respond

    async def gated(self: HttpsServer, request: Any) -> Any:
        routes, _ = find(request.path)
        route, certificate = routes.get(request.method), certificate_of(request)
        if route is None or certificate is None:
            return await respond(self, request)
        party = self._service.admit(certificate)
        what = f"{route.method} {route.path} by {party.name}"
        await gate.passed("before", what)
        response = await respond(self, request)
        await gate.passed("after", what)
        return response

    HttpsServer._respond = gated  # type: ignore[method-assign]


def _at_calls(gate: Gate) -> None:
    handle = WorkflowHost.handle

    async def gated(self: WorkflowHost, call: Any) -> Any:
        facts = [str(getattr(call, name)) for name in ("round_number", "task") if hasattr(call, name)]
        what = " ".join(["call", call.call, *facts])
        await gate.passed("before", what)
        answer = await handle(self, call)
        await gate.passed("after", what)
        return answer

    WorkflowHost.handle = gated  # type: ignore[method-assign]


def _at_tasks(gate: Gate) -> None:
    tell, report = workers._tell, workers._report

    async def gated_tell(worker: Any, order: Any) -> Any:
        what = f"order {order.task} {order.round_number}"
        await gate.passed("before", what)
        told = await tell(worker, order)
        await gate.passed("after", what)
        return told

    async def gated_report(worker: Any, order: Any) -> Any:
        what = f"report {order.task} {order.round_number}"
        reported = await report(worker, order)
        await gate.passed("after", what)
        return reported

    workers._tell, workers._report = gated_tell, gated_report
