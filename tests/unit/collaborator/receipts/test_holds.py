"""Contradictions in receipts and restores of the aggregator: the agent serves nothing until a person acts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.parties import NOW, new_authority
from tests.receipts import Signer, head
from tests.unit.collaborator.aggregators import Site, manifest_of, tasks_of, until
from tests.unit.collaborator.test_restored import acknowledged
from tests.unit.collaborator.test_tasks import FakeWorkers

from hanse.collaborator.agent import Agent
from hanse.collaborator.receipts.notes import (
    KNOWN,
    NOTICED,
    contradiction,
    must_trust_aggregator,
    noted_restore,
)
from hanse.collaborator.review import Reviewer
from hanse.collaborator.site_journal import records_of
from hanse.core.journal.chain import ChainHead
from hanse.core.journal.site_history import SiteHistory
from hanse.core.journal.site_records import AggregatorRestoreAcknowledged, ContradictionAcknowledged
from hanse.core.values.statements import CertifiedStatement
from hanse.errors import PolicyError, ProtocolError, StorageError, TransportError, TrustError
from hanse.pki.receipts import verify_receipt
from hanse.wire.messages.sites import RunWork

Run = Callable[[Any], Any]
RESTORED = head(5, "c")
"""Record of a restore in the membership."""


@pytest.fixture
def work(site: Site, run: Run) -> RunWork:
    """A run whose plan the site has accepted."""
    work = site.publish(manifest_of())
    run(Reviewer(site.context()).review(work))
    return work


async def served(site: Site, work: RunWork | None = None) -> None:
    """Start an agent, and stop it once it has answered a plan."""
    agent = Agent(site.context())
    running = asyncio.create_task(agent.run())
    before = len(site.upstream.answers)
    site.upstream.want(work or site.publish(manifest_of()))
    await until(lambda: len(site.upstream.answers) > before)
    await agent.stop()
    await running


async def held(site: Site, caplog: pytest.LogCaptureFixture) -> list[str]:
    """Start an agent that serves nothing, and stop it; the errors that it logged."""
    context = replace(site.context(), remind_s=0.02)
    agent = Agent(context)
    before = len(site.upstream.answers)
    running = asyncio.create_task(agent.run())
    site.upstream.want(site.publish(manifest_of()))
    await until(lambda: caplog.text.count("nothing leaves this site any more") > 1)
    await agent.stop()
    await running
    context.journal.close()
    assert len(site.upstream.answers) == before
    return [record.message for record in caplog.records if record.levelname == "ERROR"]


def claims(site: Site, statement: CertifiedStatement | None, record: ChainHead = RESTORED) -> None:
    """From now on, the aggregator says that it was restored."""
    site.upstream.signer.changes = {"restored": record, "members": head(record.sequence + 1, "c")}
    site.upstream.restored, site.upstream.record = statement, record


class TestContradiction:
    def test_the_agent_stops_serving_says_so_and_keeps_both_receipts(
        self, site: Site, run: Run, caplog: pytest.LogCaptureFixture
    ) -> None:
        run(served(site))
        site.upstream.signer.changes = {"members": head(3, "b")}

        errors = run(held(site, caplog))

        assert (
            "two receipts that name different digests for record 3 of the journal of the membership"
            in (errors[0])
        )
        assert "hanse collaborator acknowledge" in errors[0]
        found = contradiction(site.directory)
        assert found is not None
        authority = site.credentials.authority
        digests = [verify_receipt(each, authority).members.digest[0] for each in found.receipts]
        assert digests == ["a", "b"]
        with pytest.raises(StorageError, match="nothing leaves this site"):
            must_trust_aggregator(site.directory)

    def test_the_receipt_of_an_outcome_can_contradict_that_of_another_run(
        self, site: Site, run: Run, work: RunWork
    ) -> None:
        async def main() -> None:
            await tasks_of(site.context(), FakeWorkers()).run(work, site.assignment())
            site.upstream.signer.changes = {"members": head(3, "b")}
            tasks = tasks_of(site.context(), FakeWorkers())
            other = work.model_copy(update={"run_id": "demo-2"})
            performing = asyncio.create_task(tasks.run(other, site.assignment()))
            await asyncio.wait_for(tasks._receipts.held.wait(), 30)
            performing.cancel()

        run(main())

        assert len(site.upstream.outcomes) == 2

    def test_the_next_agent_serves_nothing_either(
        self, site: Site, run: Run, caplog: pytest.LogCaptureFixture
    ) -> None:
        run(served(site))
        site.upstream.signer.changes = {"members": head(3, "b")}
        run(held(site, caplog))
        site.upstream.signer.changes = {}
        caplog.clear()

        run(held(site, caplog))

        assert "two receipts" in caplog.text

    def test_once_a_person_has_acknowledged_it_the_agent_serves_and_receipts_start_again(
        self, site: Site, run: Run, caplog: pytest.LogCaptureFixture
    ) -> None:
        run(served(site))
        site.upstream.signer.changes = {"members": head(3, "b")}
        run(held(site, caplog))

        said = acknowledged(site, run, "the operator explained it")
        run(served(site))

        assert "both receipts are kept in receipts/until-" in said
        *_, (_, last) = [
            each
            for each in records_of(site.directory, SiteHistory())
            if isinstance(each[1], ContradictionAcknowledged)
        ]
        assert isinstance(last, ContradictionAcknowledged)
        assert (last.stream, last.sequence, last.by) == ("federation", 3, "kim")
        kept = site.directory / "receipts" / last.folder
        assert {path.name for path in kept.iterdir()} == {"contradiction.json", "federation.jsonl"}
        assert contradiction(site.directory) is None

    def test_a_receipt_that_was_damaged_on_the_disk_proves_nothing(
        self, site: Site, run: Run, caplog: pytest.LogCaptureFixture
    ) -> None:
        run(served(site))
        path = site.directory / "receipts" / "federation.jsonl"
        path.write_text(path.read_text().replace("a" * 64, "b" * 64))

        run(served(site))

        assert "is damaged" in caplog.text
        assert contradiction(site.directory) is None


class TestRestore:
    def test_a_restore_that_an_operator_has_signed_holds_the_site_back(
        self, site: Site, run: Run, caplog: pytest.LogCaptureFixture
    ) -> None:
        run(served(site))
        claims(site, site.upstream.signer.acknowledgement())

        errors = run(held(site, caplog))

        assert "restored from a backup, as its operator olga acknowledged (a disk failed)" in errors[0]
        assert noted_restore(site.directory, NOTICED) is not None
        with pytest.raises(StorageError, match="nothing leaves this site"):
            must_trust_aggregator(site.directory)

    def test_it_is_learnt_with_the_work_of_a_running_agent(
        self, site: Site, run: Run, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def main() -> None:
            agent = Agent(replace(site.context(), remind_s=0.02))
            running = asyncio.create_task(agent.run())
            await until(lambda: site.upstream.shown)
            claims(site, site.upstream.signer.acknowledgement())
            site.upstream.want()
            await until(lambda: "nothing leaves this site any more" in caplog.text)
            await agent.stop()
            await running

        run(main())

    def test_a_receipt_of_after_the_restore_is_no_contradiction(
        self, site: Site, run: Run, work: RunWork, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def main() -> None:
            keeper = tasks_of(site.context(), FakeWorkers())
            await keeper.run(work, site.assignment())
            claims(site, site.upstream.signer.acknowledgement())
            site.upstream.signer.changes["members"] = head(3, "b")  # the numbers begin below those lost
            performing = asyncio.create_task(keeper.run(work, site.assignment(exchange=2)))
            await asyncio.wait_for(keeper._receipts.held.wait(), 30)
            performing.cancel()
            assert "restored from a backup" in str(keeper._receipts.reason)

        run(main())

    def test_once_a_person_has_acknowledged_it_the_agent_serves_and_receipts_start_again(
        self, site: Site, run: Run, caplog: pytest.LogCaptureFixture
    ) -> None:
        run(served(site))
        claims(site, site.upstream.signer.acknowledgement())
        run(held(site, caplog))

        said = acknowledged(site, run, "we called olga")
        site.upstream.shown.clear()
        run(served(site))

        assert "This is acknowledged" in said
        assert site.upstream.shown == [()]
        (last,) = [
            each
            for _, each in records_of(site.directory, SiteHistory())
            if isinstance(each, AggregatorRestoreAcknowledged)
        ]
        assert (last.record, last.operator, last.by, last.reason) == (
            RESTORED,
            "olga",
            "kim",
            "we called olga",
        )
        assert last.signing_key == site.upstream.signer.key.fingerprint
        assert noted_restore(site.directory, NOTICED) is None

    def test_a_person_can_acknowledge_it_before_the_agent_has_heard_of_it(
        self, site: Site, run: Run, caplog: pytest.LogCaptureFixture
    ) -> None:
        run(served(site))
        claims(site, site.upstream.signer.acknowledgement())

        said = acknowledged(site, run, "we called olga")

        assert "restored from a backup, as its operator olga acknowledged" in said
        known = noted_restore(site.directory, KNOWN)
        assert known is not None
        assert known.record == RESTORED
        run(served(site))
        assert "nothing leaves this site" not in caplog.text

    def test_what_is_left_to_an_operator_is_said_to_a_person_who_is_too_early(
        self, site: Site, run: Run
    ) -> None:
        run(served(site))
        site.upstream.fail("receipts", StorageError("nothing is recorded until an operator has acted"))

        with pytest.raises(StorageError, match="until an operator has acted"):
            acknowledged(site, run)

    def test_without_a_restore_the_person_learns_that_the_aggregator_states_none(
        self, site: Site, run: Run
    ) -> None:
        run(served(site))

        assert "the aggregator states no restore that is not acknowledged here" in acknowledged(site, run)

    def test_a_claim_without_proof_is_not_acknowledged(self, site: Site, run: Run) -> None:
        run(served(site))
        claims(site, None)

        with pytest.raises(TrustError, match="no operator's statement"):
            acknowledged(site, run)

        assert noted_restore(site.directory, KNOWN) is None

    def test_a_site_without_receipts_has_nothing_to_lose_and_serves(self, site: Site, run: Run) -> None:
        claims(site, site.upstream.signer.acknowledgement())

        run(served(site))
        run(served(site))

        known = noted_restore(site.directory, KNOWN)
        assert known is not None
        assert known.record == RESTORED

    def test_where_a_later_copy_was_put_back_the_site_serves_again(
        self, site: Site, run: Run, caplog: pytest.LogCaptureFixture
    ) -> None:
        run(served(site))
        claims(site, site.upstream.signer.acknowledgement())
        run(held(site, caplog))
        site.upstream.signer.changes, site.upstream.restored, site.upstream.record = {}, None, None

        run(served(site))

        assert noted_restore(site.directory, NOTICED) is None

    def test_an_aggregator_that_says_nothing_does_not_end_a_hold(
        self, site: Site, run: Run, caplog: pytest.LogCaptureFixture
    ) -> None:
        run(served(site))
        claims(site, site.upstream.signer.acknowledgement())
        run(held(site, caplog))
        caplog.clear()
        site.upstream.fail("receipts", ProtocolError("404"))

        run(held(site, caplog))


def false_claims(site: Site) -> dict[str, CertifiedStatement | None]:
    signer = site.upstream.signer
    sound = signer.acknowledgement()
    by_aggregator = Signer(signer.authority, NOW)
    by_aggregator.operator = signer.aggregator
    return {
        "without a statement": None,
        "signed by the aggregator": by_aggregator.acknowledgement(),
        "of another federation": Signer(new_authority(), NOW).acknowledgement(),
        "altered": sound.model_copy(update={"body": {**sound.body, "signature": "AAAA"}}),
        "not a statement": sound.model_copy(update={"body": {}}),
        "in another operator's name": signer.acknowledgement(operator="kim"),
    }


FALSE = [
    "without a statement",
    "signed by the aggregator",
    "of another federation",
    "altered",
    "not a statement",
    "in another operator's name",
]


@pytest.mark.parametrize("claim", FALSE)
def test_a_claim_of_a_restore_without_an_operators_signature_stops_nothing(
    site: Site, run: Run, caplog: pytest.LogCaptureFixture, claim: str
) -> None:
    run(served(site))
    claims(site, false_claims(site)[claim])

    run(served(site))

    assert "claims to be restored, and its proof does not hold" in caplog.text
    assert noted_restore(site.directory, NOTICED) is None


def test_an_old_statement_of_an_operator_does_not_prove_another_restore(
    site: Site, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    run(served(site))
    old = site.upstream.signer.acknowledgement()
    claims(site, old)
    run(held(site, caplog))
    acknowledged(site, run)
    run(served(site))

    claims(site, old, head(8, "d"))
    run(served(site))

    assert "the operator's statement is not a new one" in caplog.text


def test_a_claim_without_proof_does_not_hide_a_contradiction(
    site: Site, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    run(served(site))
    claims(site, None)
    site.upstream.signer.changes["members"] = head(3, "b")

    run(held(site, caplog))

    assert contradiction(site.directory) is not None


@pytest.mark.parametrize("refusal", [PolicyError("no"), ProtocolError("404")])
def test_a_refusal_of_a_receipt_stops_no_site(
    site: Site, run: Run, caplog: pytest.LogCaptureFixture, refusal: Exception
) -> None:
    site.upstream.fail("receipts", refusal)

    run(served(site))

    assert "the aggregator does not give a receipt of its membership" in caplog.text


def test_a_bad_receipt_of_the_membership_stops_no_site(
    site: Site, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    site.upstream.forge = lambda sound: sound.model_copy(update={"signature": "AAAA"})

    run(served(site))

    assert "receipt of its membership does not hold" in caplog.text


def test_an_agent_shows_its_receipts_again_when_the_aggregator_was_away(site: Site, run: Run) -> None:
    async def main() -> None:
        agent = Agent(site.context())
        running = asyncio.create_task(agent.run())
        await until(lambda: site.upstream.shown)
        site.upstream.fail("next", TransportError("cut"))
        site.upstream.want()
        await until(lambda: len(site.upstream.shown) > 1)
        await agent.stop()
        await running

    run(main())
