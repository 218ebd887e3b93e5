"""Plans whose sums are masked, for real federations whose sites have checked each other's keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from tests.integration.deployment import Deployment, done

from hanse.wire.tensors import write_file

SITES = ("a", "b", "c")
"""The cell."""
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


def check_peers(federation: Deployment) -> None:
    """Enter the signing keys of all sites among the checked peers of each other, before agents start."""
    keys = {name: signing_key(federation, name) for name in federation.sites}
    for name, site in federation.sites.items():
        peers = {peer: key for peer, key in keys.items() if peer != name}
        site.settings(secure_aggregation={"peers": peers})


def signing_key(federation: Deployment, name: str) -> str:
    """The fingerprint of a site's signing key, as its own people read it."""
    said = done("collaborator", "signing-key", "--site", federation.sites[name].directory, "--json")
    found: str = json.loads(said)["fingerprint"]
    return found


def model_plan(federation: Deployment, **changes: Any) -> Path:
    """Write the plan `MODEL`, with changes, beside the model that it begins with."""
    plan = federation.plan(**MODEL | changes)
    write_file(plan.parent / "first.safetensors", {"weight": np.zeros(4, np.float32)})
    return plan


def trained(rounds: int) -> np.ndarray[Any, Any]:
    """The model of an undisturbed run of `MODEL`: float64, 4 numbers, computed by hand."""
    weights, mean = np.arange(1, 4) * 10, np.zeros(4)
    for _ in range(rounds):
        mean = mean + 0.5 * (np.average([[i, 2, 3, 4] for i in (1, 2, 3)], axis=0, weights=weights) - mean)
    return mean
