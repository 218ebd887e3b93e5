"""Decisions of a run: the events that follow from a command, or an error.

Pure: the state, the command and the time come in, events go out. The caller
writes the events down and applies them with `hanse.core.run.evolve.evolve`.
"""

from __future__ import annotations

from hanse.core.run import lifecycle, suspension, tasks, timing
from hanse.core.run.events import Event, Events
from hanse.core.run.evidence.commands import AdmitInstance, RecordAppraisal, ReleaseKeys, StartInstance
from hanse.core.run.evidence_rules.decide import decide_evidence
from hanse.core.run.evolve import evolve
from hanse.core.run.lifecycle import (
    AnswerPlan,
    Fail,
    Finish,
    Invite,
    Leave,
    NameRestore,
    Recover,
    RestartWorker,
    Resume,
    Stop,
    Submit,
)
from hanse.core.run.requests import exchanges, rounds, streams
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound, OpenStream, RecordAggregate
from hanse.core.run.run import Run
from hanse.core.run.sum_rules import decide as sums
from hanse.core.run.sums.commands import RecordSum, TakeReady
from hanse.core.run.suspension import Reinstate
from hanse.core.run.tasks import AcceptResult, FailTask, RefuseResult, StartTask
from hanse.core.run.timing import Tick, follow_up_events
from hanse.errors import RunError

Command = (
    Submit
    | Invite
    | AnswerPlan
    | Leave
    | OpenRound
    | OpenExchange
    | OpenStream
    | StartTask
    | AcceptResult
    | FailTask
    | RefuseResult
    | TakeReady
    | RecordSum
    | RecordAggregate
    | Commit
    | StartInstance
    | RecordAppraisal
    | ReleaseKeys
    | AdmitInstance
    | Tick
    | RestartWorker
    | Recover
    | NameRestore
    | Resume
    | Reinstate
    | Stop
    | Fail
    | Finish
)
"""Commands of a run, each with everything that its decision needs."""


Step = tuple[Event, Run]
"""An event, and the run once the event has been applied."""


def decide(run: Run | None, command: Command, now_ms: int) -> Events:
    """Decide on a command; see `steps`."""
    return tuple(event for event, _ in steps(run, command, now_ms))


def steps(run: Run | None, command: Command, now_ms: int) -> tuple[Step, ...]:
    """Decide on a command, and apply what is decided.

    Args:
        run: The run as it stands; None before `Submit`.
        command: What is asked.
        now_ms: The time, milliseconds since 1970.

    Returns:
        Events in order, each with the run after it; none where the command changes nothing (a repetition).

    Raises:
        RunError: The run's phase, or what happened before, forbids the command.
    """
    if isinstance(command, Submit):
        if run is not None:
            raise RunError(f"run {run.run_id} was submitted already")
        events: Events = (lifecycle.submit(command),)
    elif run is None:
        raise RunError(f"there is no run yet to take {type(command).__name__}")
    else:
        events = _direct(run, command, now_ms)
    done: list[Step] = []
    for event in events:
        run = evolve(run, event, now_ms)
        done.append((event, run))
    assert run is not None
    for event in follow_up_events(run, now_ms):
        run = evolve(run, event, now_ms)
        done.append((event, run))
    return tuple(done)


def _direct(run: Run, command: Command, now_ms: int) -> Events:
    match command:
        case Submit():
            raise AssertionError("handled by decide")
        case Invite():
            return lifecycle.invite(run, command)
        case AnswerPlan():
            return lifecycle.answer_plan(run, command)
        case Leave():
            return lifecycle.leave(run, command)
        case OpenRound():
            return rounds.open_round(run, command, now_ms)
        case OpenExchange():
            return exchanges.open_exchange(run, command)
        case OpenStream():
            return streams.open_stream(run, command, now_ms)
        case StartTask():
            return tasks.start_task(run, command)
        case AcceptResult():
            return tasks.accept_result(run, command)
        case FailTask():
            return tasks.fail_task(run, command)
        case RefuseResult():
            return tasks.refuse_result(run, command)
        case TakeReady():
            return sums.take_ready(run, command)
        case RecordSum():
            return sums.record_sum(run, command)
        case RecordAggregate():
            return exchanges.record_aggregate(run, command)
        case Commit():
            return rounds.commit(run, command, now_ms)
        case StartInstance() | RecordAppraisal() | ReleaseKeys() | AdmitInstance():
            return decide_evidence(run, command)
        case Tick():
            return timing.tick(run, command, now_ms)
        case RestartWorker():
            return lifecycle.restart_worker(run, command)
        case Recover():
            return lifecycle.recover(run)
        case NameRestore():
            return lifecycle.name_restore(run, command)
        case Resume():
            return lifecycle.resume(run, command)
        case Reinstate():
            return suspension.reinstate(run, command)
        case Stop():
            return lifecycle.stop(run, command)
        case Fail():
            return lifecycle.fail(run, command)
        case Finish():
            return lifecycle.finish(run)
