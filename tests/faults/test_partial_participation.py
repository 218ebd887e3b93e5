"""Who is missing from a round is told, and a site that keeps failing is suspended until it is reinstated."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from tests.integration.deployment import Deployment, done

from hanse.core.run.round_events import ExchangeClosed, RoundCommitted, RoundOpened
from hanse.core.run.site_events import SiteReinstated, SiteSuspended

COHORT = {
    "deadline": "5m",
    "quorum": 0.5,
    "tolerated_missing": 0.4,
    "set_aside_after": 2,
    "rest": "99 rounds",
}
PLAN: dict[str, Any] = {
    "rounds": 6,
    "cohort": COHORT,
    "tasks": {
        "train": {
            "lr": 0.1,
            "retries": 0,
            "discloses": {"update": "aggregate", "aggregated_by": "aggregator", "metrics": ["loss"]},
        }
    },
}


def test_a_site_that_keeps_failing_is_set_aside_told_so_and_taken_back(
    federation: Deployment, tmp_path: Path
) -> None:
    directory = ("-d", federation.directory)
    a, b = federation.sites["a"], federation.sites["b"]
    b.hold("train", 2)
    a.hold("train", 5)
    run = federation.submit(**PLAN)
    b.held(run.run_id, "train", 2)
    b.fail("train")
    b.release()
    run.until(RoundCommitted, round_number=2)  # b had begun before it was told to fail
    a.held(run.run_id, "train", 5)

    federation.aggregator.end(signal.SIGKILL)
    federation.start_aggregator()
    aside = json.loads(done("run", "status", run.run_id, *directory, "--json"))
    listed = done("run", "list", *directory)
    federation.agent("b").says(f"run {run.run_id}: this site is suspended: it failed in 2 rounds in a row")
    told = done("run", "reinstate", run.run_id, "b", *directory)
    b.recover()
    federation.release()
    run.finished()

    assert [(found["site"], found["round_number"]) for found in aside["suspended"]] == [("b", 4)]
    assert aside["attendance"][-1]["failed"].keys() == {"b"}
    assert "b suspended; too little data in 2 rounds" in listed
    assert told == f"b is reinstated in run {run.run_id}; it is asked from the next round on\n"
    cohorts = {event.round_number: event.cohort for event in run.events if isinstance(event, RoundOpened)}
    assert [cohorts[number] for number in range(1, 7)] == [("a", "b")] * 4 + [("a",), ("a", "b")]
    assert run.until(SiteSuspended, site="b").round_number == 4
    assert run.until(SiteReinstated, site="b").by == "operator"
    shares = [event.data.share for event in run.events if isinstance(event, ExchangeClosed) and event.data]
    assert shares == [0.0, 0.0, 0.0, 0.5, 0.5, 0.5, 0.0]
    watched = done("run", "watch", run.run_id, *directory)
    assert "warning: round 3, train: b (failed), 50 % of the data known so far, is not in it" in watched
    assert "warning: in rounds 3, 4 and 5, more data was missing than the plan tolerates" in watched
    run.export(tmp_path)
    audited = done("audit", "show", tmp_path / "journal.jsonl")
    assert "suspended: it failed in 2 rounds in a row, at last in round 4, train: " in audited
