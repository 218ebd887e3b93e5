from pathlib import Path

import pytest
from tests.parties import signing_key
from tests.unit.collaborator.aggregators import Site, manifest_of

from hanse.collaborator.plan_store import PlanStore, StoredAnswer
from hanse.errors import ConfigError, StorageError
from hanse.pki.statements import state
from hanse.wire.messages.sites import PLAN_ANSWER, PlanAnswer

MANIFEST = manifest_of()
DIGEST = MANIFEST.digest


@pytest.fixture
def plans(tmp_path: Path) -> PlanStore:
    plans = PlanStore(tmp_path / "plans")
    plans.keep(MANIFEST)
    return plans


@pytest.fixture
def answer(site: Site) -> StoredAnswer:
    body = PlanAnswer(
        federation="north", site="hospital-a", plan_digest=DIGEST, accepted=True, decided_ms=5_000
    )
    return StoredAnswer(by="person", statement=state(signing_key(site.credentials), PLAN_ANSWER, body))


def test_a_plan_is_found_by_the_beginning_of_its_digest(plans: PlanStore) -> None:
    assert plans.find(DIGEST[:8]) == DIGEST
    assert plans.manifest(DIGEST) == MANIFEST


def test_a_beginning_that_fits_several_plans_is_refused(plans: PlanStore) -> None:
    plans.keep(manifest_of(name="other"))

    with pytest.raises(ConfigError, match=f"2 plans in .* begin with ''.*{DIGEST[:12]}"):
        plans.find("")


def test_an_unknown_plan_is_answered_with_those_seen(plans: PlanStore) -> None:
    with pytest.raises(ConfigError, match=f"0 plans .*plans seen here: {DIGEST[:12]}"):
        plans.find("zzz")


def test_an_answer_is_read_back(plans: PlanStore, answer: StoredAnswer) -> None:
    assert plans.answer(DIGEST) is None

    plans.record(DIGEST, answer)

    assert plans.answer(DIGEST) == answer
    assert answer.decided.timestamp() == 5


def test_an_answer_ends_the_wait_for_a_person(plans: PlanStore, answer: StoredAnswer) -> None:
    plans.wait_for_person(DIGEST, ("no rule decides",))
    assert plans.pending() == (DIGEST,)

    plans.record(DIGEST, answer)

    assert plans.pending() == ()


def test_a_damaged_answer_is_told_with_the_mend(plans: PlanStore, tmp_path: Path) -> None:
    (tmp_path / "plans" / DIGEST / "answer.json").write_text('{"by": "person"}')

    with pytest.raises(StorageError, match=f"damaged. Decide again: `hanse plan approve {DIGEST[:12]}`"):
        plans.answer(DIGEST)


def test_the_runs_that_want_a_plan_are_those_of_last_time(plans: PlanStore) -> None:
    plans.note_runs({"demo-2": DIGEST, "demo-1": DIGEST}, {"demo-2": 5})
    assert plans.runs(DIGEST) == {"demo-1": None, "demo-2": 5}

    plans.note_runs({}, {})

    assert plans.runs(DIGEST) == {}


def test_runs_that_an_earlier_version_noted_are_read(plans: PlanStore, tmp_path: Path) -> None:
    (tmp_path / "plans" / DIGEST / "runs.json").write_text('["demo-1"]')

    assert plans.runs(DIGEST) == {"demo-1": None}
