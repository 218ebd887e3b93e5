"""The run worker: executes a plan's workflow in a process of its own, away from keys and journal."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar

from hanse.aggregator.run_worker.protocol import (
    AnswerReply,
    AnswersReply,
    Call,
    CohortReply,
    CommitCall,
    ExchangeCall,
    FailCall,
    FinishCall,
    NextCall,
    OpenRoundCall,
    Reply,
    StandingCall,
    StandingReply,
    SumReply,
    WorkerModel,
)
from hanse.algorithms.registry import WORKFLOWS
from hanse.core.plan.disclosure import disclosure_of
from hanse.core.plan.plan import Plan
from hanse.core.values.groups import Groups, as_file, flattened, from_file, nested
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.parameters import Parameters
from hanse.core.values.schema import Strict
from hanse.core.values.update import Aggregate, Update
from hanse.errors import TransportError, rebuild
from hanse.learners.bundle import load_function
from hanse.learners.failures import trace, workflow_failure
from hanse.sandbox.channel import Channel
from hanse.sandbox.confine import Confined
from hanse.updates.aggregate_file import opened_aggregate
from hanse.updates.incoming import opened_answer
from hanse.wire.tensors import digest_of, open_file, write_file
from hanse.workflow.base import CommitRequest, Host, OpenedRound, Request, Standing
from hanse.workflow.federation import Federation

R = TypeVar("R", bound=Strict)


class ServiceGoneError(Exception):
    """The service closed the channel: the run ended, or the service did."""


def main(channel: Channel, _confined: Confined, arguments: tuple[str, ...]) -> None:
    """Run the workflow of the plan that the service sends first.

    Args:
        channel: To the service.
        arguments: Folders: the plan's code, what the service lends, what this worker writes.
    """
    bundle, inbox, outbox = (Path(argument) for argument in arguments)
    service = ServiceLink(channel, inbox)
    try:
        plan = Plan.model_validate(service.receive()["plan"])
        service.tell(_last_word(plan, bundle, RemoteHost(service, plan, inbox, outbox)))
    except ServiceGoneError:
        return


def _last_word(plan: Plan, bundle: Path, host: Host) -> Call:
    """Run the workflow to its end; what is to be said of it."""
    try:
        _workflow(plan, bundle)(Federation(host))
    except ServiceGoneError:
        raise
    except BaseException as error:  # noqa: BLE001  # the outermost edge of the plan's own code
        told = workflow_failure(error)
        if told is not error:
            sys.stderr.write(trace(error) + "\n")
        return FailCall(error=told.code, reason=str(told))
    return FinishCall()


def _workflow(plan: Plan, bundle: Path) -> Callable[[Federation], None]:
    if plan.workflow in WORKFLOWS:
        return WORKFLOWS[plan.workflow]
    return load_function(bundle, plan.workflow)


class ServiceLink:
    """Asks the service, one thing after another."""

    def __init__(self, channel: Channel, inbox: Path) -> None:
        self._channel = channel
        self._inbox = inbox

    def ask(self, call: Call, kind: type[R]) -> R:
        """Ask, and wait for the answer.

        Raises:
            HanseError: What the service answered instead.
            ServiceGoneError: It does not answer any more.
        """
        self._send(call)
        reply = Reply.model_validate(self.receive())
        if reply.ok is None:
            raise rebuild(reply.error, reply.message, reply.mend)
        return kind.model_validate(reply.ok)

    def tell(self, call: Call) -> None:
        """Say the last word; returns when the service has heard it."""
        self._send(call)
        self.receive()

    def receive(self) -> Mapping[str, Any]:
        """The next message; a long one comes as a file."""
        message = self._channel.receive()
        if message is None:
            raise ServiceGoneError
        if "file" in message:
            message = json.loads((self._inbox / message["file"]).read_bytes())
        return message

    def _send(self, call: Call) -> None:
        try:
            self._channel.send(call.model_dump(mode="json"))
        except TransportError:
            raise ServiceGoneError from None


class RemoteHost:
    """Answers a workflow by asking the service; see `hanse.workflow.base.Host`."""

    def __init__(self, service: ServiceLink, plan: Plan, inbox: Path, outbox: Path) -> None:
        self._service = service
        self._plan = plan
        self._inbox = inbox
        self._outbox = outbox
        self._lent: tuple[Parameters, ModelRef] | None = None
        """The model that the service lends, and its reference."""
        self._given: set[ModelRef] = set()
        """Models that the service was given since the last commit, as it says itself."""

    @property
    def plan(self) -> Plan:
        """See `Host.plan`."""
        return self._plan

    def standing(self) -> Standing:
        """See `Host.standing`."""
        return self._standing(self._service.ask(StandingCall(), StandingReply))

    def initial_model(self) -> Parameters | None:
        """See `Host.initial_model`; as long as nothing is committed, it is what the service lends."""
        return None if self._lent is None else self._lent[0]

    def open_round(self, round_number: int) -> OpenedRound:
        """See `Host.open_round`."""
        reply = self._service.ask(OpenRoundCall(round_number=round_number), CohortReply)
        return OpenedRound(reply.cohort, reply.population)

    def ask(self, request: Request) -> tuple[Update, ...]:
        """See `Host.ask`."""
        reply = self._service.ask(self._exchange("ask", request), AnswersReply)
        self._note_given(reply.model)
        return tuple(
            opened_answer(self._plan, request.task, self._update(answer)) for answer in reply.answers
        )

    def sum(self, request: Request) -> Aggregate:
        """See `Host.sum`."""
        reply = self._service.ask(self._exchange("sum", request), SumReply)
        self._note_given(reply.model)
        tensors = self._open(reply.file) or {}
        aggregate = Aggregate(
            reply.num_examples,
            reply.metrics,
            {} if reply.updated else None,
            reply.sites,
            clipped=reply.clipped,
            out_of_range=reply.out_of_range,
        )
        grouped = bool(disclosure_of(self._plan, request.task).groups)
        return opened_aggregate(aggregate, tensors, grouped=grouped)

    def next_update(self, task: str, taken: frozenset[int]) -> tuple[int, Update]:
        """See `Host.next_update`."""
        call = NextCall(task=task, taken=tuple(sorted(taken)))
        answer = self._service.ask(call, AnswersReply).answers[0]
        return answer.exchange, self._update(answer)

    def commit(self, request: CommitRequest) -> Standing:
        """See `Host.commit`."""
        call = CommitCall(
            round_number=request.round_number,
            model=WorkerModel() if request.model is None else self._refer(request.model),
            metrics=dict(request.metrics),
            state=self._write("state", as_file(request.state)) if request.state else None,
            consumed=request.consumed,
            results=self._write_each("result", request.results),
        )
        return self._standing(self._service.ask(call, StandingReply))

    def _exchange(self, kind: Literal["ask", "sum"], request: Request) -> ExchangeCall:
        return ExchangeCall(
            call=kind,
            round_number=request.round_number,
            index=request.index,
            task=request.task,
            model=WorkerModel() if request.model is None else self._refer(request.model),
            sites=request.sites,
            groups=self._write_each("group", request.groups),
            settings=dict(request.settings),
            cells=request.cells,
        )

    def _write_each(self, what: str, groups: Groups) -> dict[str, str]:
        """Write a file for each group or result; their names."""
        return {
            name: self._write(f"{what}-{place}", flattened({name: value}))
            for place, (name, value) in enumerate(groups.items())
        }

    def _standing(self, reply: StandingReply) -> Standing:
        model = self._open(reply.model)
        self._lent = None if model is None or reply.ref is None else (model, reply.ref)
        self._given.clear()
        return Standing(
            committed=reply.committed,
            model=model,
            state=from_file(self._open(reply.state) or {}),
            complete=reply.complete,
            population=reply.population,
            results={name: nested(self._open(file) or {})[name] for name, file in reply.results.items()},
        )

    def _refer(self, model: Parameters) -> WorkerModel:
        """Name a model to the service, which gets it as a file unless it has it already."""
        if self._lent is not None and model is self._lent[0]:
            return WorkerModel(ref=self._lent[1])
        # Hashed only where that can save the file, and its copy.
        if self._given and (ref := ModelRef(digest_of(model, self._plan.digests))) in self._given:
            return WorkerModel(ref=ref)
        return WorkerModel(file=self._write("model", model))

    def _note_given(self, ref: ModelRef | None) -> None:
        if ref is not None and (self._lent is None or ref != self._lent[1]):
            self._given.add(ref)

    def _write(self, what: str, parameters: Parameters) -> str:
        """Write a file for the service, over the one before, which it has taken; its name."""
        path = self._outbox / f"{what}.safetensors"
        write_file(path, parameters, over=path)
        return path.name

    def _open(self, name: str | None) -> Parameters | None:
        # Read-only, so that a model that is passed on is known to be unchanged.
        return None if name is None else MappingProxyType(open_file(self._inbox / name))

    def _update(self, answer: AnswerReply) -> Update:
        return Update(
            answer.site, answer.num_examples, answer.metrics, self._open(answer.update), answer.staleness
        )
