"""Runs with masked sums to test with; READYs are signed with keys that no site would accept."""

from __future__ import annotations

import base64
from typing import Any

from tests.unit.core.run.runs import MODEL, Driver

from hanse.core.run.exchange import Exchange
from hanse.core.run.lifecycle import AnswerPlan
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound
from hanse.core.run.sums.commands import RecordSum, TakeReady
from hanse.core.run.sums.standing import CellStanding
from hanse.core.run.tasks import AcceptResult
from hanse.core.values.canonical import sha256
from hanse.core.values.statements import SignedStatement
from hanse.core.values.sums.place import SumPlace
from hanse.core.values.sums.ready import SUITE, ReadyBody

CELLS = {"north": ["a", "b", "c"], "south": ["d", "e", "f"]}
SITES = "abcdef"


def masked_plan(incomplete: str = "fail", **changes: Any) -> dict[str, Any]:
    """A plan whose task `train` is masked; without a quorum, so that one cell of two may be left out."""
    section = {
        "model": {"clip": 1.0},
        "incomplete": incomplete,
        "ready_after": "0s",
        "examples": {"least": 100, "most": 100},
    }
    return {
        "workflow": "heart:workflow",
        "initial_model": "workflow",
        "cells": CELLS,
        "cohort": {"deadline": 100, "idle_limit": 30, "approvals": 500, "minimum": 3}
        | ({} if incomplete == "fail" else {"quorum": 0.5}),
        "privacy": {"secure_aggregation": section},
        "tasks": {"train": {"discloses": {"update": "aggregate", "aggregated_by": "secure_aggregation"}}},
    } | changes


class MaskedDriver(Driver):
    """A run with masked sums; exchange 1 is asked."""

    def __init__(self, incomplete: str = "fail", **changes: Any) -> None:
        super().__init__(SITES, **masked_plan(incomplete, **changes))
        for site in SITES:
            self.do(AnswerPlan(site, accepted=True, signer=signer_of(site)))
        self.do(OpenRound(0))
        self.do(Commit(0, MODEL))
        self.do(OpenRound(1))
        self.do(OpenExchange(1, 0, "train", MODEL))

    @property
    def exchange(self) -> Exchange:
        return self.state.exchanges[1]

    def cell_of(self, site: str) -> CellStanding:
        return self.exchange.standing_of(site)

    def ready(self, sites: str, attempt: int = 1) -> list[str]:
        """READYs of some sites, one after another; the names of the events."""
        return [kind for site in sites for kind in self.do(take_ready(site, attempt))]

    def masked(self, sites: str, update: str = "") -> list[str]:
        """Masked vectors of some sites for the present roster; the names of the events."""
        return [kind for site in sites for kind in self.do(self.result(site, update or vector_of(site)))]

    def result(self, site: str, update: str) -> AcceptResult:
        standing = self.cell_of(site)
        return result(
            site, SumPlace(cell=standing.cell, attempt=standing.attempt, rho=standing.rho or ""), update
        )

    def complete(self, sites: str, attempt: int = 1) -> list[str]:
        return self.ready(sites, attempt) + self.masked(sites)

    def record(self, cell: str, total: str = "5" * 64) -> list[str]:
        standing = self.exchange.sums[cell]
        rho = standing.rho or "0" * 64
        return self.do(RecordSum(1, cell, standing.attempt, rho, dict(standing.masked), total, 300, 0.1))


def key_of(site: str) -> str:
    return base64.b64encode(f"key of {site}".encode()).decode()


def signer_of(site: str) -> str:
    return sha256(f"key of {site}".encode())


def vector_of(site: str) -> str:
    return sha256(f"vector of {site}".encode())


def cell_name(site: str) -> str:
    return next(cell for cell, sites in CELLS.items() if site in sites)


def ready_body(site: str, attempt: int = 1, **changes: Any) -> ReadyBody:
    return ReadyBody.model_validate(
        {
            "suite": SUITE,
            "federation": "hearts",
            "run_id": "demo-1",
            "exchange": 1,
            "cell": cell_name(site),
            "attempt": attempt,
            "site": site,
            "signer": signer_of(site),
            "context": "0" * 64,
            "public": sha256(f"{site} {attempt}".encode()),
            "commitment": sha256(f"numbers of {site}".encode()),
        }
        | changes
    )


def signed(body: ReadyBody) -> SignedStatement:
    return SignedStatement(body=body.model_dump(), key=key_of(body.site), signature="")


def take_ready(site: str, attempt: int = 1, reason: str = "", **changes: Any) -> TakeReady:
    body = ready_body(site, attempt, **changes)
    return TakeReady(1, site, cell_name(site), attempt, signed(body), body.commitment, reason)


def result(site: str, place: SumPlace, update: str) -> AcceptResult:
    """A masked vector, with the statement of its site."""
    stated = SignedStatement(body={"secure_sum": place.model_dump()}, key=key_of(site), signature="")
    return AcceptResult(1, site, 0, {}, update, stated, place)
