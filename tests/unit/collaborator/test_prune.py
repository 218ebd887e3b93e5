"""What a site need not keep, and what it keeps however old it is."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from tests.parties import NOW, signing_key
from tests.unit.collaborator.aggregators import Site, manifest_of

from hanse.collaborator.plan_store import PlanStore, StoredAnswer
from hanse.collaborator.prune import prunable
from hanse.collaborator.run_folder import RunFolder, ended_at
from hanse.config.settings import SiteRetention
from hanse.pki.statements import state
from hanse.wire.messages.sites import PLAN_ANSWER, PlanAnswer

DAYS = 86_400.0
MANIFEST = manifest_of()
DIGEST = MANIFEST.digest


def run_that_ended(site: Path, run_id: str, days_ago: float) -> Path:
    folder = site / "runs" / run_id
    RunFolder(folder).mark_ended()
    (folder / "work" / "state.bin").write_bytes(b"12345")
    age(folder / "ended", days_ago)
    return folder


def a_plan(site: Path, days_ago: float) -> PlanStore:
    plans = PlanStore(site / "plans")
    plans.keep(MANIFEST)
    plans.bundle(DIGEST).mkdir()
    (plans.bundle(DIGEST) / "federation.py").write_text("")
    age(plans.file(DIGEST), days_ago)
    return plans


def age(path: Path, days: float) -> None:
    when = (NOW - timedelta(days=days)).timestamp()
    os.utime(path, (when, when))


def found(site: Path, **keep: float) -> list[str]:
    return [each.what for each in prunable(site, SiteRetention.model_validate(keep), NOW)]


def test_the_folder_of_a_run_goes_once_the_run_has_been_over_for_long(tmp_path: Path) -> None:
    old = run_that_ended(tmp_path, "old-1", days_ago=31)
    run_that_ended(tmp_path, "new-1", days_ago=29)

    (pruned,) = prunable(tmp_path, SiteRetention(runs=30 * DAYS), NOW)
    pruned.delete()

    assert (pruned.what, pruned.num_bytes) == ("run old-1", 5)
    assert not old.exists()
    assert (tmp_path / "runs" / "new-1" / "work").is_dir()


def test_a_run_that_is_not_over_stays_however_old_it_is(tmp_path: Path) -> None:
    RunFolder(tmp_path / "runs" / "slow-1")
    resumed = RunFolder(run_that_ended(tmp_path, "resumed-1", days_ago=400))
    resumed.mark_under_way()
    wanted = run_that_ended(tmp_path, "wanted-1", days_ago=400)
    a_plan(tmp_path, days_ago=400).note_runs({"wanted-1": DIGEST}, {})

    assert found(tmp_path, runs=DAYS, plans=DAYS) == []
    assert ended_at(wanted) is not None


def test_nothing_goes_where_the_settings_keep_all(tmp_path: Path) -> None:
    run_that_ended(tmp_path, "old-1", days_ago=4000)
    a_plan(tmp_path, days_ago=4000)

    assert found(tmp_path) == []


def test_a_plan_that_no_run_has_wanted_for_long_goes(tmp_path: Path) -> None:
    a_plan(tmp_path, days_ago=200)

    assert found(tmp_path, plans=201 * DAYS) == []
    assert found(tmp_path, plans=199 * DAYS) == [f"plan {DIGEST[:12]}"]


@pytest.mark.parametrize("by", ["rule", "person"])
def test_what_a_person_has_decided_stays_without_the_code(site: Site, by: str) -> None:
    plans = a_plan(site.directory, days_ago=200)
    body = PlanAnswer(
        federation="north", site="hospital-a", plan_digest=DIGEST, accepted=False, decided_ms=5_000
    )
    statement = state(signing_key(site.credentials), PLAN_ANSWER, body)
    plans.record(DIGEST, StoredAnswer.model_validate({"by": by, "statement": statement}))
    age(plans.file(DIGEST).with_name("answer.json"), 200)

    (pruned,) = prunable(site.directory, SiteRetention(plans=DAYS), NOW)
    pruned.delete()

    assert (plans.answer(DIGEST) is not None) == (by == "person")
    assert not plans.bundle(DIGEST).exists()
    assert found(site.directory, plans=DAYS) == []
