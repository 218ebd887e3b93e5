"""The run worker: executes a plan's workflow in a process of its own, away from keys and journal."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from hanse.aggregator.calls import (
    AnswerReply,
    AnswersReply,
    Call,
    CohortReply,
    CommitCall,
    ExchangeCall,
    FailCall,
    FinishCall,
    ModelRef,
    NextCall,
    OpenRoundCall,
    Reply,
    StandingCall,
    StandingReply,
    SumReply,
)
from hanse.core.parameters import Parameters
from hanse.core.plan import Plan, Strict
from hanse.core.update import Aggregate, Update
from hanse.errors import HanseError, WorkflowError, rebuild
from hanse.learners.bundle import load_function
from hanse.learners.failures import describe, place
from hanse.sandbox.channel import Channel
from hanse.sandbox.confine import Confined
from hanse.wire.tensors import open_file, write_file
from hanse.workflow.base import CommitRequest, Request, Standing
from hanse.workflow.built_in import BUILT_IN
from hanse.workflow.federation import Federation

R = TypeVar("R", bound=Strict)


class ServiceGoneError(Exception):
    """The service closed the channel: the run ended, or the service did."""


def main(channel: Channel, _confined: Confined, arguments: tuple[str, ...]) -> None:
    """Run the workflow of the plan that the service sends first.

    Args:
        channel: To the service.
        arguments: The bundle's folder and the folder with `in/` and `out/`.
    """

    bundle, work = (Path(argument) for argument in arguments)
    greeting = channel.receive()
    if greeting is None:
        return
    host = ChannelHost(channel, Plan.model_validate(greeting["plan"]), work)
    try:
        _workflow(host.plan, bundle)(Federation(host))
    except ServiceGoneError:
        return
    except HanseError as error:
        host.tell(FailCall(error=error.code, reason=str(error)[:8_192]))
    except Exception as error:  # noqa: BLE001  # the plan's own code: anything can come out of it
        traceback.print_exc()
        reason = f"the workflow failed at {place(error)}: {describe(error)}"
        host.tell(FailCall(error=WorkflowError.code, reason=reason[:8_192]))
    else:
        host.tell(FinishCall())


class ChannelHost:
    """Answers a workflow by asking the service; see `hanse.workflow.base.Host`."""

    def __init__(self, channel: Channel, plan: Plan, work: Path) -> None:
        self._channel = channel
        self._plan = plan
        self._inbox, self._outbox = work / "in", work / "out"
        self._files = 0
        self._known: tuple[Parameters, str] | None = None

    @property
    def plan(self) -> Plan:
        """The plan of the run."""
        return self._plan

    def standing(self) -> Standing:
        """Where the run stands now."""

        return self._standing(self._ask(StandingCall(), StandingReply))

    def initial_model(self) -> Parameters | None:
        """The plan's initial model; the service shows it as long as nothing is committed."""
        return None if self._known is None else self._known[0]

    def open_round(self, round_number: int) -> tuple[str, ...]:
        """Begin a round, or find it open."""

        return self._ask(OpenRoundCall(round_number=round_number), CohortReply).cohort

    def ask(self, request: Request) -> tuple[Update, ...]:
        """Ask a task and wait for the answers."""

        call = ExchangeCall(
            call="ask",
            round_number=request.round_number,
            index=request.index,
            task=request.task,
            model=self._lend(request.model),
            sites=request.sites,
        )
        return tuple(self._update(answer) for answer in self._ask(call, AnswersReply).answers)

    def sum(self, request: Request) -> Aggregate:
        """Ask a task and wait for the aggregate."""
        from hanse.core.update import Aggregate

        call = ExchangeCall(
            call="sum",
            round_number=request.round_number,
            index=request.index,
            task=request.task,
            model=self._lend(request.model),
            sites=request.sites,
        )
        reply = self._ask(call, SumReply)
        return Aggregate(reply.num_examples, reply.metrics, self._open(reply.delta), reply.sites)

    def next_update(self, task: str, taken: frozenset[int]) -> tuple[int, Update]:
        """Wait for the next update of a stream."""

        answer = self._ask(NextCall(task=task, taken=tuple(sorted(taken))), AnswersReply).answers[0]
        return answer.exchange, self._update(answer)

    def commit(self, request: CommitRequest) -> Standing:
        """Make a round's outcome durable."""

        call = CommitCall(
            round_number=request.round_number,
            model=self._lend(request.model),
            metrics=dict(request.metrics),
            state=self._write(request.state) if request.state else None,
            consumed=request.consumed,
        )
        return self._standing(self._ask(call, StandingReply))

    def tell(self, call: Call) -> None:
        """Say the last word; the service ends this process afterwards."""
        self._channel.send(call.model_dump(mode="json"))
        self._channel.receive()

    def _ask(self, call: Call, kind: type[R]) -> R:

        self._channel.send(call.model_dump(mode="json"))
        message = self._channel.receive()
        if message is None:
            raise ServiceGoneError
        reply = Reply.model_validate(message)
        if reply.ok is None:
            raise rebuild(reply.error, reply.message, reply.mend)
        return kind.model_validate(reply.ok)

    def _standing(self, reply: StandingReply) -> Standing:

        model = self._open(reply.model)
        self._known = None if model is None or reply.digest is None else (model, reply.digest)
        return Standing(
            committed=reply.committed,
            model=model,
            state=self._open(reply.state) or {},
            complete=reply.complete,
            population=reply.population,
        )

    def _lend(self, model: Parameters | None) -> ModelRef:
        """Name a model to the service, writing it down unless the service has it already."""

        if model is None:
            return ModelRef()
        if self._known is not None and model is self._known[0]:
            return ModelRef(digest=self._known[1])
        return ModelRef(file=self._write(model))

    def _write(self, parameters: Parameters) -> str:

        self._files += 1
        name = f"{self._files}.safetensors"
        write_file(self._outbox / name, parameters)
        return name

    def _open(self, name: str | None) -> Parameters | None:

        # Read-only: a model that is passed on unchanged is named by its digest, not written again.
        return None if name is None else MappingProxyType(dict(open_file(self._inbox / name)))

    def _update(self, answer: AnswerReply) -> Update:

        return Update(
            answer.site, answer.num_examples, answer.metrics, self._open(answer.update), answer.staleness
        )


def _workflow(plan: Plan, bundle: Path) -> Callable[[Federation], None]:
    if plan.workflow in BUILT_IN:
        return BUILT_IN[plan.workflow]
    return load_function(bundle, plan.workflow)
