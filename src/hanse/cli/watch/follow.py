"""A run followed to its end on a terminal."""

from __future__ import annotations

import asyncio

from hanse.cli.output import warn
from hanse.cli.watch.journal import read_record
from hanse.cli.watch.live import View
from hanse.control.client import ControlClient
from hanse.core.run.run_events import RunFailed, RunStopped
from hanse.errors import HanseError, RunError
from hanse.wire.messages.runs import EventsReply, JournalRecord, RunStatus
from hanse.wire.wording import HELD

SILENCE_S = 3.0
"""How long nothing may have been told until it is said who is waited for."""


def warn_of_retry(error: HanseError, _attempt: int, delay_s: float) -> None:
    """Say that the aggregator is away, and that it is waited for."""
    warn(f"{error.message}; trying again in {delay_s:.1f} s")


async def follow(client: ControlClient, run_id: str, view: View) -> RunStatus:
    """Show a run until it ends, also while the aggregator is away; the run as it then stands."""
    held = False
    with view:
        reminding = asyncio.create_task(_remind(view))
        try:
            async for reply in client.follow(run_id):
                for record in reply.records:
                    _show(view, record, silent=record is _end(reply))
                status = reply.status
                view.status(status)
                if status.held and not held:
                    warn(HELD)
                held = status.held
        finally:
            reminding.cancel()
    return status


_OF_THE_PLAN = frozenset({"workflow", "plan", "disclosure", "policy", "update"})
"""Codes of errors that a resumed run meets again, as long as the plan is the same."""


def must_be_finished(status: RunStatus, resume: str = "") -> None:
    """Tell a run that ended otherwise as an error.

    Args:
        status: The run.
        resume: The command that resumes it; empty where there is none.

    Raises:
        RunError: It failed or was stopped; says why.
    """
    if status.phase == "finished":
        return
    how = "was stopped" if status.phase == "stopped" else status.phase
    mend = ""
    if status.phase == "stopped" and resume:
        mend = f"`{resume}` resumes the run where it stood."
    elif status.error in _OF_THE_PLAN:
        mend = "Correct the plan and submit it again: if the plan is at fault, a resumed run fails again."
    elif resume:
        mend = f"Once the cause is fixed, `{resume}` resumes the run where it stood."
    raise RunError(f"run {status.run_id} {how}: {status.reason.rstrip('.')}", mend=mend)


async def _remind(view: View) -> None:
    while True:
        await asyncio.sleep(SILENCE_S)
        view.remind()


def _end(reply: EventsReply) -> JournalRecord | None:
    """Find the end of a run that did not finish: it is shown as the command's error."""
    if reply.status.phase not in ("failed", "stopped"):
        return None
    kinds = (RunFailed.__name__, RunStopped.__name__)
    return next((record for record in reversed(reply.records) if record.kind in kinds), None)


def _show(view: View, record: JournalRecord, *, silent: bool) -> None:
    view.event(read_record(record), silent=silent, time_ms=record.time_ms)
