"""Whole runs whose sums are masked: the aggregator with its worker, and sites that mask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.fake_sites import until, until_phase
from tests.federations import MODEL, FederationFixture
from tests.masking_sites import Perform, masking_sites

from hanse.core.run.round_events import ResultRefused, RoundCommitted, UpdateAccepted
from hanse.core.run.run import TERMINAL, Phase
from hanse.core.run.sums.events import SiteReady, SumAttempted, SumOpened
from hanse.privacy.secagg.vector import Result
from hanse.wire.messages.sites import Assignment
from hanse.wire.tensors import open_file

Run = Callable[[Any], Any]

SECURELY = {"aggregated_by": "secure_aggregation", "metrics": ["loss"]}
PLAN: dict[str, Any] = {
    "initial": MODEL,
    "cells": {"all": ["a", "b", "c"]},
    "cohort": {"minimum": 3},
    "tasks": {
        "train": {"discloses": SECURELY | {"update": "aggregate"}},
        "evaluate": {"discloses": {"metrics": ["loss"]}},
    },
    "privacy": {
        "secure_aggregation": {
            "model": {"clip": 4.0, "norm": "max"},
            "metrics": {"loss": [0, 20]},
            "examples": {"least": 10, "most": 30, "max_share": 0.8},
            "ready_after": "0s",
        }
    },
}
NAMES = {"a": 1, "b": 2, "c": 3}


def trains(name: str) -> Perform:
    """A site of 10, 20 or 30 examples, whose update is 1, 2 or 3 everywhere."""
    step = NAMES[name]

    def perform(asked: Assignment) -> Result:
        tensors = {"w": np.full(3, step, np.float32)} if asked.task == "train" else {}
        return Result(tensors, {"loss": float(step)}, 10 * step)

    return perform


def test_a_model_is_trained_of_which_no_update_was_seen(working: FederationFixture, run: Run) -> None:
    async def main() -> None:
        async with working.serving(), masking_sites(working, trains) as sites:
            run_id = await working.submit(**PLAN)
            ended = await until_phase(working, run_id, *TERMINAL)
            assert (ended.phase, ended.reason) == (Phase.FINISHED, "")
            events = working.events(run_id)
            committed = [event for event in events if isinstance(event, RoundCommitted)]
            assert ended.model is not None
            # (10 * 1 + 20 * 2 + 30 * 3) / 60 in each of two rounds.
            model = open_file(working.blobs.path(ended.model.digest))["w"]
            assert model == pytest.approx(np.full(3, 2 * 140 / 60), abs=1e-6)
            assert committed[-1].metrics["loss"] == pytest.approx(2.0, abs=1e-6)
            accepted = [event for event in events if isinstance(event, UpdateAccepted)]
            assert {(event.num_examples, len(event.metrics)) for event in accepted} == {(0, 0)}
            assert [event.num_examples for event in events if isinstance(event, SumOpened)] == [60] * 4
            assert not [event for event in events if isinstance(event, ResultRefused)]
            assert not any(site.failed for site in sites.values())

    run(main())


def test_the_aggregator_is_restarted_at_every_step_and_the_model_is_the_same(
    working: FederationFixture, run: Run
) -> None:
    async def restarted(kind: type[SiteReady | UpdateAccepted], count: int, run_id: str) -> None:
        await until(lambda: sum(isinstance(e, kind) for e in working.events(run_id)) >= count)
        await working.restart()

    async def main() -> None:
        async with working.serving(), masking_sites(working, trains):
            run_id = await working.submit(**PLAN)
            for kind, count in ((SiteReady, 1), (SiteReady, 3), (UpdateAccepted, 4), (UpdateAccepted, 9)):
                await restarted(kind, count, run_id)
            ended = await until_phase(working, run_id, *TERMINAL)
            assert (ended.phase, ended.reason) == (Phase.FINISHED, "")
            assert ended.model is not None
            model = open_file(working.blobs.path(ended.model.digest))["w"]
            assert model == pytest.approx(np.full(3, 2 * 140 / 60), abs=1e-6)

    run(main())


def test_members_that_lose_their_keys_try_again_with_the_same_numbers(
    working: FederationFixture, run: Run
) -> None:
    async def main() -> None:
        async with working.serving(), masking_sites(working, trains) as sites:
            sites["b"].forgets = {1, 2}
            run_id = await working.submit(**PLAN)
            ended = await until_phase(working, run_id, *TERMINAL)
            assert (ended.phase, ended.reason) == (Phase.FINISHED, "")
            assert ended.model is not None
            model = open_file(working.blobs.path(ended.model.digest))["w"]
            assert model == pytest.approx(np.full(3, 2 * 140 / 60), abs=1e-6)
            attempted = [e for e in working.events(run_id) if isinstance(e, SumAttempted)]
            assert {(event.exchange, event.site) for event in attempted} == {(1, "b"), (2, "b")}

    run(main())
