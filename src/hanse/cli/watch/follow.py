"""A run followed to its end on a terminal."""

from __future__ import annotations

import asyncio

from hanse.cli.output import warn
from hanse.cli.watch.live import View
from hanse.control.client import ControlClient
from hanse.core.run.events import read_event
from hanse.errors import HanseError, ProtocolError, RunError
from hanse.wire.messages.runs import JournalRecord, RunStatus
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
                    _show(view, record)
                status = reply.status
                view.status(status)
                if status.held and not held:
                    warn(HELD)
                held = status.held
        finally:
            reminding.cancel()
    return status


def must_be_finished(status: RunStatus) -> None:
    """Tell a run that ended otherwise as an error.

    Raises:
        RunError: It failed or was stopped; says why.
    """
    if status.phase != "finished":
        how = "was stopped" if status.phase == "stopped" else status.phase
        raise RunError(
            f"run {status.run_id} {how}: {status.reason}",
            mend=f"`hanse run resume {status.run_id}` resumes the run where it stood.",
        )


async def _remind(view: View) -> None:
    while True:
        await asyncio.sleep(SILENCE_S)
        view.remind()


def _show(view: View, record: JournalRecord) -> None:
    try:
        view.event(read_event(record.kind, record.body), time_ms=record.time_ms)
    except ValueError as error:
        raise ProtocolError(
            f"the aggregator sent an event {record.kind}, which this version does not know",
            mend="Install the aggregator's version of Hanse.",
        ) from error
