"""What a schedule is made of, drawn from its seed: the federation, and what goes wrong in it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from random import Random
from typing import Any

from hanse.core.plan.manifest import CodeFile, Manifest
from hanse.core.plan.plan import Plan

DEADLINE_S, IDLE_S, APPROVALS_S, GRACE_S = 60.0, 20.0, 120.0, 5.0
MOST_JUMP_S = 300.0
SECURELY: dict[str, Any] = {
    "data": ["numbers"],
    "privacy": {
        "secure_aggregation": {
            "model": {"clip": 100.0, "norm": "max"},
            "metrics": {"loss": [-100, 100]},
            "examples": {"least": 3, "most": 13, "max_share": 0.9},
            "ready_after": "0s",
        }
    },
}
"""What a plan says more whose sums are masked."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A plan and its sites.

    Attributes:
        given: Whether the plan brings the first model; a site is asked for it otherwise.
        stream: Whether the workflow takes updates as they come, instead of in rounds.
        beside: Whether an evaluation receives a group and a setting too, and rounds have results.
        secure: Whether the sites are one cell, of whose updates only the sum is seen.
        idle: How long a worker may be without a task, in seconds; None: until its run ends.
    """

    sites: tuple[str, ...] = ("a", "b", "c")
    rounds: int = 2
    quorum: float = 1.0
    minimum: int = 1
    fraction: float = 1.0
    grace: bool = False
    evaluate: bool = True
    given: bool = False
    stream: bool = False
    beside: bool = False
    secure: bool = False
    idle: float | None = None

    @staticmethod
    def drawn(random: Random) -> Shape:
        """A federation like many."""
        shape = Shape(
            sites=tuple("abcd"[: random.randint(2, 4)]),
            rounds=random.randint(1, 3),
            quorum=random.choice([0.5, 0.7, 1.0]),
            minimum=random.choice([1, 1, 2]),
            fraction=random.choice([0.6, 1.0, 1.0]),
            grace=random.random() < 0.3,
            evaluate=random.random() < 0.6,
            given=random.random() < 0.5,
            stream=random.random() < 0.3,
        )
        return replace(shape, beside=shape.rounds == 2)

    def plan(self, **more: Any) -> Plan:
        """The plan, in which time is short."""
        update = "individual" if self.stream else "aggregate"
        by = {} if self.stream else {"aggregated_by": "aggregator"}
        # A stream here takes two updates a version, which may both be of one site.
        often = {"exchanges": 2} if self.stream else {}
        train = {"discloses": {"update": update, "metrics": ["loss"], **by}, **often}
        tasks: dict[str, Any] = {"train": train}
        if self.evaluate:
            tasks["evaluate"] = {"discloses": {"metrics": ["loss"]}}
            if self.beside:
                tasks["evaluate"] |= {"receives": ["model", "edges"], "varies": {"round": [1, self.rounds]}}
        if self.secure:
            train["discloses"]["aggregated_by"] = "secure_aggregation"
        cohort = {
            "quorum": self.quorum,
            "minimum": self.minimum,
            "fraction": self.fraction,
            "grace": GRACE_S if self.grace else None,
            "deadline": DEADLINE_S,
            "idle_limit": IDLE_S,
            "approvals": APPROVALS_S,
        }
        told = {
            "name": "demo",
            "code": ["heart.py"],
            "learner": "heart:learner",
            "rounds": self.rounds,
            "cohort": cohort,
            "tasks": tasks,
            **({"initial_model": "first.safetensors"} if self.given else {}),
            **({"groups": {"edges": {"float64": [2]}}} if self.beside else {}),
            **(SECURELY | {"cells": {"all": self.sites}} if self.secure else {}),
        }
        return Plan.model_validate(told | more)

    def manifest(self) -> Manifest:
        """The plan with its files, of which nobody here looks at the content."""
        first = CodeFile(path="first.safetensors", sha256="f" * 64, size=1) if self.given else None
        code = CodeFile(path="heart.py", sha256="0" * 64, size=1)
        return Manifest(plan=self.plan(), files=(code,), initial_model=first)


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """What may go wrong, each with its probability where it is not said otherwise.

    Attributes:
        lost: A message does not arrive.
        duplicated: A message arrives twice.
        slow_s: Longest delay of a message, in seconds; longer than another's, it is overtaken.
        dies: A process dies at a point where it can.
        fails: A task fails at a site.
        hangs: A task never ends, as long as its site does not begin anew.
        lasts_s: Longest that a task takes, in seconds.
        vanishes: A site that dies stays away for long.
        replays: A site says once more, or falsifies, what it said at some time before.
        leaves: An operator removes a site, which joins again later.
        stops: An operator stops the run, and resumes it later.
        jumps: The aggregator's clock jumps, forth or back.
    """

    lost: float = 0.0
    duplicated: float = 0.0
    slow_s: float = 0.0
    dies: float = 0.0
    fails: float = 0.0
    hangs: float = 0.0
    lasts_s: float = 1.0
    vanishes: float = 0.0
    replays: float = 0.0
    leaves: float = 0.0
    stops: float = 0.0
    jumps: float = 0.0

    @staticmethod
    def drawn(random: Random) -> FaultPlan:
        """Some faults, not all at once: a rare one shows where no frequent one ends everything first."""
        most = {
            "lost": 0.4,
            "duplicated": 0.5,
            "slow_s": 30.0,
            "dies": 0.08,
            "fails": 0.3,
            "hangs": 0.2,
            "lasts_s": 50.0,
            "vanishes": 0.5,
            "replays": 0.5,
            "leaves": 0.3,
            "stops": 0.3,
            "jumps": 0.5,
        }
        assert set(most) == {field.name for field in fields(FaultPlan)}
        drawn = {name: random.random() * limit for name, limit in most.items() if random.random() < 0.4}
        return FaultPlan(**drawn)


CALM = FaultPlan()
