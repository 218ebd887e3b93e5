"""The arithmetic of masked sums beside that of plain ones: at a site, and at the aggregator.

Plain: a site checks its update; the aggregator checks each that came and folds them into the file of the
mean. Masked: a site checks, clips and rounds its update to the file of q, which it waits for the disk to
have, and masks that for its peers into a second file; the aggregator adds the words into the file of the
sum, and decodes that into the file of the mean. No transfers, no processes, no journals. Both ways go in
turn, and the median of all turns counts; updates are files, read once beforehand.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hanse.core.plan.group_tensors import Received
from hanse.core.plan.plan import Plan
from hanse.core.values.parameters import specs
from hanse.core.values.update import Update
from hanse.privacy.secagg.layout import Layout
from hanse.privacy.secagg.masks import MaskKey
from hanse.updates.drafts import MemoryDraft
from hanse.updates.incoming import check_incoming, fold, fold_cells
from hanse.updates.origin import Origin
from hanse.updates.outgoing import Outgoing, release
from hanse.updates.residuals import Residuals
from hanse.updates.secure_sums.layout import sum_layout
from hanse.updates.secure_sums.masked_file import write_masked
from hanse.updates.secure_sums.opened import CellWords, fold_masked
from hanse.updates.secure_sums.prepare import prepare
from hanse.updates.secure_sums.vector_file import MASKED, open_vector
from hanse.wire.tensors import open_file, write_file, write_hashed

TASK, TENSORS, CONTEXT, EXAMPLES = "train", 10, "0" * 64, 300
AGGREGATOR = ("plain_aggregator", "masked_aggregator")
SECURE = {
    "model": {"clip": 1_000.0},
    "examples": {"least": 200, "most": 1_200, "max_share": 1.0},
    "ready_after": "0s",
}


@dataclass(frozen=True, slots=True)
class Setting:
    """Sites, and where the files of one measurement are."""

    folder: Path
    sites: tuple[str, ...]
    received: Received

    def plan(self, aggregated_by: str) -> Plan:
        """A plan of one task whose update is averaged."""
        secure = aggregated_by == "secure_aggregation"
        discloses = {"update": "aggregate", "aggregated_by": aggregated_by}
        return Plan.model_validate(
            {
                "name": "benchmark",
                "code": ("learner.py",),
                "learner": "learner:learner",
                "initial_model": "model.safetensors",
                "digests": "blake3",
                "cells": {"all": self.sites} if secure else {},
                "tasks": {TASK: {"discloses": discloses}},
                "privacy": {"secure_aggregation": SECURE} if secure else {},
            }
        )

    def outgoing(self, site: str) -> Outgoing:
        """What a site's task gave."""
        return Outgoing(EXAMPLES, {}, MemoryDraft(open_file(self.folder / site)))


def plain_at_site(setting: Setting, plan: Plan, site: str) -> None:
    """Check an update as the agent does."""
    origin = Origin(plan, TASK, site, 1, setting.received)
    release(setting.outgoing(site), origin, Residuals(setting.folder / "none"))


def plain_aggregator(setting: Setting, plan: Plan) -> None:
    """Check all updates and fold them, as the service does."""
    updates = []
    for site in setting.sites:
        tensors = open_file(setting.folder / site)
        check_incoming(tensors, Origin(plan, TASK, site, 1, setting.received))
        updates.append(Update(site, EXAMPLES, {}, tensors))
    write_file(setting.folder / "mean", fold(plan, TASK, updates).delta or {})


def rounded_at_site(setting: Setting, plan: Plan, layout: Layout, site: str) -> None:
    """Check, clip and round an update."""
    origin = Origin(plan, TASK, site, 1, setting.received)
    prepare(setting.outgoing(site), origin, layout, CONTEXT, os.urandom, setting.folder / f"{site}.q")


def masked_at_site(setting: Setting, plan: Plan, layout: Layout, site: str) -> None:
    """Mask what was rounded for all peers."""
    q, y = setting.folder / f"{site}.q", setting.folder / f"{site}.y"
    write_masked(q, y, layout, keys_of(setting.sites, site), plan.digests)


def masked_aggregator(setting: Setting, plan: Plan, layout: Layout) -> None:
    """Check all vectors, add and decode them."""
    vectors = []
    for site in setting.sites:
        tensors = open_file(setting.folder / f"{site}.y")
        check_incoming(tensors, Origin(plan, TASK, site, 1, setting.received))
        vectors.append(tensors[MASKED])
    place = setting.folder / "sum"
    write_hashed(place, {MASKED: fold_masked(vectors)}, plan.digests)
    cell = CellWords("all", setting.sites, CONTEXT, open_vector(place, layout))
    opened = fold_cells(plan, TASK, setting.received, [cell])
    write_file(setting.folder / "mean", opened.aggregate.delta or {})


def keys_of(sites: tuple[str, ...], site: str) -> list[MaskKey]:
    """Keys that cancel between each two sites."""
    pairs = {other: " ".join(sorted((site, other))) for other in sites if other != site}
    return [
        MaskKey(hashlib.sha256(pair.encode()).digest()[:16], 1 if site < other else -1)
        for other, pair in pairs.items()
    ]


def measure(count: int, megabytes: float, turns: int) -> dict[str, Any]:
    """Both ways in turn; seconds of one site and of the aggregator."""
    sites = tuple(f"site-{number:02}" for number in range(count))
    size = int(megabytes * 1e6) // 4 // TENSORS
    with tempfile.TemporaryDirectory(prefix="hanse-bench-") as name:
        folder = Path(name)
        for number, site in enumerate(sites):
            rng = np.random.default_rng(number)
            update = {f"t{i}": rng.standard_normal(size, np.float32) for i in range(TENSORS)}
            write_file(folder / site, update)
        received = Received(specs(open_file(folder / sites[0])))
        setting = Setting(folder, sites, received)
        plain, secure = setting.plan("aggregator"), setting.plan("secure_aggregation")
        layout = sum_layout(secure, TASK, received)
        steps: dict[str, Callable[[str], None]] = {
            "plain_at_site": lambda site: plain_at_site(setting, plain, site),
            "rounded_at_site": lambda site: rounded_at_site(setting, secure, layout, site),
            "masked_at_site": lambda site: masked_at_site(setting, secure, layout, site),
            "plain_aggregator": lambda _: plain_aggregator(setting, plain),
            "masked_aggregator": lambda _: masked_aggregator(setting, secure, layout),
        }
        seconds: dict[str, list[float]] = {step: [] for step in steps}
        cpu: dict[str, list[float]] = {step: [] for step in steps}
        for _ in range(turns):
            for step, act in steps.items():
                for site in sites if step.endswith("at_site") else ("",):
                    began, used = time.perf_counter(), time.process_time()
                    act(site)
                    seconds[step].append(time.perf_counter() - began)
                    cpu[step].append(time.process_time() - used)
    row: dict[str, Any] = {"sites": count, "megabytes": megabytes}
    for step in steps:
        row[f"{step}_s"] = statistics.median(seconds[step])
        row[f"{step}_cpu_s"] = statistics.median(cpu[step])
    row["aggregator_ratio"] = row["masked_aggregator_s"] / row["plain_aggregator_s"]
    row["aggregator_cpu_ratio"] = row["masked_aggregator_cpu_s"] / row["plain_aggregator_cpu_s"]
    return row


def print_row(row: dict[str, Any], *, first: bool) -> None:
    """A row for people."""
    if first:
        print("arithmetic: seconds (processor seconds)")
        print(f"sites     MB {'a site, plain':>18} {'rounded':>16} {'masked':>16}", end=" ")
        print(f"{'aggregator, plain':>18} {'masked':>16}   ratio")
    shown = [
        f"{row[f'{step}_s']:.3f} ({row[f'{step}_cpu_s']:.3f})"
        for step in (*("plain_at_site", "rounded_at_site", "masked_at_site"), *AGGREGATOR)
    ]
    print(f"{row['sites']:5} {row['megabytes']:6g} {shown[0]:>18} {shown[1]:>16} {shown[2]:>16}", end=" ")
    print(f"{shown[3]:>18} {shown[4]:>16} {row['aggregator_ratio']:7.2f}", flush=True)
