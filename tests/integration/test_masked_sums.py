"""Masked sums of three sites, every party a process of its own."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.integration.deployment import Deployment, Run, deployed, done

from hanse.core.run.round_events import RoundCommitted, TaskFailed, UpdateAccepted
from hanse.core.run.sums.events import SiteReady, SumAttempted, SumOpened
from hanse.wire.tensors import write_file

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SITES = ("a", "b", "c")
SECURELY = {"aggregated_by": "secure_aggregation"}
PLAN: dict[str, Any] = {
    "code": ["momentum.py", "masked.py"],
    "learner": "masked:learner",
    "aggregation": {},
    "cells": {"all": SITES},
    "cohort": {"deadline": "5m", "minimum": 3},
}
COUNTS: dict[str, Any] = PLAN | {
    "workflow": "masked:workflow",
    "initial_model": "none",
    "groups": {"counts": {"int64": [5], "range": [0, 100]}},
    "tasks": {
        "count": {
            "receives": [],
            "discloses": SECURELY | {"groups": {"counts": "total"}, "metrics": ["mean"]},
        }
    },
    "privacy": {"secure_aggregation": {"metrics": {"mean": [0, 10]}}},
}
MODEL: dict[str, Any] = PLAN | {
    "initial_model": "first.safetensors",
    "tasks": {
        "train": {"lr": 0.5, "discloses": SECURELY | {"update": "aggregate", "metrics": ["loss"]}},
        "evaluate": {"discloses": {"metrics": ["loss"]}},
    },
    "privacy": {
        "secure_aggregation": {
            "model": {"clip": 8.0, "norm": "max"},
            "metrics": {"loss": [0, 50]},
            "examples": {"least": 10, "most": 30, "max_share": 0.8},
            "ready_after": "0s",
        }
    },
}


@contextmanager
def checked(root: Path) -> Iterator[Deployment]:
    """A federation of three sites whose people have checked each other's keys."""
    with deployed(root) as federation:
        for name in SITES:
            federation.join(name)
        keys = {name: signing_key(federation, name) for name in SITES}
        for name, site in federation.sites.items():
            peers = {peer: key for peer, key in keys.items() if peer != name}
            site.settings(secure_aggregation={"peers": peers})
            federation.start_agent(name)
        yield federation


def signing_key(federation: Deployment, name: str) -> str:
    said = done("collaborator", "signing-key", "--site", federation.sites[name].directory, "--json")
    found: str = json.loads(said)["fingerprint"]
    return found


def counting(federation: Deployment) -> Run:
    """Begin a run that counts; people at all sites have read its workflow."""
    plan = federation.plan(**COUNTS)
    for site in federation.sites.values():
        done("plan", "approve", plan, "--site", site.directory)
    return federation.submit_file(plan)


def test_counts_are_summed_and_the_journal_has_none_of_a_site(tmp_path: Path) -> None:
    with checked(tmp_path) as federation:
        run = counting(federation)
        status = run.over()
        exported = run.export(tmp_path / "results")
    assert (status.phase, status.reason) == ("finished", "")
    # Each site has its place, 2, 3 and 4.
    counts = np.load(exported / "results" / "counts.npz")["all"]
    assert counts.tolist() == [0, 1, 3 + 1, 3 + 1, 3]
    assert {e.num_examples for e in run._events if isinstance(e, UpdateAccepted)} == {0}
    assert sum(isinstance(e, SumOpened) for e in run._events) == 2


def test_a_failure_says_its_kind_and_a_resumed_run_asks_only_who_failed(tmp_path: Path) -> None:
    with checked(tmp_path) as federation:
        federation.sites["b"].fail("count")
        run = counting(federation)
        failed = run.over()
        federation.sites["b"].recover()
        run.resume()
        status = run.over()
        run.export(tmp_path / "results")
        performed = {name: site.performed(run.run_id) for name, site in federation.sites.items()}
        events = run.events
    assert failed.phase == "failed"
    assert [event.reason for event in events if isinstance(event, TaskFailed)] == [
        "task count failed (data); the site's own log says more"
    ]
    assert "told to fail" not in str(events)
    assert (status.phase, status.reason) == ("finished", "")
    assert performed["a"] == performed["c"] == ["count-1", "count-2"]


def test_a_model_is_trained_though_agents_and_aggregator_are_killed(tmp_path: Path) -> None:
    with checked(tmp_path) as federation:
        write_file(federation.plan().parent / "first.safetensors", {"weight": np.zeros(4, np.float32)})
        for name in SITES:
            federation.sites[name].hold("train", 2)
        run = federation.submit(**MODEL)
        federation.sites["b"].held(run.run_id, "train", 2)
        federation.agent("b").end(signal.SIGKILL)
        federation.sites["a"].release()
        run.until(SiteReady, exchange=3, site="a")
        federation.agent("a").end(signal.SIGKILL)
        federation.aggregator.end(signal.SIGKILL)
        federation.restart_aggregator()
        federation.release()
        federation.start_agent("a")
        federation.start_agent("b")
        run.finished()
        model = run.model(tmp_path / "results")
    weights, mean = np.arange(1, 4) * 10, np.zeros(4)
    for _ in range(2):
        mean = mean + 0.5 * (np.average([[i, 2, 3, 4] for i in (1, 2, 3)], axis=0, weights=weights) - mean)
    assert model["weight"] == pytest.approx(mean, abs=1e-5)
    committed = [e for e in run._events if isinstance(e, RoundCommitted)]
    assert len(committed) == 3
    assert [e.site for e in run._events if isinstance(e, SumAttempted)] == ["a"]
