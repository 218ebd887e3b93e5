"""A run of three sites whose sums are masked, step by step."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from tests.federations import FederationFixture
from tests.masking_sites import MaskingSite

from hanse.core.run.exchange import Exchange
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound
from hanse.core.run.sums.standing import CellStanding
from hanse.privacy.secagg.vector import Result

SECURELY = {"aggregated_by": "secure_aggregation"}
COUNT: dict[str, Any] = {
    "receives": [],
    "varies": {"scale": [0.0, 4.0]},
    "discloses": SECURELY | {"groups": {"counts": "total"}, "metrics": ["loss"]},
}
PLAN: dict[str, Any] = {
    "workflow": "heart:workflow",
    "initial_model": "none",
    "initial": None,
    "cells": {"all": ["a", "b", "c"]},
    "cohort": {"minimum": 3},
    "groups": {"counts": {"int64": [4], "range": [0, 1000]}},
    "tasks": {"count": COUNT},
    "privacy": {"secure_aggregation": {"metrics": {"loss": [0, 20]}}},
}


def counted(place: int) -> Result:
    """What the site at a place counts: 1, 10 or 100 times 1, 2, 3, 4."""
    return Result({"@counts": 10**place * np.arange(1, 5)}, {"loss": 0.5 * place})


class Sums:
    """Three sites and the run that asks them.

    Attributes:
        sites: By name.
    """

    def __init__(self, fixture: FederationFixture, run_id: str) -> None:
        self.fixture = fixture
        self.run_id = run_id
        self.sites = {name: MaskingSite(fixture, name, counted(place)) for place, name in enumerate("abc")}

    @property
    def exchange(self) -> Exchange:
        """The last one."""
        run = self.fixture.run(self.run_id)
        return run.exchanges[run.last_exchange]

    @property
    def cell(self) -> CellStanding:
        return self.exchange.sums["all"]

    async def ready(self, *names: str) -> None:
        """Have sites send their READYs."""
        for name in names or "abc":
            site = self.sites[name]
            await site.send(await site.ready(), self.run_id)

    async def masked(self, *names: str) -> None:
        """Have sites mask for the complete roster, and send it."""
        for name in names or "abc":
            site = self.sites[name]
            await site.hand_in(await site.masked())


@asynccontextmanager
async def asked(fixture: FederationFixture, task: str = "count", **plan: Any) -> AsyncIterator[Sums]:
    """A run whose sites are asked to count in round 1."""
    async with fixture.serving():
        run_id = await fixture.submit(**PLAN | plan)
        await fixture.accepted(run_id)
        controller = fixture.controller(run_id)
        await controller.execute(Commit(0, None), OpenRound(1), OpenExchange(1, 0, task, None))
        yield Sums(fixture, run_id)
