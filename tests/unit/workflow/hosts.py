"""A host that answers a workflow from a script, and keeps what it was asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hanse.core.plan.plan import Plan
from hanse.core.values.parameters import Parameters
from hanse.core.values.update import Aggregate, Update
from hanse.workflow.base import CommitRequest, Host, OpenedRound, Request, Standing

MODEL = {"w": np.zeros(2, np.float32)}
INDIVIDUAL = {"update": "individual", "metrics": ["loss"]}
AGGREGATE = {"update": "aggregate", "aggregated_by": "aggregator", "metrics": ["loss"]}


def plan(**changes: Any) -> Plan:
    settings: dict[str, Any] = {
        "name": "demo",
        "code": ["heart.py"],
        "learner": "heart:learner",
        "rounds": 2,
        "tasks": {"train": {"discloses": INDIVIDUAL}, "evaluate": {"discloses": {"metrics": ["loss"]}}},
    }
    return Plan.model_validate(settings | changes)


def update(site: str, value: float, examples: int = 1, loss: float = 0.5) -> Update:
    return Update(site, examples, {"loss": loss}, {"w": np.full(2, value, np.float32)})


class ScriptedHost(Host):
    """Answers as `answer` says; a round's cohort is the population.

    Attributes:
        asked: Requests of `ask` and `sum`.
        commits: What was committed.
        answer: Gives the updates of a request.
        stream: Updates still to come in a stream, by the number of their exchange.
    """

    def __init__(self, *, committed: int = -1, model: Parameters | None = None, **changes: Any) -> None:
        self._plan = plan(**changes)
        self._committed = committed
        self._model = MODEL if model is None and committed >= 0 else model
        self._state: Parameters = {}
        self.population = ("a", "b")
        self.initial: Parameters | None = None
        self.asked: list[Request] = []
        self.opened: list[int] = []
        self.commits: list[CommitRequest] = []
        self.answer: Callable[[Request], tuple[Update, ...]] = lambda request: (
            update("a", 1.0),
            update("b", 3.0),
        )
        self.stream: dict[int, Update] = {}

    @property
    def plan(self) -> Plan:
        return self._plan

    def standing(self) -> Standing:
        complete = self._committed >= self._plan.rounds
        return Standing(self._committed, self._model, self._state, complete, self.population)

    def initial_model(self) -> Parameters | None:
        return self.initial

    def open_round(self, round_number: int) -> OpenedRound:
        self.opened.append(round_number)
        return OpenedRound(self.population, self.population)

    def ask(self, request: Request) -> tuple[Update, ...]:
        self.asked.append(request)
        return self.answer(request)

    def sum(self, request: Request) -> Aggregate:
        self.asked.append(request)
        updates = self.answer(request)
        deltas = [u.delta["w"] for u in updates if u.delta]
        delta = {"w": np.asarray(np.mean(deltas, axis=0, dtype=np.float32))}
        metrics = {name: value for u in updates for name, value in u.metrics.items()}
        return Aggregate(len(updates), metrics, delta, tuple(u.site for u in updates))

    def next_update(self, task: str, taken: frozenset[int]) -> tuple[int, Update]:
        number = min(self.stream.keys() - taken)
        return number, self.stream[number]

    def commit(self, request: CommitRequest) -> Standing:
        self.commits.append(request)
        self.stream = {n: u for n, u in self.stream.items() if n not in request.consumed}
        self._committed, self._model, self._state = request.round_number, request.model, request.state
        return self.standing()
