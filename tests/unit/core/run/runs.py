"""Runs to test with: a small plan and a driver that keeps the events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hanse.core.plan.manifest import CodeFile, Manifest
from hanse.core.plan.plan import Plan
from hanse.core.run.decide import Command, decide
from hanse.core.run.events import Event, event_body, read_event
from hanse.core.run.evolve import evolve
from hanse.core.run.lifecycle import AnswerPlan, Submit
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound
from hanse.core.run.run import Run
from hanse.core.run.tasks import AcceptResult
from hanse.core.values.model_ref import ModelRef

MODEL = ModelRef("a" * 64)
NEXT_MODEL = ModelRef("b" * 64)
UPDATE = "c" * 64


def plan(**changes: Any) -> Plan:
    return Plan.model_validate(
        {
            "name": "demo",
            "code": ["heart.py"],
            "learner": "heart:learner",
            "rounds": 2,
            "cohort": {"deadline": 100, "idle_limit": 30, "approvals": 500},
            "tasks": {"train": {"discloses": {"update": "individual"}}, "evaluate": {}},
        }
        | changes
    )


def submit(sites: Iterable[str] = "abc", **changes: Any) -> Submit:
    agreed = plan(**changes)
    start = CodeFile(path="m.safetensors", sha256="1" * 64, size=1) if agreed.first_model == "file" else None
    files = (CodeFile(path="heart.py", sha256="0" * 64, size=1),)
    manifest = Manifest(plan=agreed, files=files, initial_model=start)
    return Submit("demo-1", manifest, manifest.digest, "operator", tuple(sites))


class Driver:
    """A run with its history and its clock, in milliseconds."""

    def __init__(self, sites: Iterable[str] = "abc", **changes: Any) -> None:
        self.now_ms = 0
        self.run: Run | None = None
        self.history: list[tuple[Event, int]] = []
        self.do(submit(sites, **changes))

    @property
    def state(self) -> Run:
        assert self.run is not None
        return self.run

    def do(self, command: Command, *, after_s: float = 0.0) -> list[str]:
        """Carry out a command; the names of its events."""
        self.now_ms += round(after_s * 1000)
        events = decide(self.run, command, self.now_ms)
        for event in events:
            # Through the journal's form and back, as a recovery would have it.
            event = read_event(event.kind, event_body(event))
            self.run = evolve(self.run, event, self.now_ms)
            self.history.append((event, self.now_ms))
        return [event.kind for event in events]

    def started(self) -> Driver:
        for site in self.state.invited:
            self.do(AnswerPlan(site, accepted=True))
        return self

    def in_round(self, number: int = 1) -> Driver:
        """With the first model committed and a round open."""
        self.started()
        self.do(OpenRound(0))
        self.do(Commit(0, MODEL))
        self.do(OpenRound(number))
        return self

    def asked(self, task: str = "train") -> Driver:
        self.in_round()
        self.do(OpenExchange(1, 0, task, MODEL))
        return self

    def accept(self, site: str, exchange: int = 1) -> list[str]:
        return self.do(AcceptResult(exchange, site, 10, {}, UPDATE))
