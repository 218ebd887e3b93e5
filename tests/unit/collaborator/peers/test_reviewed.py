"""A plan that is reviewed at a site which was summed over the same data before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.unit.collaborator.aggregators import Site, manifest_of
from tests.unit.core.plan.privacy.secure_plans import secure_plan

from hanse.collaborator.review import Reviewer
from hanse.core.journal.sum_records import RosterAccepted, SumPrepared
from hanse.core.plan.manifest import CodeFile, Manifest
from hanse.core.values.canonical import sha256


def test_the_colluders_of_an_earlier_sum_count_in_a_later_plan(site: Site, run: Callable[[Any], Any]) -> None:
    told = {"run_id": "early-1", "plan_digest": "1" * 64, "exchange": 1}
    context = site.context(secure_aggregation={"peers": {name: sha256(name.encode()) for name in "bc"}})
    digests = dict.fromkeys(("context", "layout", "commitment"), "2" * 64)
    prepared = {"round_number": 1, "task": "train", "model": None, "members": (), "colluders": 2, "words": 1}
    context.journal.record(SumPrepared(cell="all", **prepared, **digests, **told))
    context.journal.record(
        RosterAccepted(attempt=1, rho="3" * 64, signers={}, commitments={}, checked=(), **told)
    )
    first = CodeFile(path="first.safetensors", sha256="4" * 64, size=1)
    plan = secure_plan(
        name="demo",
        code=["federation.py"],
        learner="federation:learner",
        workflow="fedavg",
        initial_model=first.path,
        cells={"all": ["hospital-a", "b", "c", "d"]},
    )
    work = site.publish(Manifest(plan=plan, files=manifest_of().files, initial_model=first))

    run(Reviewer(context).review(work))

    (answer,) = site.upstream.answers
    assert "have to check the signing keys of 3 other members of cell all" in answer.reasons[0]
