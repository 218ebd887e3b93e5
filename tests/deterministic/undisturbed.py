"""The run that a schedule is held against: the same workflow, learners and sites, and nothing goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tests.blobs import named
from tests.deterministic.service_fixture import CODE, FIRST, SECURE_CODE

from hanse.aggregation.fedavg import fed_avg
from hanse.algorithms.optimisation.fedavg import fedavg
from hanse.core.plan.manifest import Manifest
from hanse.core.plan.plan import Plan
from hanse.core.plan.tasks import INITIALISE
from hanse.core.run.events import Event
from hanse.core.run.round_events import (
    ExchangeClosed,
    ExchangeOpened,
    RoundCommitted,
    RoundOpened,
    UpdateAccepted,
)
from hanse.core.values.canonical import sha256
from hanse.core.values.lazy import materialize
from hanse.core.values.parameters import Parameters
from hanse.core.values.site import DataSources, Site
from hanse.core.values.update import Aggregate, Update
from hanse.errors import WorkflowError
from hanse.learners.perform import Ask, perform, setup_seed
from hanse.learners.session import LearnerSession
from hanse.wire.tensors import encode
from hanse.workflow.base import CommitRequest, Host, OpenedRound, Request, Standing
from hanse.workflow.federation import Federation

Committed = list[tuple[str, dict[str, float]]]
"""Digest of the model, and metrics, of each commit."""


class Undisturbed(NamedTuple):
    """What an undisturbed run commits."""

    committed: Committed
    models: list[Parameters]


def undisturbed(manifest: Manifest, events: Sequence[Event], data: Mapping[str, Path]) -> Undisturbed:
    """What a run commits in which those sites take part that took part in this one.

    Only who answered, and in a stream in which order, is taken from the events.
    """
    code: dict[str, Any] = {}
    exec(compile(SECURE_CODE if data else CODE, "federation.py", "exec"), code)
    host = _Replayed(manifest, events, code["learner"], data)
    (code["stream"] if manifest.plan.workflow != "fedavg" else fedavg)(Federation(host))
    return Undisturbed(host.committed, host.models)


class _Replayed(Host):
    """Performs each site's task at once, of those sites that took part."""

    def __init__(
        self,
        manifest: Manifest,
        events: Sequence[Event],
        learner: Callable[[Site], Any],
        data: Mapping[str, Path],
    ) -> None:
        self._data = data
        self._plan = manifest.plan
        self._given = manifest.initial_model is not None
        self._learner = learner
        self.models: list[Parameters] = []
        self._state: Parameters = {}
        self.committed: Committed = []
        opened = {e.exchange: e for e in events if isinstance(e, ExchangeOpened)}
        # The last word counts: a round may have begun anew before it was committed.
        self._cohorts = {e.round_number: e.cohort for e in events if isinstance(e, RoundOpened)}
        self._answered = {
            (opened[e.exchange].round_number, opened[e.exchange].index): e.answered
            for e in events
            if isinstance(e, ExchangeClosed)
        }
        flowed = [e for e in events if isinstance(e, UpdateAccepted) and opened[e.exchange].index < 0]
        self._flow = [(e.exchange, e.site, opened[e.exchange].round_number) for e in flowed]
        self._asked = opened
        self._rounds = sum(isinstance(e, RoundCommitted) for e in events)

    @property
    def plan(self) -> Plan:
        return self._plan

    def standing(self) -> Standing:
        number = len(self.models) - 1
        model = self.models[-1] if self.models else None
        return Standing(number, model, self._state, number >= self._plan.rounds, ())

    def initial_model(self) -> Parameters | None:
        if not self._given:
            return None
        return {"w": np.array(FIRST["w"], np.float32), "b": np.array(FIRST["b"])}

    def open_round(self, round_number: int) -> OpenedRound:
        return OpenedRound(self._cohorts[round_number], ())

    def ask(self, request: Request) -> tuple[Update, ...]:
        sites = self._answered.get((request.round_number, request.index), ())
        model = None if request.model is None else materialize(request.model)
        return tuple(self._update(site, request.round_number, request.task, model) for site in sites)

    def sum(self, request: Request) -> Aggregate:
        return fed_avg(self.ask(request), uniform=False)

    def next_update(self, task: str, taken: frozenset[int]) -> tuple[int, Update]:
        if not self._flow:
            raise WorkflowError("more updates went into the run than were accepted")
        exchange, site, begun = self._flow.pop(0)
        update = self._update(site, begun, task, self.models[begun - 1])
        stale = len(self.models) - begun
        return exchange, Update(site, update.num_examples, update.metrics, update.delta, stale)

    def commit(self, request: CommitRequest) -> Standing:
        self.models.append(materialize(request.model))
        self._state = dict(request.state)
        # What comes with the plan keeps the name that it has there.
        name = sha256 if self._given and request.round_number == 0 else named
        self.committed.append((name(encode(request.model)), dict(request.metrics)))
        return self.standing()

    def _update(self, site: str, round_number: int, task: str, model: Parameters | None) -> Update:
        data = {"numbers": self._data[site]} if self._data else {}
        made = Site(
            site, DataSources(site, data), setup_seed(self._plan), self._plan.options, Path("/nowhere")
        )
        session = LearnerSession(self._learner, made, Path("/nowhere"))
        ask = Ask(1, round_number, task)
        performed = perform(
            session, self._plan, site, ask, None if task == INITIALISE else model
        ).materialize()
        return Update(site, performed.num_examples, dict(performed.metrics), performed.update)
