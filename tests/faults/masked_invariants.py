"""What has to hold of masked sums after every fault: one vector an exchange, one masked vector a roster."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tests.faults.invariants import check_everything
from tests.faults.small_federation import SmallFederation
from tests.integration.deployment import Run, Site
from tests.integration.masked_plans import trained
from tests.sum_invariants import check_events, check_records

from hanse.collaborator.site_journal import records_of
from hanse.core.journal.site_history import SiteHistory
from hanse.core.run.round_events import RoundCommitted
from hanse.wire.tensors import decode

ERROR = 1e-6
"""Beyond the stated error of these plans, whose grid is 8 / 2^29, and float32."""


def check_masked(small_federation: SmallFederation, plan: Path, folder: Path, *, last: int = 1_000) -> None:
    """As `check_everything`, of runs whose sums are masked, and what holds of their vectors.

    Args:
        small_federation: With every party up.
        plan: Of all runs; `masked_plans.MODEL`, with any number of rounds.
        folder: For what is brought home.
        last: How many of the last runs to look at closely.
    """
    check_everything(small_federation, plan, folder, last=last, check_model=check_trained)
    for run in small_federation.federation.runs()[:last]:
        check_one_vector_each(run)
    for site in small_federation.federation.sites.values():
        check_site(site)


def check_trained(run: Run, home: Path) -> None:
    """The model is that of an undisturbed run, within the stated error."""
    committed = sum(isinstance(event, RoundCommitted) for event in run.events) - 1
    model = decode((home / "model.safetensors").read_bytes())["weight"]
    assert np.abs(model - trained(committed)).max() < ERROR, f"not the model of an undisturbed run: {run}"


def check_one_vector_each(run: Run) -> None:
    """As `check_events`, of a run."""
    check_events(run.events)


def check_site(site: Site) -> None:
    """As `check_records`, of a site's journal."""
    check_records(site.name, [read for _, read in records_of(site.directory, SiteHistory())])
    for run in site.directory.glob("runs/*/sums"):  # of the last exchange: the run may be resumed
        assert len(list(run.iterdir())) <= 1, f"vectors that no sum needs any more: {list(run.iterdir())}"
        assert {path.suffix for path in run.glob("*/*")} <= {"", ".json", ".y"}
