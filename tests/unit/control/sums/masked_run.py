"""Events of one masked sum of four sites, each signed by those who have to, to be altered one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.masked_sums import Member, member
from tests.unit.core.plan.privacy.secure_plans import secure_plan

from hanse.control.sums.checks import SumChecks
from hanse.control.sums.evidence import RunName
from hanse.core.plan.manifest import CodeFile, Manifest
from hanse.core.plan.plan import Plan
from hanse.core.run.events import Event
from hanse.core.run.round_events import ExchangeClosed, ExchangeOpened, UpdateAccepted, UpdatesAggregated
from hanse.core.run.run import Run
from hanse.core.run.sums.events import CellLeftOut, SiteReady, SumAttempted, SumOpened
from hanse.core.values.canonical import sha256
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.roster import Roster
from hanse.core.values.statements import SignedStatement
from hanse.core.values.sums.ready import READY, SUITE, ReadyBody, rho_of
from hanse.privacy.secagg.context import SumContext
from hanse.privacy.secagg.keys import private_key, public_of
from hanse.wire.messages.sites import TASK_RESULT

RUN = RunName("north", "r1")
SITES = ("a", "b", "c", "d")
LAYOUT = sha256(b"the layout")
SUBMITTED_MS = 1_777_888_999_000
MODEL = ModelRef(sha256(b"the model"))
EXCHANGE = 4

Events = list[Event]


def run_of(plan: Plan) -> Run:
    """A run of a plan in which four sites take part, each with its signing key."""
    manifest = Manifest(plan=plan, files=(CodeFile(path="model.py", sha256="0" * 64, size=1),))
    roster = Roster({name: member(name).fingerprint for name in SITES})
    return Run("r1", manifest, manifest.digest, "operator", SUBMITTED_MS, SUBMITTED_MS, roster=roster)


@dataclass
class MaskedRun:
    """Writes the events of a sum; what a test does not name is as it should be."""

    plan: Plan = field(default_factory=secure_plan)
    cells: dict[str, tuple[str, ...]] = field(default_factory=lambda: {"all": SITES})

    def __post_init__(self) -> None:
        self.run = run_of(self.plan)

    def opened(self, **changes: Any) -> ExchangeOpened:
        told = {
            "exchange": EXCHANGE,
            "round_number": 2,
            "index": 0,
            "task": "train",
            "model": MODEL,
            "cohort": SITES,
            "needed": 4,
            "roster": self.run.stated_roster,
            "members": self.cells,
        }
        return ExchangeOpened.model_validate(told | changes)

    def context(self, cell: str = "all") -> str:
        return SumContext(
            federation="north",
            run_id="r1",
            submitted_ms=SUBMITTED_MS,
            plan_digest=self.run.plan_digest,
            round_number=2,
            exchange=EXCHANGE,
            counted=0,
            task="train",
            model=MODEL.digest,
            groups={},
            settings={},
            cells=None,
            cell=cell,
            members=self.cells[cell],
            colluders=1,
            layout=LAYOUT,
        ).digest

    def body(self, site: str, attempt: int = 1, **changes: Any) -> dict[str, Any]:
        """Body of a READY."""
        cell = next(name for name, members in self.cells.items() if site in members)
        body = ReadyBody(
            suite=SUITE,
            federation="north",
            run_id="r1",
            exchange=EXCHANGE,
            cell=cell,
            attempt=attempt,
            site=site,
            signer=member(site).fingerprint,
            context=self.context(cell),
            public=public_of(private_key(bytes.fromhex(sha256(f"{site}{attempt}".encode())))),
            commitment=sha256(f"q of {site}".encode()),
        )
        return body.model_dump() | changes

    def ready(self, site: str, attempt: int = 1, by: Member | None = None, **changes: Any) -> SiteReady:
        """A READY, signed by the site or by another member."""
        body = self.body(site, attempt, **changes)
        statement = (by or member(site)).key.sign(READY, body)
        cell = next(name for name, members in self.cells.items() if site in members)
        return SiteReady(exchange=EXCHANGE, site=site, cell=cell, attempt=attempt, statement=statement)

    def rho(self, attempt: int = 1, cell: str = "all") -> str:
        return rho_of([ReadyBody.model_validate(self.body(site, attempt)) for site in self.cells[cell]])

    def answer(self, site: str, attempt: int = 1, place: dict[str, Any] | None = None, **changes: Any) -> Any:
        cell = next(name for name, members in self.cells.items() if site in members)
        stated = {"cell": cell, "attempt": attempt, "rho": self.rho(attempt, cell)} | (place or {})
        told = {
            "exchange": EXCHANGE,
            "site": site,
            "num_examples": 0,
            "metrics": {},
            "update": masked_by(site, attempt),
            "statement": outcome(site, stated),
        }
        return UpdateAccepted.model_validate(told | changes)

    def closed(self) -> ExchangeClosed:
        return ExchangeClosed(exchange=EXCHANGE, cause="all", answered=SITES, failed=(), missing=())

    def sum(self, attempt: int = 1, cell: str = "all", **changes: Any) -> SumOpened:
        told = {
            "exchange": EXCHANGE,
            "cell": cell,
            "attempt": attempt,
            "rho": self.rho(attempt, cell),
            "masked": {site: masked_by(site, attempt) for site in self.cells[cell]},
            "sum": sha256(b"the sum"),
            "num_examples": 800,
            "error": 1e-9,
        }
        return SumOpened.model_validate(told | changes)

    def aggregated(self, **changes: Any) -> UpdatesAggregated:
        told = {"exchange": EXCHANGE, "sites": SITES, "num_examples": 800, "aggregate": sha256(b"the mean")}
        return UpdatesAggregated.model_validate(told | changes)

    def whole(self) -> Events:
        """All events of a sum that opens at its first attempt."""
        ready = [self.ready(site) for site in SITES]
        answers = [self.answer(site) for site in SITES]
        return [self.opened(), *ready, *answers, self.closed(), self.sum(), self.aggregated()]

    def again(self) -> Events:
        """All events of a sum that opens at its second attempt, after c lost its key."""
        begun = SumAttempted(exchange=EXCHANGE, cell="all", attempt=2, site="c", reason="c lost the key")
        first = [self.opened(), *(self.ready(site) for site in SITES), self.answer("a")]
        second = [*(self.ready(site, 2) for site in SITES), *(self.answer(site, 2) for site in SITES)]
        return [*first, begun, *second, self.closed(), self.sum(2), self.aggregated()]

    def left_out(self, **changes: Any) -> CellLeftOut:
        told = {"exchange": EXCHANGE, "cell": "all", "missing": ("d",), "reason": "the deadline has passed"}
        return CellLeftOut.model_validate(told | changes)

    def problems(self, events: Events, layout: str | None = LAYOUT) -> list[str]:
        """What an audit finds."""
        return list(self.found(events, SumChecks(RUN, lambda _: layout)))

    def found(self, events: Events, checks: SumChecks) -> Iterator[str]:
        for event in events:
            yield from checks.examine(event, self.run)


def masked_by(site: str, attempt: int = 1) -> str:
    """Digest of the vector that a site masked."""
    return sha256(f"y of {site} in attempt {attempt}".encode())


def outcome(site: str, place: dict[str, Any] | None) -> SignedStatement:
    """A signed outcome, of which here only the place counts; other checks look at the rest."""
    return member(site).key.sign(TASK_RESULT, {} if place is None else {"secure_sum": place})


def replaced(events: Events, event: Event, number: int = 0) -> Events:
    """The events with one in the place of that of the same kind and site."""
    site = getattr(event, "site", None)
    places = [
        place
        for place, old in enumerate(events)
        if old.kind == event.kind and getattr(old, "site", None) == site
    ]
    return [*events[: places[number]], event, *events[places[number] + 1 :]]
