"""Masked vectors that come from a cell, and what is refused in their place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.blobs import named
from tests.federations import AGGREGATE, FederationFixture
from tests.unit.aggregator.sums.cells import Sums, asked

from hanse.aggregator.blobs.retention import references
from hanse.core.run.round_events import ResultRefused, TaskFailed, UpdateAccepted
from hanse.core.run.run import Phase
from hanse.core.values.canonical import sha256
from hanse.core.values.parameters import Parameters
from hanse.core.values.sums.place import SumPlace
from hanse.core.values.sums.ready import MOST_ATTEMPTS
from hanse.errors import DisclosureError, HanseError, LateResultError, PolicyError, ProtocolError, RunError
from hanse.wire.messages.sites import TaskOutcome, UpdateFile
from hanse.wire.tensors import encode

Run = Callable[[Any], Any]


def in_sums(run: Run, fixture: FederationFixture, body: Callable[[Sums], Any], **plan: Any) -> None:
    async def main() -> None:
        async with asked(fixture, **plan) as sums:
            await body(sums)

    run(main())


def refusals(sums: Sums) -> list[ResultRefused]:
    return [event for event in sums.fixture.events(sums.run_id) if isinstance(event, ResultRefused)]


def with_file(sums: Sums, outcome: TaskOutcome, tensors: Parameters) -> TaskOutcome:
    """The outcome with another file, which is brought."""
    file = sums.fixture.bring(outcome.site, encode(tensors))
    return outcome.model_copy(update={"update": file})


class TestMasked:
    def test_it_counts_without_a_number_of_one_site(self, fixture: FederationFixture, run: Run) -> None:
        async def body(sums: Sums) -> None:
            await sums.ready()
            await sums.masked()
            accepted = [e for e in fixture.events(sums.run_id) if isinstance(e, UpdateAccepted)]
            assert [(e.site, e.num_examples, e.metrics) for e in accepted] == [
                ("a", 0, {}),
                ("b", 0, {}),
                ("c", 0, {}),
            ]
            assert sums.exchange.closed == "all"

        in_sums(run, fixture, body)

    def test_who_has_answered_is_asked_until_the_cell_is_complete(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def body(sums: Sums) -> None:
            await sums.ready()
            await sums.masked("a", "b")
            assert (await sums.sites["a"].asked()).secure_sum is not None
            await sums.masked("c")
            assert (await sums.sites["a"].work()).assignments == ()

        in_sums(run, fixture, body)

    def test_a_repetition_changes_nothing(self, fixture: FederationFixture, run: Run) -> None:
        async def body(sums: Sums) -> None:
            await sums.ready()
            outcome = await sums.sites["a"].masked()
            first = await sums.sites["a"].hand_in(outcome)
            second = await sums.sites["a"].hand_in(outcome)
            assert (first.duplicate, second.duplicate) == (False, True)

        in_sums(run, fixture, body)

    def test_its_file_has_the_bytes_of_the_words_and_a_header(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def body(sums: Sums) -> None:
            # #out_of_range, #metric/loss and four counts.
            assert (await sums.sites["a"].asked()).max_update_bytes == 6 * 4 + 65_536
            with pytest.raises(PolicyError, match="a wants to upload 70000 bytes"):
                fixture.bring("a", bytes(70_000))

        in_sums(run, fixture, body)

    @pytest.mark.parametrize(
        ("changes", "error", "problem"),
        [
            ({"secure_sum": None}, DisclosureError, "sent an unmasked result"),
            ({"update": None}, DisclosureError, "sent an unmasked result"),
            ({"num_examples": 7}, DisclosureError, "sent its number of examples or metrics"),
            ({"metrics": {"loss": 0.5}}, DisclosureError, "sent its number of examples or metrics"),
            (
                {"secure_sum": SumPlace(cell="north", attempt=1, rho=sha256(b""))},
                ProtocolError,
                "masked for cell north, and its cell is all",
            ),
            (
                {"secure_sum": SumPlace(cell="all", attempt=1, rho=sha256(b""))},
                LateResultError,
                "attempt 1 of cell all in exchange 1 is over, or has another roster",
            ),
            ({"settings": {"scale": 2.0}}, ProtocolError, "belongs to another run, plan, model or groups"),
        ],
    )
    def test_whatever_else_comes_is_refused_and_recorded_without_its_numbers(
        self,
        changes: dict[str, Any],
        error: type[HanseError],
        problem: str,
        fixture: FederationFixture,
        run: Run,
    ) -> None:
        async def body(sums: Sums) -> None:
            await sums.ready()
            outcome = await sums.sites["a"].masked()
            with pytest.raises(error) as refused:
                await sums.sites["a"].state(outcome.model_copy(update=changes))
            assert problem in f"{refused.value} {refused.value.mend}"
            (event,) = refusals(sums)
            assert (event.error, event.num_examples) == (error.code, None)
            assert not sums.cell.masked

        in_sums(run, fixture, body)

    @pytest.mark.parametrize(
        "tensors",
        [
            {"masked": np.zeros(5, np.uint32)},
            {"masked": np.zeros(6, np.uint64)},
            {"masked": np.zeros((2, 3), np.uint32)},
            {"words": np.zeros(6, np.uint32)},
            {"masked": np.zeros(6, np.uint32), "more": np.zeros(1, np.uint8)},
            {"@counts": np.arange(1, 5)},
        ],
    )
    def test_another_file_than_one_vector_of_the_words_is_refused(
        self, tensors: Parameters, fixture: FederationFixture, run: Run
    ) -> None:
        async def body(sums: Sums) -> None:
            await sums.ready()
            outcome = with_file(sums, await sums.sites["a"].masked(), tensors)
            with pytest.raises(DisclosureError, match="is not one vector of the sum"):
                await sums.sites["a"].state(outcome)
            assert not sums.cell.masked

        in_sums(run, fixture, body)

    def test_a_second_vector_for_one_roster_is_refused(self, fixture: FederationFixture, run: Run) -> None:
        async def body(sums: Sums) -> None:
            await sums.ready()
            outcome = await sums.sites["a"].masked()
            await sums.sites["a"].hand_in(outcome)
            other = with_file(sums, outcome, {"masked": np.zeros(6, np.uint32)})
            with pytest.raises(RunError, match="another masked vector for this roster"):
                await sums.sites["a"].state(other)
            assert sums.cell.masked["a"] == (outcome.update and outcome.update.digest)

        in_sums(run, fixture, body)

    def test_that_of_an_attempt_which_is_over_is_late(self, fixture: FederationFixture, run: Run) -> None:
        async def body(sums: Sums) -> None:
            await sums.ready()
            outcome, b = await sums.sites["a"].masked(), sums.sites["b"]
            b.lose_key()
            await b._see_to(await b.work(), await b.asked())
            with pytest.raises(LateResultError, match="attempt 1 of cell all in exchange 1 is over"):
                await sums.sites["a"].hand_in(outcome)
            assert [event.num_examples for event in refusals(sums)] == [None]

        in_sums(run, fixture, body)

    def test_a_late_unmasked_result_leaves_no_number_in_the_journal(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def body(sums: Sums) -> None:
            await sums.ready()
            outcome = await sums.sites["c"].masked()
            await sums.masked("a", "b")
            failed = fixture.outcome(
                sums.run_id, "c", outcome="failed", num_examples=0, reason="task count failed (data)"
            )
            await fixture.hand_in(failed)
            unmasked = outcome.model_copy(update={"secure_sum": None, "num_examples": 12})
            with pytest.raises(HanseError):
                await sums.sites["c"].state(unmasked)
            assert [event.num_examples for event in refusals(sums)] == [None]

        in_sums(run, fixture, body)


class TestFailure:
    def test_its_kind_is_recorded(self, fixture: FederationFixture, run: Run) -> None:
        async def body(sums: Sums) -> None:
            failed = fixture.outcome(
                sums.run_id, "a", outcome="failed", num_examples=0, reason="task count failed (data)"
            )
            await fixture.hand_in(failed)
            (event,) = [e for e in fixture.events(sums.run_id) if isinstance(e, TaskFailed)]
            assert event.reason == "task count failed (data)"

        in_sums(run, fixture, body)

    def test_print_out_is_refused(self, fixture: FederationFixture, run: Run) -> None:
        async def body(sums: Sums) -> None:
            failed = fixture.outcome(
                sums.run_id, "a", outcome="failed", num_examples=0, reason="task failed", log_tail="patient 7"
            )
            with pytest.raises(DisclosureError, match="failed and said more than that"):
                await fixture.hand_in(failed)
            assert "patient 7" not in str(fixture.events(sums.run_id))

        in_sums(run, fixture, body)


def test_a_masked_vector_where_the_plan_masks_nothing_is_refused(
    fixture: FederationFixture, run: Run
) -> None:
    async def main() -> None:
        async with fixture.serving():
            run_id = await fixture.asked(tasks={"train": {"discloses": AGGREGATE}})
            file = fixture.bring("a", {"masked": np.zeros(3, np.uint32)})
            place = SumPlace(cell="all", attempt=1, rho="0" * 64)
            outcome = fixture.outcome(run_id, "a", update=file, secure_sum=place)
            with pytest.raises(ProtocolError, match="its results are not masked by the plan"):
                await fixture.hand_in(outcome)
            (event,) = [e for e in fixture.events(run_id) if isinstance(e, ResultRefused)]
            assert event.error == "protocol"

    run(main())


def test_a_vector_that_was_not_brought_is_asked_for(fixture: FederationFixture, run: Run) -> None:
    async def body(sums: Sums) -> None:
        await sums.ready()
        outcome = await sums.sites["a"].masked()
        missing = UpdateFile(digest=named(b"another"), size=7)
        with pytest.raises(HanseError, match="the update of task count at a is not here"):
            await sums.sites["a"].state(outcome.model_copy(update={"update": missing}))

    in_sums(run, fixture, body)


class TestKept:
    def test_vectors_of_a_cell_that_was_left_out_are_kept_for_a_resumption(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def body(sums: Sums) -> None:
            await sums.ready()
            await sums.masked("a", "b")
            failed = fixture.outcome(
                sums.run_id, "c", outcome="failed", num_examples=0, reason="task count failed (data)"
            )
            await fixture.hand_in(failed)
            assert fixture.run(sums.run_id).phase is Phase.FAILED
            assert {*sums.cell.masked} == {"a", "b"}
            assert {*sums.cell.masked.values()} <= references(fixture.run(sums.run_id))

        in_sums(run, fixture, body)

    def test_a_site_may_bring_a_vector_for_each_attempt(self, fixture: FederationFixture, run: Run) -> None:
        async def body(sums: Sums) -> None:
            for attempt in range(MOST_ATTEMPTS + 8):
                fixture.bring("a", bytes([attempt]))
            with pytest.raises(PolicyError, match="a has uploaded 24 blobs and used none of them"):
                fixture.bring("a", b"one more")

        in_sums(run, fixture, body)
