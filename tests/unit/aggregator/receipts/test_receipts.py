"""Receipts that the aggregator gives for outcomes, and to agents that connect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.federations import FederationFixture

from hanse.core.journal.chain import ChainHead
from hanse.core.journal.membership import STREAM
from hanse.core.journal.receipts import Receipt
from hanse.core.run.lifecycle import Stop
from hanse.core.run.round_events import UpdateAccepted
from hanse.core.values.canonical import digest_of
from hanse.core.values.statements import CertifiedStatement
from hanse.errors import LateResultError
from hanse.pki.receipts import verify_receipt
from hanse.wire.messages.sites import ReceiptsRequest, ResultReply

Run = Callable[[Any], Any]


def read(fixture: FederationFixture, statement: CertifiedStatement) -> Receipt:
    return verify_receipt(statement, fixture.authority.certificate)


def of_outcome(fixture: FederationFixture, reply: ResultReply) -> Any:
    received = read(fixture, reply.receipt).received
    assert received is not None
    return received


def test_a_receipt_names_the_outcome_and_a_record_at_or_after_it(
    fixture: FederationFixture, run: Run
) -> None:
    async def main() -> None:
        async with fixture.serving():
            run_id = await fixture.asked()
            reply = await fixture.answered(run_id, "a")
            received = of_outcome(fixture, reply)
            records = fixture.journal.read(run_id)
            (accepted,) = (record for record in records if record.kind == "UpdateAccepted")
            assert received.outcome == digest_of(accepted.body["statement"]["body"])
            assert (received.run_id, received.exchange) == (run_id, 1)
            assert received.journal.sequence >= accepted.sequence
            assert received.journal == ChainHead.of(records[received.journal.sequence - 1])

    run(main())


def test_a_receipt_names_the_last_record_of_the_membership(fixture: FederationFixture, run: Run) -> None:
    async def main() -> None:
        async with fixture.serving():
            run_id = await fixture.asked()
            receipt = read(fixture, (await fixture.answered(run_id, "a")).receipt)
            assert receipt.members == ChainHead.of(fixture.journal.read(STREAM)[-1])
            assert (receipt.federation, receipt.site, receipt.restored) == ("north", "a", None)

    run(main())


def test_a_receipt_names_the_record_of_the_one_that_the_site_holds(
    fixture: FederationFixture, run: Run
) -> None:
    async def main() -> None:
        async with fixture.serving():
            run_id = await fixture.asked()
            first = await fixture.answered(run_id, "a")
            await fixture.answered(run_id, "b")
            await fixture.answered(run_id, "c")
            await fixture.ask(run_id, "evaluate")
            second = await fixture.hand_in(
                fixture.outcome(run_id, "a", metrics={"loss": 0.5}), receipt=first.receipt
            )
            assert of_outcome(fixture, second).known == of_outcome(fixture, first).journal

    run(main())


def test_the_receipt_of_another_run_is_not_named(fixture: FederationFixture, run: Run) -> None:
    async def main() -> None:
        async with fixture.serving():
            first, other = await fixture.asked(), await fixture.asked()
            given = await fixture.answered(first, "a")
            reply = await fixture.answered(other, "a", receipt=given.receipt)
            assert of_outcome(fixture, reply).known is None

    run(main())


def test_a_repetition_gets_a_receipt_too_also_when_the_run_is_over(
    fixture: FederationFixture, run: Run
) -> None:
    async def main() -> None:
        async with fixture.serving():
            run_id = await fixture.asked()
            first = await fixture.answered(run_id, "a")
            update = fixture.bring("a", {"w": np.ones(3, np.float32)})
            said = fixture.outcome(run_id, "a", update=update)
            again = await fixture.hand_in(said)
            await fixture.controller(run_id).execute(Stop("operator"))
            at_last = await fixture.hand_in(said)
            outcomes = {of_outcome(fixture, reply).outcome for reply in (first, again, at_last)}
            assert [reply.duplicate for reply in (first, again, at_last)] == [False, True, True]
            assert len(outcomes) == 1

    run(main())


def test_a_receipt_is_given_for_a_failure(fixture: FederationFixture, run: Run) -> None:
    async def main() -> None:
        async with fixture.serving():
            run_id = await fixture.asked(cohort={"quorum": 0.5})
            failed = fixture.outcome(run_id, "a", outcome="failed", reason="out of memory")
            first, again = await fixture.hand_in(failed), await fixture.hand_in(failed)
            assert of_outcome(fixture, first).outcome == digest_of(failed.model_dump(mode="json"))
            assert of_outcome(fixture, again).outcome == of_outcome(fixture, first).outcome

    run(main())


@pytest.mark.parametrize("changes", [{"num_examples": 11}, {"outcome": "failed", "reason": "no"}])
def test_another_outcome_of_a_task_that_is_answered_gets_no_receipt(
    fixture: FederationFixture, run: Run, changes: dict[str, Any]
) -> None:
    async def main() -> None:
        async with fixture.serving():
            run_id = await fixture.asked()
            await fixture.answered(run_id, "a")
            with pytest.raises(LateResultError, match="with another outcome; the first counts"):
                await fixture.hand_in(fixture.outcome(run_id, "a", **changes))
            assert sum(isinstance(e, UpdateAccepted) for e in fixture.events(run_id)) == 1

    run(main())


def test_a_repetition_is_known_after_a_restart(fixture: FederationFixture, run: Run) -> None:
    async def main() -> None:
        await fixture.service.start()
        run_id = await fixture.asked()
        first = await fixture.answered(run_id, "a")
        await fixture.restart()
        try:
            again = await fixture.answered(run_id, "a", receipt=first.receipt)
            assert again.duplicate
            assert of_outcome(fixture, again).known == of_outcome(fixture, first).journal
            with pytest.raises(LateResultError):
                await fixture.hand_in(fixture.outcome(run_id, "a", num_examples=11))
        finally:
            await fixture.close()

    run(main())


def test_an_agent_that_connects_gets_a_receipt_of_the_membership(
    fixture: FederationFixture, run: Run
) -> None:
    async def main() -> None:
        async with fixture.serving() as service:
            reply = await service.site_requests.receipts(fixture.peer("a"), ReceiptsRequest())
            receipt = read(fixture, reply.receipt)
            assert (receipt.site, receipt.received, reply.restored) == ("a", None, None)
            assert receipt.members == fixture.registry.head

    run(main())


def test_a_run_names_the_last_record_of_the_membership(fixture: FederationFixture, run: Run) -> None:
    async def main() -> None:
        async with fixture.serving():
            run_id = await fixture.submit()
            assert fixture.run(run_id).members == ChainHead.of(fixture.journal.read(STREAM)[-1])

    run(main())
