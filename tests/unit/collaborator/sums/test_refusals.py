"""Aggregators and peers that depart from the protocol, and what a site says of its failures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.masked_sums import altered, member
from tests.unit.collaborator.sums.cells import (
    MEMBERS,
    OWN,
    PEERS,
    CellSite,
    checked,
    privacy,
    published,
)
from tests.unit.collaborator.test_tasks import UPDATE, FakeWorkers

from hanse.collaborator.task_worker.protocol import TaskReport
from hanse.core.journal.sum_records import ReadyReleased, RosterAccepted
from hanse.core.values.statements import SignedStatement
from hanse.core.values.sums.ready import READY
from hanse.errors import (
    AttemptError,
    ConfigError,
    DataError,
    LateResultError,
    MissingDataError,
    TaskError,
    UpdateError,
)
from hanse.pki.key_words import words_of
from hanse.wire.messages.sums import SumAsked


def failed(cell: CellSite, kind: str) -> None:
    """The site has said so, and nothing else."""
    outcome = cell.outcome
    assert outcome.outcome == "failed"
    assert outcome.reason == f"task train failed ({kind}); the site's own log says more"
    assert (outcome.log_tail, outcome.metrics, outcome.num_examples) == ("", {}, 0)
    assert outcome.update is None
    assert cell.upstream.delivered == {}


@pytest.mark.parametrize(
    ("result", "update"),
    [
        (TaskReport(num_examples=10, metrics={"loss": float("nan")}), UPDATE),
        (TaskReport(num_examples=10, metrics={"loss": None}), UPDATE),
        (TaskReport(num_examples=1, metrics={"loss": 0.5}), UPDATE),
        (TaskReport(num_examples=10, metrics={"loss": 0.5, "age": 41.0}), UPDATE),
        (TaskReport(num_examples=10), UPDATE | {"weight": np.full((2, 3), np.inf, np.float32)}),
        (TaskReport(num_examples=10, metrics={"loss": 0.5}), UPDATE | {"patients": np.ones(3)}),
        (TaskError("patient 41 is too old", log_tail="Traceback of patient 41"), UPDATE),
        (UpdateError("patient 41"), UPDATE),
        (MissingDataError("no column age"), UPDATE),
        (RuntimeError("patient 41"), UPDATE),
    ],
)
def test_all_failures_that_the_data_may_have_caused_look_alike(
    cell: CellSite, result: Any, update: Any, caplog: pytest.LogCaptureFixture
) -> None:
    cell.settings = checked() | {"policy": {"accept": ["demo"], "discloses": {"failures": "log"}}}
    cell.exchange(workers=FakeWorkers(result, update=update))

    failed(cell, "data")
    assert cell.upstream.readies == []
    assert not cell.folder().exists() or not (cell.folder() / "q.json").exists()
    assert "failed (data)" in caplog.text


def test_what_is_out_of_its_range_is_clipped_and_does_not_fail(cell: CellSite) -> None:
    report = TaskReport(num_examples=100_000, metrics={"loss": 1e9})
    update = {"weight": np.full((2, 3), 1e20, np.float32), "steps": np.array(10**6)}
    cell.exchange(workers=FakeWorkers(report, update=update))

    assert len(cell.upstream.opened) == 1


def test_a_cell_with_too_few_checked_peers_is_refused_before_the_task(cell: CellSite) -> None:
    workers = FakeWorkers()
    cell.settings = checked("berlin")
    cell.exchange(workers=workers)

    failed(cell, "policy")
    assert workers.orders == []
    assert cell.upstream.readies == []


def test_the_own_name_among_the_peers_does_not_count(cell: CellSite) -> None:
    cell.settings = checked("berlin")
    assert cell.upstream.recorded is not None
    cell.settings["secure_aggregation"]["peers"][OWN] = cell.upstream.recorded
    cell.exchange()

    failed(cell, "policy")


def test_keys_that_no_person_has_checked_do_where_the_site_says_so(cell: CellSite) -> None:
    cell.settings = {"secure_aggregation": {"trust_on_first_use": True}}
    cell.exchange()

    (accepted,) = [read for read in cell.records if isinstance(read, RosterAccepted)]
    assert accepted.checked == ()
    assert len(cell.upstream.opened) == 1


def test_peers_may_be_entered_in_words(cell: CellSite) -> None:
    peers = {peer.name: words_of(peer.fingerprint) for peer in PEERS}
    cell.settings = {"secure_aggregation": {"peers": peers}}
    cell.exchange()

    assert len(cell.upstream.opened) == 1


def test_more_colluders_are_assumed_where_the_site_says_so(cell: CellSite) -> None:
    cell.settings = checked()
    cell.settings["secure_aggregation"]["colluders"] = 3
    cell.exchange()

    failed(cell, "policy")


def test_a_cell_that_is_smaller_than_the_site_wants_is_refused(cell: CellSite) -> None:
    cell.settings = checked()
    cell.settings["secure_aggregation"]["minimum"] = len(MEMBERS) + 1
    cell.exchange()

    failed(cell, "policy")


def test_another_cell_than_that_of_the_plan_is_refused(cell: CellSite) -> None:
    cell.exchange(asked=SumAsked(cell="east", attempt=1))

    failed(cell, "policy")


def offered(cell: CellSite, change: Any) -> None:
    """Offer the roster with something changed in it."""
    upstream = cell.upstream
    honest = upstream.offer

    def offer() -> None:
        honest()
        rho = next(iter(upstream.offered))
        upstream.offered[rho] = tuple(change(list(upstream.offered[rho])))

    upstream.offer = offer  # type: ignore[method-assign]


def impostor(ready: list[SignedStatement]) -> list[SignedStatement]:
    other = member("berlin", "another key")
    return [altered(ready[0], other, signer=other.fingerprint), *ready[1:]]


def with_low_order(ready: list[SignedStatement]) -> list[SignedStatement]:
    return [altered(ready[0], PEERS[0], public="00" * 32), *ready[1:]]


def of_another_attempt(ready: list[SignedStatement]) -> list[SignedStatement]:
    return [altered(ready[0], PEERS[0], attempt=2), *ready[1:]]


def without_one(ready: list[SignedStatement]) -> list[SignedStatement]:
    return ready[1:]


def not_signed(ready: list[SignedStatement]) -> list[SignedStatement]:
    return [ready[0].model_copy(update={"body": ready[0].body | {"public": "11" * 32}}), *ready[1:]]


def of_another_question(ready: list[SignedStatement]) -> list[SignedStatement]:
    return [altered(ready[0], PEERS[0], context="5" * 64), *ready[1:]]


@pytest.mark.parametrize(
    "change", [impostor, with_low_order, of_another_attempt, without_one, not_signed, of_another_question]
)
def test_a_roster_that_does_not_hold_is_refused_and_nothing_is_masked(cell: CellSite, change: Any) -> None:
    cell.upstream.new_exchange()
    offered(cell, change)
    cell.run(cell.see_through())

    failed(cell, "roster")
    assert not any(isinstance(read, RosterAccepted) for read in cell.records)


def test_the_purpose_of_a_ready_is_part_of_its_signature(cell: CellSite) -> None:
    def another_purpose(ready: list[SignedStatement]) -> list[SignedStatement]:
        return [PEERS[0].key.sign("hanse task result 3", ready[0].body), *ready[1:]]

    cell.upstream.new_exchange()
    offered(cell, another_purpose)
    cell.run(cell.see_through())

    assert READY != "hanse task result 3"
    failed(cell, "roster")


def test_a_peer_that_commits_to_other_numbers_in_a_later_attempt_is_refused(cell: CellSite) -> None:
    upstream = cell.upstream

    def begun_again(outcome: Any) -> None:
        upstream.at_result = None
        assert upstream.sum is not None
        upstream.sum = replace(upstream.sum, commitments={})
        upstream.peers[0].commitment = "7" * 64
        upstream.peers[0].state = None
        upstream.delivered.clear()
        upstream.post(SumAsked(cell="all", attempt=2))

    upstream.at_result = begun_again
    cell.exchange()

    failed(cell, "roster")


def test_a_roster_of_before_is_not_accepted_for_a_later_ready(cell: CellSite) -> None:
    upstream = cell.upstream

    def replayed(outcome: Any) -> None:
        upstream.at_result = None
        upstream.delivered.clear()
        old = dict(upstream.offered)

        def offer(statement: SignedStatement) -> None:
            # The roster of attempt 1, as if it were that of attempt 2.
            upstream.offered["7" * 64] = next(iter(old.values()))
            upstream.post(SumAsked(cell="all", attempt=2, rho="7" * 64))

        upstream.at_ready = offer
        upstream.post(SumAsked(cell="all", attempt=2))

    upstream.at_result = replayed
    cell.exchange()

    failed(cell, "roster")


def test_an_aggregator_that_goes_back_to_an_earlier_attempt_gets_what_it_had(cell: CellSite) -> None:
    upstream = cell.upstream
    asked = [SumAsked(cell="all", attempt=3), SumAsked(cell="all", attempt=1)]

    def other(statement: SignedStatement) -> None:
        if asked:
            upstream.post(asked.pop(0))
        else:
            upstream.take_ready(statement)

    upstream.at_ready = other
    cell.exchange()

    # 3 where it is asked for 3, and the same READY where it is asked for 1 again.
    assert [ready.body["attempt"] for ready in upstream.readies] == [1, 3, 3]
    assert upstream.readies[1] == upstream.readies[2]
    assert [read.attempt for read in cell.records if isinstance(read, ReadyReleased)] == [1, 3]


def test_a_late_masked_vector_waits_for_the_next_attempt(cell: CellSite) -> None:
    cell.upstream.fail("masked", LateResultError("attempt 1 is over"))
    agent_asks_again(cell)
    cell.exchange()

    assert len(cell.upstream.opened) == 1


def agent_asks_again(cell: CellSite) -> None:
    """Begin attempt 2 when the first masked vector was refused."""
    upstream, meet = cell.upstream, cell.upstream._meet

    def noticed(method: str) -> None:
        try:
            meet(method)
        except LateResultError:
            upstream.post(SumAsked(cell="all", attempt=2))
            raise

    upstream._meet = noticed  # type: ignore[method-assign]


def test_ready_that_comes_too_late_ends_nothing(cell: CellSite) -> None:
    upstream = cell.upstream

    def late(statement: SignedStatement) -> None:
        upstream.post(None)
        raise LateResultError("the cell has ended")

    upstream.at_ready = late
    cell.exchange()

    assert upstream.outcomes == []


def test_attempts_that_are_denied_again_and_again_are_bounded(cell: CellSite) -> None:
    cell.upstream.fail("sum_ready", *[AttemptError("used up")] * 16)
    cell.exchange()

    failed(cell, "attempts")


def test_a_plan_whose_submission_has_no_time_is_refused(cell: CellSite) -> None:
    cell.work = cell.work.model_copy(update={"submitted_ms": None})
    workers = FakeWorkers()
    cell.exchange(workers=workers)

    failed(cell, "policy")
    assert workers.orders == []


def test_the_result_of_a_masked_task_is_never_taken_over_for_a_plain_one(cell: CellSite) -> None:
    cell.work = published(cell.site, cell.run, privacy=privacy())
    upstream = cell.upstream
    upstream.at_ready = lambda statement: upstream.post(None)
    cell.exchange()

    assert upstream.outcomes == []
    assert not list((cell.site.directory / "runs" / "demo-1" / "outcomes").glob("1.*"))


def test_a_roster_that_is_refused_fails_with_the_kind_of_the_refusal(cell: CellSite) -> None:
    cell.upstream.fail("sum_roster", ConfigError("no rosters here"))
    cell.exchange()

    failed(cell, "config")


def test_an_aggregator_that_speaks_of_the_data_does_not_count_as_a_failure_of_the_data(
    cell: CellSite,
) -> None:
    cell.upstream.fail("sum_ready", DataError("no data"))
    cell.exchange()

    failed(cell, "data")
    assert cell.site.journal().open().sums.failures == 0
