"""Events of a run, from the journal that its aggregator keeps."""

from __future__ import annotations

from hanse.control.client import ControlClient
from hanse.core.run.events import Event, read_event
from hanse.errors import ProtocolError
from hanse.plots.record import RunRecord
from hanse.wire.messages.runs import JournalRecord


def read_record(record: JournalRecord) -> Event:
    """The event of a record.

    Raises:
        ProtocolError: This version does not know such an event.
    """
    try:
        return read_event(record.kind, record.body)
    except ValueError as error:
        raise ProtocolError(
            f"the aggregator sent an event {record.kind}, which this version does not know",
            mend="Install the aggregator's version of Hanse.",
        ) from error


async def read_run(client: ControlClient, run_id: str) -> RunRecord:
    """Read the journal of a run as far as it is written.

    Raises:
        HanseError: There is no such run, or the aggregator does not answer.
    """
    record, after = RunRecord(), 0
    while True:
        reply = await client.events(run_id, after)
        if not reply.records:
            return record
        for written in reply.records:
            record.take(read_record(written))
        after = reply.records[-1].sequence
