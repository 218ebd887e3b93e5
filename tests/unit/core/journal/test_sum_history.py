"""What a site's journal remembers of masked sums."""

from __future__ import annotations

from typing import Any

import pytest

from hanse.core.journal.site_records import (
    FailureReleased,
    ReleasedUpdate,
    ResultReleased,
    SiteRecord,
    read_site_record,
    site_record_body,
)
from hanse.core.journal.sum_history import ReleasedVector, SumHistory
from hanse.core.journal.sum_records import (
    AgreedOverlap,
    CellsAgreed,
    FailuresPermitted,
    ReadyReleased,
    RosterAccepted,
    SumPrepared,
)
from hanse.core.values.sums.place import SumPlace

PLAN, OTHER_PLAN = "1" * 64, "2" * 64
KEYS = {name: name * 64 for name in "abcdef"}
TASK = {"round_number": 1, "task": "train", "model": None}


def prepared(exchange: int = 1, run: str = "r", plan: str = PLAN, **told: Any) -> SumPrepared:
    return SumPrepared(
        run_id=run,
        plan_digest=plan,
        exchange=exchange,
        cell="all",
        members=("a", "b", "c"),
        **{"colluders": 1, "data": ("hearts",), "paths": ("9" * 64,)} | told,
        context="3" * 64,
        layout="4" * 64,
        commitment="5" * 64,
        words=8,
        **TASK,
    )


def ready(attempt: int, exchange: int = 1) -> ReadyReleased:
    return ReadyReleased(
        run_id="r",
        plan_digest=PLAN,
        exchange=exchange,
        attempt=attempt,
        public="6" * 64,
        context="3" * 64,
        commitment="5" * 64,
    )


def accepted(
    names: str = "abc", exchange: int = 1, *, run: str = "r", plan: str = PLAN, attempt: int = 1, **other: str
) -> RosterAccepted:
    return RosterAccepted(
        run_id=run,
        plan_digest=plan,
        exchange=exchange,
        attempt=attempt,
        rho="7" * 64,
        signers={name: KEYS[name] for name in names} | other,
        commitments=dict.fromkeys(names, f"{attempt}" * 64),
    )


def masked(attempt: int = 1, exchange: int = 1) -> ResultReleased:
    place = SumPlace(cell="all", attempt=attempt, rho=f"{attempt}" * 64)
    update = ReleasedUpdate(digest="8" * 64, size=9)
    told = {"num_examples": 0, "update": update, "secure_sum": place, **TASK}
    return ResultReleased(run_id="r", plan_digest=PLAN, exchange=exchange, **told)


def failure(exchange: int, *, of_data: bool = True) -> FailureReleased:
    told = {"reason": "failed", "of_data": of_data, **TASK}
    return FailureReleased(run_id="r", plan_digest=PLAN, exchange=exchange, **told)


def history(*records: SiteRecord) -> SumHistory:
    found = SumHistory()
    for record in records:
        found.add(record)
    return found


def test_the_last_exchange_is_remembered_with_its_attempts_and_vectors() -> None:
    known = history(prepared(), ready(1), ready(2), accepted(), masked(2)).last("r", PLAN)

    assert known is not None
    assert (known.prepared.exchange, known.last) == (1, 2)
    assert known.masked == {"2" * 64: ReleasedVector(2, "8" * 64)}


def test_a_later_exchange_takes_the_place_of_the_one_before() -> None:
    known = history(prepared(), ready(5), accepted(), prepared(2)).last("r", PLAN)

    assert known is not None
    assert (known.prepared.exchange, known.last, dict(known.commitments)) == (2, 0, {})


def test_the_first_roster_of_an_exchange_decides() -> None:
    known = history(prepared(), accepted(attempt=1), accepted(attempt=2)).last("r", PLAN)

    assert known is not None
    assert known.commitments["b"] == "1" * 64


def test_a_run_of_another_plan_is_another_run() -> None:
    assert history(prepared()).last("r", OTHER_PLAN) is None


def test_keys_are_remembered_as_they_were_first_seen_in_a_plan() -> None:
    found = history(prepared(), accepted(), accepted(b="f" * 64))

    assert found.seen(PLAN)["b"] == KEYS["b"]
    assert found.seen(OTHER_PLAN) == {}
    assert found.key_of("b", "bbb") == KEYS["b"]
    assert found.key_of("b", "f") == "f" * 64
    assert found.key_of("b", "5") is None


@pytest.mark.parametrize(
    ("data", "paths", "found"),
    [
        (("hearts",), (), 1),
        (("lungs",), ("9" * 64,), 1),
        (("lungs",), ("8" * 64,), 0),
        (("lungs", "hearts"), ("9" * 64,), 1),
        ((), (), 0),
    ],
)
def test_rosters_are_found_by_the_name_or_the_path_of_the_data(
    data: tuple[str, ...], paths: tuple[str, ...], found: int
) -> None:
    assert len(history(prepared(), accepted()).rosters(data, paths)) == found


def test_plans_that_declare_no_data_are_taken_for_the_same_data() -> None:
    known = history(prepared(data=(), paths=()), accepted())

    assert len(known.rosters((), ())) == 1
    assert known.rosters(("hearts",), ()) == ()


def test_the_same_keys_are_one_roster_however_often_they_met() -> None:
    records: list[SiteRecord] = []
    for exchange in range(1, 50):
        records += [prepared(exchange), accepted("abc", exchange)]
    records += [prepared(50), accepted("abd", 50)]

    assert [sorted(each.signers) for each in history(*records).rosters(("hearts",), ())] == [
        ["a", "b", "c"],
        ["a", "b", "d"],
    ]


def test_the_most_colluders_of_a_data_source_count_once_a_roster_was_accepted() -> None:
    known = history(prepared(colluders=3), accepted(), prepared(2, colluders=7))

    assert known.colluders(("hearts",), ()) == 3
    assert known.colluders(("lungs",), ()) == 0


def test_a_yes_holds_for_its_two_rosters() -> None:
    overlap = AgreedOverlap(plan_digest=PLAN, cell="all", signers={"a": KEYS["a"]}, disclosed=("b",))
    agreed = CellsAgreed(
        plan_digest=OTHER_PLAN,
        cell="all",
        signers={"a": KEYS["a"], "b": KEYS["b"]},
        by="kim",
        overlaps=(overlap,),
        reason="b has agreed",
    )

    assert history(agreed).agreed((), ()) == {(frozenset({KEYS["a"], KEYS["b"]}), frozenset({KEYS["a"]}))}


def test_state_counts_of_exchanges_with_an_accepted_roster() -> None:
    known = history(prepared(2), accepted("abc", 2), prepared(4))

    assert [number for number in range(6) if known.accepted("r", PLAN, number)] == [2]


def test_failures_count_by_exchange_until_a_person_permits_more() -> None:
    records = [failure(1), failure(1), failure(2), failure(3, of_data=False)]
    permitted = FailuresPermitted(run_id="r", plan_digest=PLAN, by="kim", reason="a full disk")

    assert history(*records).failures == 2
    assert history(*records, permitted).failures == 0
    assert history(*records, permitted, failure(4)).failures == 1


@pytest.mark.parametrize("record", [prepared(), ready(1), accepted(), failure(1)])
def test_records_are_read_as_they_were_written(record: SiteRecord) -> None:
    assert read_site_record(record.kind, site_record_body(record)) == record


def test_a_failure_of_a_plain_task_is_written_as_before() -> None:
    assert "of_data" not in site_record_body(failure(1, of_data=False))
