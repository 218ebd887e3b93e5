"""Schedules of faults, drawn from a seed: what strikes whom at which step of a run."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from tests.faults.processes import Step
from tests.integration.deployment import PLAN

SITES = ("a", "b")
MEGABYTE = 1_000_000

_RETRIED = {name: {**task, "retries": 10} for name, task in PLAN["tasks"].items()}
_LARGE = 24 * MEGABYTE

PLANS: Mapping[str, dict[str, Any]] = MappingProxyType(
    {
        "small": {"rounds": 2, "tasks": _RETRIED},
        # Long enough on the way for cuts to land in the middle.
        "large": {"rounds": 1, "tasks": {"train": _RETRIED["train"]}, "options": {"size": _LARGE // 4}},
        # Does without a site that is away; which then has to be late, and to come back.
        "partial": {
            "rounds": 3,
            "tasks": _RETRIED,
            "options": {"momentum": 0},
            "cohort": {"minimum": 1, "quorum": 0.5, "grace": "1s", "deadline": "5m"},
        },
    }
)
"""What changes of the usual plan, by its kind."""

_STEPS = (
    *("journal RunSubmitted", "journal PlanAnswered", "journal RoundOpened", "journal ExchangeOpened"),
    *("journal TaskStarted", "journal UpdateAccepted", "journal UpdatesAggregated", "journal RoundCommitted"),
    *("journal RunRecovered", "journal WorkerRestarted"),
    *("POST /v1/answers", "POST /v1/next", "POST /v1/progress", "POST /v1/results"),
    *("GET /v1/blobs", "GET /v1/uploads", "PUT /v1/blobs"),
    *("call standing", "call sum", "call ask", "call commit", "order ", "report "),
)
"""Where faults strike; each occurs several times in most runs."""


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong once.

    Attributes:
        kind: What, a key of `tests.faults.faults.FAULTS`.
        who: Whom it befalls: the aggregator or a site.
        when: `before` or `after` the step.
        step: How the step's name begins; of an append to the journal, any of what is appended together.
        skip: So many such steps pass before.
        part: Of the most that it may come to: of seconds, bytes; in [0, 1).
    """

    kind: str
    who: str
    when: str
    step: str
    skip: int
    part: float

    def meets(self, step: Step) -> bool:
        """Whether it is one of the steps at which this could strike."""
        what, _, which = self.step.partition(" ")
        if what == "journal":
            appended = step.name.replace(",", "").split()
            meets = appended[:2] == [self.when, "journal"] and which in appended
        else:
            meets = step.name.startswith(f"{self.when} {self.step}")
        return meets and not step.name.endswith(" mallory")

    def __str__(self) -> str:
        return (
            f"{self.kind} ({self.part:.3f}) of {self.who} {self.when} {self.step.strip()} no. {self.skip + 1}"
        )


@dataclass(frozen=True)
class Schedule:
    """A run and what goes wrong in it.

    Attributes:
        seed: What all was drawn from.
        plan: Which of `PLANS`.
        faults: Each strikes once, in whatever order their steps come.
    """

    seed: int
    plan: str
    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        return f"seed {self.seed}: a {self.plan} run; " + "; ".join(map(str, self.faults))


FOR_ANYBODY = ("kill", "freeze", "kill worker", "freeze worker", "kill guard", "clock", "disk full")
FOR_AGGREGATOR = ("kill everybody", "journal locked", "read-only", "garbage", "blob damaged")
FOR_SITES = (
    *("cut up", "cut down", "reset up", "reset down", "lose reply", "cut all", "reset all"),
    *("hole", "slow", "delay", "repeat", "reorder", "away"),
)


def draw(seed: int) -> Schedule:
    """The schedule of a seed; the same each time."""
    chance = random.Random(seed)
    plan = chance.choices(tuple(PLANS), weights=(5, 2, 3))[0]
    return Schedule(seed, plan, tuple(_draw_fault(chance) for _ in range(chance.randint(1, 5))))


def _draw_fault(chance: random.Random) -> Fault:
    who = chance.choice(("aggregator", *SITES))
    kinds = FOR_ANYBODY + (FOR_AGGREGATOR if who == "aggregator" else FOR_SITES)
    return Fault(
        kind=chance.choice(kinds),
        who=who,
        when=chance.choice(("before", "after")),
        step=chance.choice(_STEPS),
        skip=chance.choice((0, 0, 0, 1, 2, 3)),
        part=chance.random(),
    )
