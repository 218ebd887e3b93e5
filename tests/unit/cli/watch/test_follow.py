"""A run followed to its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from hanse.cli.watch.follow import follow
from hanse.cli.watch.live import View
from hanse.control.client import ControlClient
from hanse.core.run.events import Event, event_body
from hanse.core.run.run_events import RunFailed, RunResumed
from hanse.wire.messages.runs import EventsReply, JournalRecord, RunStatus

DIGEST = "a" * 64


def reply(phase: str, *events: Event) -> EventsReply:
    records = [
        JournalRecord(
            stream="heart-1",
            sequence=number,
            time_ms=number,
            kind=type(event).__name__,
            body=event_body(event),
            previous=DIGEST,
            digest=DIGEST,
        )
        for number, event in enumerate(events, 1)
    ]
    status = RunStatus.model_validate(
        {
            "run_id": "heart-1",
            "plan_name": "heart",
            "plan_digest": DIGEST,
            "phase": phase,
            "rounds": 3,
            "rounds_committed": 0,
            "submitted_by": "operator",
            "submitted_ms": 0,
        }
    )
    return EventsReply(records=tuple(records), status=status)


class Client:
    """Answers with one reply."""

    def __init__(self, reply: EventsReply) -> None:
        self._reply = reply

    async def follow(self, run_id: str) -> AsyncIterator[EventsReply]:
        yield self._reply


def followed(run: Callable[[Any], Any], capsys: pytest.CaptureFixture[str], answer: EventsReply) -> str:
    run(follow(cast(ControlClient, Client(answer)), "heart-1", View()))
    return capsys.readouterr().out


def failed(reason: str) -> RunFailed:
    return RunFailed(error="quorum", reason=reason)


def test_the_failure_that_ended_a_run_is_left_to_the_error_of_the_command(
    run: Callable[[Any], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    events = (failed("once"), RunResumed(by="operator"), failed("twice"))

    assert followed(run, capsys, reply("failed", *events)) == "failed: once\nresumed by operator\n"


def test_a_failure_from_which_a_run_was_resumed_is_shown(
    run: Callable[[Any], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    events = (failed("once"), RunResumed(by="operator"))

    assert followed(run, capsys, reply("finished", *events)) == "failed: once\nresumed by operator\n"
