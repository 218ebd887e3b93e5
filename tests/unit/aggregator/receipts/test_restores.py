"""A restored backup of the aggregator: shown by its own receipts, and held until an operator acts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from tests.federations import MODEL, FederationFixture, now
from tests.parties import signing_key
from tests.receipts import Signer, head
from tests.unit.aggregator.members.test_member_registry import enrolment, request, token

from hanse.aggregator.members.restore_hold import FILE, restore_notice
from hanse.core.journal.membership import STREAM
from hanse.core.journal.receipts import read_receipt
from hanse.core.journal.restores import LostRecord, RestoreAcknowledgement
from hanse.core.run.run import Phase
from hanse.core.run.run_events import AggregatorRestored, RunRecovered
from hanse.core.values.statements import CertifiedStatement
from hanse.errors import HanseError, RunError, StorageError, TokenError, TrustError
from hanse.pki.receipts import sign_acknowledgement, sign_receipt, verify_acknowledgement
from hanse.pki.signing_key import SigningKey
from hanse.wire.messages.members import AcknowledgeRequest, InviteRequest, RemoveRequest, RenewRequest
from hanse.wire.messages.runs import StopRequest, SubmitRequest
from hanse.wire.messages.sites import NextRequest, ProgressRequest, ReceiptsRequest

Run = Callable[[Any], Any]


@dataclass
class Restored:
    """An aggregator of which a backup was put back, after sites got receipts that name lost records.

    Attributes:
        run_id: A run that the backup has, with its first exchange open.
        receipt: The receipt of an outcome of a, which the backup lacks.
        lost_run: The receipt of a run that was begun after the backup.
        lost_members: A receipt of the membership that names a removal after the backup.
        key: Signing key of the operator; None for the one that is recorded.
    """

    fixture: FederationFixture
    run_id: str
    receipt: CertifiedStatement
    lost_run: CertifiedStatement
    lost_members: CertifiedStatement
    key: SigningKey | None = None

    async def answer(self, receipt: CertifiedStatement | None, name: str = "a") -> Any:
        return await self.fixture.answered(self.run_id, name, receipt=receipt)

    async def show(self, *receipts: CertifiedStatement, name: str = "a") -> Any:
        asked = ReceiptsRequest(receipts=receipts)
        return await self.fixture.service.site_requests.receipts(self.fixture.peer(name), asked)

    async def notice(self) -> None:
        with pytest.raises(StorageError, match="restored from a backup"):
            await self.answer(self.receipt)

    def acknowledgement(self, **changes: Any) -> CertifiedStatement:
        notice = self.fixture.service.restore
        lost = LostRecord(stream="demo-1", heard=head(9), own=None, site="a")
        told: dict[str, Any] = {
            "federation": "north",
            "operator": "operator",
            "lost": lost if notice is None else notice.lost,
            "reason": "a disk failed",
            "time_ms": round(now().timestamp() * 1000) + 1_000,
        }
        said = RestoreAcknowledgement.model_validate(told | changes)
        credentials = self.fixture.operator_credentials
        return sign_acknowledgement(credentials, self.key or signing_key(credentials), said)

    async def acknowledge(self, **changes: Any) -> None:
        statement = AcknowledgeRequest(statement=self.acknowledgement(**changes))
        await self.fixture.service.member_requests.acknowledge(self.fixture.operator, statement)


@pytest.fixture
def restored(fixture: FederationFixture, run: Run) -> Restored:
    """The service is started, and has the backup of before the receipts."""

    async def lose() -> Restored:
        await fixture.service.start()
        run_id = await fixture.asked()
        await fixture.close()
        backup = shutil.copytree(fixture.directory, fixture.directory.with_name("backup"))
        await reopened(fixture)
        receipt = (await fixture.answered(run_id, "a")).receipt
        lost_run = (await fixture.answered(await fixture.asked(), "b")).receipt
        await fixture.service.member_requests.remove(fixture.operator, "c", RemoveRequest())
        asked = fixture.service.site_requests.receipts(fixture.peer("b"), ReceiptsRequest())
        lost_members = (await asked).receipt
        await fixture.close()
        shutil.rmtree(fixture.directory)
        backup.rename(fixture.directory)
        await reopened(fixture)
        return Restored(fixture, run_id, receipt, lost_run, lost_members)

    return run(lose())  # type: ignore[no-any-return]


async def reopened(fixture: FederationFixture) -> None:
    fixture.open()
    await fixture.service.start()


def kinds(fixture: FederationFixture, stream: str) -> list[str]:
    return [record.kind for record in fixture.journal.read(stream)]


class TestNoticing:
    def test_a_receipt_whose_record_is_missing_shows_the_restore(self, restored: Restored, run: Run) -> None:
        async def main() -> None:
            await restored.notice()
            notice = restored.fixture.service.restore
            assert notice is not None
            assert (notice.lost.stream, notice.lost.site) == (restored.run_id, "a")
            assert restore_notice(restored.fixture.directory) == notice
            await restored.fixture.close()

        run(main())

    @pytest.mark.parametrize("which", ["receipt", "lost_run", "lost_members"])
    def test_an_agent_that_connects_shows_it_too(self, restored: Restored, run: Run, which: str) -> None:
        receipt: CertifiedStatement = getattr(restored, which)

        async def main() -> None:
            with pytest.raises(StorageError, match="nothing is recorded until an operator has acted"):
                await restored.show(receipt, name=receipt.body["site"])
            notice = restored.fixture.service.restore
            assert notice is not None
            streams = {"receipt": restored.run_id, "lost_run": STREAM, "lost_members": STREAM}
            assert notice.lost.stream in (streams[which], restored.run_id, "demo-2")
            await restored.fixture.close()

        run(main())

    def test_it_stays_noticed_over_a_restart(self, restored: Restored, run: Run) -> None:
        async def main() -> None:
            await restored.notice()
            await restored.fixture.restart()
            with pytest.raises(StorageError, match="nothing is recorded"):
                await restored.answer(None)
            await restored.fixture.close()

        run(main())

    def test_receipts_of_before_the_backup_show_nothing(self, restored: Restored, run: Run) -> None:
        async def main() -> None:
            fixture = restored.fixture
            asked = fixture.service.site_requests.receipts(fixture.peer("b"), ReceiptsRequest())
            receipt = (await asked).receipt
            assert (await restored.answer(receipt, "b")).receipt
            assert fixture.service.restore is None
            await fixture.close()

        run(main())

    def test_with_a_later_copy_put_back_it_is_over(self, restored: Restored, run: Run) -> None:
        async def main() -> None:
            fixture = restored.fixture
            await restored.notice()
            notice = restore_notice(fixture.directory)
            assert notice is not None
            await fixture.close()
            lost = replace_records(fixture, notice.lost.stream, restored.receipt)
            fixture.open()
            await fixture.service.start()
            assert fixture.service.restore is None, lost
            assert not (fixture.directory / FILE).exists()
            await fixture.close()

        run(main())


def replace_records(fixture: FederationFixture, stream: str, receipt: CertifiedStatement) -> str:
    """Have the notice name a record that the journal has: as it is once a later copy is in place."""
    notice = restore_notice(fixture.directory)
    assert notice is not None
    fixture.open()
    last = fixture.journal.read(stream)[-1]
    fixture.journal.close()
    heard = {"sequence": last.sequence, "digest": last.digest}
    lost = LostRecord.model_validate({**notice.lost.model_dump(), "heard": heard})
    noted = notice.model_copy(update={"lost": lost})
    (fixture.directory / FILE).write_text(noted.model_dump_json())
    return str(lost)


def false_claims(restored: Restored) -> dict[str, CertifiedStatement]:
    sound = restored.receipt
    received = sound.body["received"]
    foreign = Signer(Signer(restored.fixture.authority, now()).authority, now())
    by_site = restored.fixture.credentials["a"]
    far = {**received, "journal": {"sequence": 500, "digest": "e" * 64}}
    return {
        "altered": sound.model_copy(update={"body": {**sound.body, "received": far}}),
        "signed by the site": sign_receipt(by_site, read_receipt({**sound.body, "received": far})),
        "another site's": restored.lost_run,
        "of another federation": foreign.receipt(federation="south"),
        "not a receipt": sound.model_copy(update={"body": {"site": "a"}}),
    }


FALSE = ["altered", "signed by the site", "another site's", "of another federation", "not a receipt"]


@pytest.mark.parametrize("claim", FALSE)
def test_a_false_claim_of_receipts_stops_nothing(
    restored: Restored, run: Run, claim: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        false = false_claims(restored)[claim]
        assert (await restored.show(false)).receipt
        reply = await restored.answer(false)
        assert not reply.duplicate
        assert reply.receipt.body["received"]["known"] is None
        assert restored.fixture.service.restore is None
        assert "a shows a receipt that proves nothing" in caplog.text
        await restored.fixture.close()

    run(main())


def test_a_site_that_claims_a_record_without_end_costs_one_look(restored: Restored, run: Run) -> None:
    async def main() -> None:
        body = {**restored.receipt.body, "members": {"sequence": 2**53, "digest": "e" * 64}}
        await restored.show(restored.receipt.model_copy(update={"body": body}))
        assert restored.fixture.service.restore is None
        await restored.fixture.close()

    run(main())


async def uploaded(fixture: FederationFixture) -> None:
    fixture.bring("b", {"w": MODEL["w"] + 7})


Refused = Callable[[FederationFixture, str], Any]

REFUSED: dict[str, Refused] = {
    "a result": lambda f, run_id: f.answered(run_id, "b"),
    "an answer to a plan": lambda f, run_id: f.answer(run_id, "b"),
    "progress": lambda f, run_id: f.service.site_requests.progress(
        f.peer("b"), ProgressRequest(run_id=run_id, exchange=1)
    ),
    "a question for work": lambda f, run_id: f.service.site_requests.next(f.peer("b"), NextRequest()),
    "receipts of a site": lambda f, run_id: f.service.site_requests.receipts(f.peer("b"), ReceiptsRequest()),
    "an invitation": lambda f, run_id: f.service.member_requests.invite(f.operator, InviteRequest(name="d")),
    "a removal": lambda f, run_id: f.service.member_requests.remove(f.operator, "b", RemoveRequest()),
    "a renewal": lambda f, run_id: f.service.member_requests.renew(
        f.peer("b"), RenewRequest(csr=request(f.party("b")))
    ),
    "an upload": lambda f, run_id: uploaded(f),
    "a submission": lambda f, run_id: f.service.run_requests.submit(
        f.operator, SubmitRequest(plan_digest=f.run(run_id).plan_digest)
    ),
    "a stop": lambda f, run_id: f.service.run_requests.stop(f.operator, run_id, StopRequest()),
    "a resumption": lambda f, run_id: f.service.run_requests.resume(f.operator, run_id),
    "a reinstatement": lambda f, run_id: f.service.run_requests.reinstate(f.operator, run_id, "b"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_meanwhile_nothing_is_recorded(restored: Restored, run: Run, what: str) -> None:
    async def main() -> None:
        fixture = restored.fixture
        await restored.notice()
        before = [kinds(fixture, stream) for stream in fixture.journal.streams()]
        with pytest.raises(StorageError, match="hanse aggregator acknowledge"):
            await REFUSED[what](fixture, restored.run_id)
        assert [kinds(fixture, stream) for stream in fixture.journal.streams()] == before
        await fixture.close()

    run(main())


def test_meanwhile_an_operator_can_look_at_runs_and_members(restored: Restored, run: Run) -> None:
    async def main() -> None:
        fixture = restored.fixture
        await restored.notice()
        status = await fixture.service.run_requests.run(fixture.operator, restored.run_id)
        assert (status.phase, status.held) == ("running", True)
        assert (await fixture.service.member_requests.members(fixture.operator)).members
        assert await fixture.service.run_requests.export(fixture.operator, restored.run_id)
        await fixture.close()

    run(main())


def test_an_operator_learns_how_many_sites_have_shown_their_receipts(restored: Restored, run: Run) -> None:
    async def main() -> None:
        fixture = restored.fixture
        replies = [await fixture.service.member_requests.restore(fixture.operator)]
        await restored.show(name="b")
        replies.append(await fixture.service.member_requests.restore(fixture.operator))
        with pytest.raises(StorageError):
            await restored.show(restored.receipt)
        replies.append(await fixture.service.member_requests.restore(fixture.operator))
        assert [(reply.sites, reply.sites_heard) for reply in replies] == [(3, 0), (3, 1), (3, 2)]
        assert [reply.notice is None for reply in replies] == [True, True, False]
        await fixture.close()

    run(main())


class TestAcknowledgement:
    def test_it_is_a_record_of_the_membership_that_the_operator_signed(
        self, restored: Restored, run: Run
    ) -> None:
        async def main() -> None:
            fixture = restored.fixture
            await restored.notice()
            await restored.acknowledge()
            last = fixture.journal.read(STREAM)[-1]
            assert (last.kind, last.body["by"]) == ("Restored", "operator")
            statement = CertifiedStatement.model_validate(last.body["statement"])
            said, _ = verify_acknowledgement(statement, fixture.authority.certificate)
            assert (said.reason, said.lost.site) == ("a disk failed", "a")
            assert restore_notice(fixture.directory) is None
            await fixture.close()

        run(main())

    def test_the_runs_continue_and_their_journals_name_it(self, restored: Restored, run: Run) -> None:
        async def main() -> None:
            fixture = restored.fixture
            await restored.notice()
            await restored.acknowledge()
            named, recovered = fixture.events(restored.run_id)[-2:]
            assert isinstance(named, AggregatorRestored)
            assert isinstance(recovered, RunRecovered)
            assert fixture.run(restored.run_id).phase is Phase.RUNNING
            assert not (await fixture.service.run_requests.run(fixture.operator, restored.run_id)).held
            assert (await restored.answer(None)).receipt
            await fixture.close()

        run(main())

    def test_a_site_that_has_not_acknowledged_it_is_told_so_and_nothing_is_taken_of_it(
        self, restored: Restored, run: Run
    ) -> None:
        async def main() -> None:
            fixture = restored.fixture
            await restored.notice()
            await restored.acknowledge()
            work = await fixture.service.site_requests.next(fixture.peer("a"), NextRequest())
            assert fixture.registry.restored is not None
            assert work.restored == fixture.registry.restored[0]
            assert [each.submitted_ms for each in work.runs] == [fixture.run(restored.run_id).submitted_ms]
            reply = await restored.show(restored.receipt)
            assert reply.restored == fixture.registry.restored[1].statement
            with pytest.raises(StorageError, match="a person of the site has acknowledged it too"):
                await restored.answer(restored.receipt)
            assert fixture.service.restore is None
            await fixture.close()

        run(main())

    def test_receipts_of_after_it_name_it(self, restored: Restored, run: Run) -> None:
        async def main() -> None:
            fixture = restored.fixture
            await restored.notice()
            await restored.acknowledge()
            receipt = read_receipt((await restored.answer(None)).receipt.body)
            assert fixture.registry.restored is not None
            assert receipt.restored == fixture.registry.restored[0]
            await fixture.close()

        run(main())

    def test_later_runs_and_exports_of_runs_that_are_over_name_it(self, restored: Restored, run: Run) -> None:
        async def main() -> None:
            fixture = restored.fixture
            await fixture.service.run_requests.stop(fixture.operator, restored.run_id, StopRequest())
            with pytest.raises(StorageError, match="restored from a backup"):
                await restored.show(restored.receipt)
            await restored.acknowledge()
            assert "AggregatorRestored" not in kinds(fixture, restored.run_id)
            for _ in range(2):
                await fixture.service.run_requests.export(fixture.operator, restored.run_id)
            assert kinds(fixture, restored.run_id).count("AggregatorRestored") == 1
            assert kinds(fixture, await fixture.submit())[:2] == ["RunSubmitted", "AggregatorRestored"]
            await fixture.close()

        run(main())

    def test_a_later_run_never_has_the_name_of_a_run_that_was_lost(
        self, restored: Restored, run: Run
    ) -> None:
        async def main() -> None:
            fixture = restored.fixture
            await restored.notice()
            await restored.acknowledge()
            assert fixture.registry.restored is not None
            record, _ = fixture.registry.restored
            lost = read_receipt(restored.lost_run.body).received
            assert lost is not None
            first, second = await fixture.submit(), await fixture.submit()
            assert lost.run_id == "demo-2"
            assert (first, second) == (f"demo-2-r{record.digest[:8]}", f"demo-3-r{record.digest[:8]}")
            await fixture.close()

        run(main())

    def test_runs_of_after_another_restore_have_names_of_their_own(
        self, restored: Restored, run: Run
    ) -> None:
        """The same backup, put back once more, loses the first acknowledgement and the runs after it."""

        async def main() -> None:
            fixture = restored.fixture
            await fixture.close()
            backup = shutil.copytree(fixture.directory, fixture.directory.with_name("again"))
            names = []
            for _ in range(2):
                shutil.rmtree(fixture.directory)
                shutil.copytree(backup, fixture.directory)
                await reopened(fixture)
                await restored.notice()
                await restored.acknowledge()
                names.append(await fixture.submit())
                await fixture.close()
            assert names[0] != names[1]

        run(main())

    def test_other_sites_with_lost_receipts_have_nothing_noticed_again(
        self, restored: Restored, run: Run
    ) -> None:
        async def main() -> None:
            await restored.notice()
            await restored.acknowledge()
            assert (await restored.show(restored.lost_run, restored.lost_members, name="b")).restored
            assert restored.fixture.service.restore is None
            await restored.fixture.close()

        run(main())

    def test_an_aggregator_that_ended_before_it_forgot_the_notice_forgets_it_at_the_next_start(
        self, restored: Restored, run: Run
    ) -> None:
        async def main() -> None:
            fixture = restored.fixture
            await restored.notice()
            note = (fixture.directory / FILE).read_bytes()
            await restored.acknowledge()
            (fixture.directory / FILE).write_bytes(note)
            await fixture.restart()
            assert fixture.service.restore is None
            await fixture.close()

        run(main())

    def test_the_backup_put_back_once_more_is_noticed_once_more(self, restored: Restored, run: Run) -> None:
        async def main() -> None:
            fixture = restored.fixture
            await fixture.close()
            backup = shutil.copytree(fixture.directory, fixture.directory.with_name("again"))
            await reopened(fixture)
            await restored.notice()
            await restored.acknowledge()
            after = (await restored.answer(None)).receipt
            await fixture.close()
            shutil.rmtree(fixture.directory)
            backup.rename(fixture.directory)
            await reopened(fixture)
            with pytest.raises(StorageError, match="restored from a backup"):
                await restored.answer(after)
            assert fixture.service.restore is not None
            assert fixture.service.restore.lost.stream == STREAM
            await fixture.close()

        run(main())

    @pytest.mark.parametrize(
        ("changes", "error", "words"),
        [
            ({"operator": "kim"}, TrustError, "in the name of"),
            ({"federation": "south"}, TrustError, "in the name of"),
            (
                {"lost": LostRecord(stream="demo-1", heard=head(9), own=None, site="b")},
                RunError,
                "another restore",
            ),
            ({"time_ms": 5}, HanseError, "not valid|not yet|before"),
        ],
    )
    def test_an_acknowledgement_that_is_not_the_operators_of_this_restore_is_refused(
        self, restored: Restored, run: Run, changes: dict[str, Any], error: type[HanseError], words: str
    ) -> None:
        async def main() -> None:
            await restored.notice()
            with pytest.raises(error, match=words):
                await restored.acknowledge(**changes)
            assert restored.fixture.service.restore is not None
            await restored.fixture.close()

        run(main())

    def test_without_a_notice_there_is_nothing_to_acknowledge(self, restored: Restored, run: Run) -> None:
        async def main() -> None:
            with pytest.raises(RunError, match="nothing to acknowledge"):
                await restored.acknowledge()
            await restored.fixture.close()

        run(main())

    def test_another_signing_key_than_the_operators_is_refused(self, restored: Restored, run: Run) -> None:
        async def main() -> None:
            await restored.notice()
            restored.key = SigningKey.create()
            with pytest.raises(TrustError, match="is recorded for operator"):
                await restored.acknowledge()
            assert restored.fixture.service.restore is not None
            await restored.fixture.close()

        run(main())

    def test_another_party_cannot_bring_it(self, restored: Restored, run: Run) -> None:
        async def main() -> None:
            fixture = restored.fixture
            await restored.notice()
            other = replace(fixture.operator, party=replace(fixture.operator.party, name="kim"))
            asked = AcknowledgeRequest(statement=restored.acknowledgement())
            with pytest.raises(TrustError, match="submits the acknowledgement"):
                await fixture.service.member_requests.acknowledge(other, asked)
            await fixture.close()

        run(main())

    def test_invitations_of_before_it_are_void(self, restored: Restored, run: Run) -> None:
        async def main() -> None:
            fixture = restored.fixture
            invitation = token(fixture.registry)
            await restored.notice()
            await restored.acknowledge()
            with pytest.raises(TokenError, match="restored from a backup"):
                fixture.registry.enrol(invitation, request(), enrolment())
            assert fixture.registry.enrol(token(fixture.registry), request(), enrolment())
            await fixture.close()

        run(main())
