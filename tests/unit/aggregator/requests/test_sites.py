"""What collaborators ask and send."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.federations import MODEL, FederationFixture, signed
from tests.parties import signing_key

from hanse.core.journal.site_records import JournalHead
from hanse.core.run.lifecycle import Stop
from hanse.core.run.round_events import ResultRefused, TaskFailed, UpdateAccepted
from hanse.core.run.run import Phase
from hanse.core.run.run_events import PlanAnswered
from hanse.core.run.timing import Tick
from hanse.core.values.roster import check_place
from hanse.errors import (
    CredentialError,
    DisclosureError,
    LateResultError,
    ProtocolError,
    RunError,
    StorageError,
    TrustError,
)
from hanse.pki.signing_key import SigningKey
from hanse.wire.messages.members import RemoveRequest
from hanse.wire.messages.sites import (
    PLAN_ANSWER,
    TASK_RESULT,
    AnswerRequest,
    JournalHeadRequest,
    NextRequest,
    PlanAnswer,
    ProgressRequest,
    ResultRequest,
)

Run = Callable[[Any], Any]


class TestNext:
    def test_a_site_that_knows_nothing_is_told_at_once(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with fixture.serving() as service:
                run_id = await fixture.asked()
                work = await service.site_requests.next(fixture.peer("a"), NextRequest())
                assert [asked.task for asked in work.runs[0].assignments] == ["train"]
                assert work.runs[0].run_id == run_id

        run(main())

    def test_a_site_that_knows_all_waits_until_it_is_asked(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with fixture.serving() as service:
                run_id = await fixture.submit(initial=MODEL)
                await fixture.accepted(run_id)
                known = (await service.site_requests.next(fixture.peer("a"), NextRequest())).version
                waiting = asyncio.create_task(
                    service.site_requests.next(fixture.peer("a"), NextRequest(known=known))
                )
                await asyncio.sleep(0.01)
                assert not waiting.done()
                await fixture.ask(run_id)
                assert (await waiting).runs[0].assignments

        run(main())

    def test_what_does_not_concern_a_site_does_not_end_its_wait(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with fixture.serving() as service:
                run_id = await fixture.asked()
                known = (await service.site_requests.next(fixture.peer("a"), NextRequest())).version
                waiting = asyncio.create_task(
                    service.site_requests.next(fixture.peer("a"), NextRequest(known=known, wait_s=0.5))
                )
                await fixture.answered(run_id, "b")
                await asyncio.sleep(0.01)
                assert not waiting.done()
                await fixture.answered(run_id, "a")
                assert (await waiting).runs[0].assignments == ()

        run(main())

    def test_a_wait_without_news_ends_in_time(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with fixture.serving() as service:
                work = await service.site_requests.next(fixture.peer("a"), NextRequest())
                again = await service.site_requests.next(
                    fixture.peer("a"), NextRequest(known=work.version, wait_s=0.01)
                )
                assert again == work

        run(main())

    def test_the_wait_of_a_site_that_is_removed_ends_at_once(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with fixture.serving() as service:
                known = (await service.site_requests.next(fixture.peer("a"), NextRequest())).version
                waiting = asyncio.create_task(
                    service.site_requests.next(fixture.peer("a"), NextRequest(known=known))
                )
                await asyncio.sleep(0)
                await service.member_requests.remove(fixture.operator, "a", RemoveRequest())
                with pytest.raises(CredentialError, match="removed"):
                    await asyncio.wait_for(waiting, 1)

        run(main())

    def test_a_site_that_was_removed_before_it_began_to_wait_does_not_wait(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with fixture.serving() as service:
                known = (await service.site_requests.next(fixture.peer("a"), NextRequest())).version
                await service.member_requests.remove(fixture.operator, "a", RemoveRequest())
                with pytest.raises(CredentialError, match="removed"):
                    await asyncio.wait_for(
                        service.site_requests.next(fixture.peer("a"), NextRequest(known=known)), 1
                    )

        run(main())


class TestAnswers:
    def test_the_last_acceptance_starts_the_run(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with fixture.serving():
                run_id = await fixture.submit()
                await fixture.accepted(run_id)
                assert fixture.run(run_id).phase is Phase.RUNNING

        run(main())

    def test_an_answer_to_another_plan_is_refused(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with fixture.serving() as service:
                run_id = await fixture.submit()
                with pytest.raises(ProtocolError, match="answered plan ffff"):
                    await service.site_requests.answer(
                        fixture.peer("a"), answer(fixture, run_id, plan_digest="f" * 64)
                    )

        run(main())

    def test_a_site_cannot_answer_for_another(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with fixture.serving() as service:
                run_id = await fixture.submit()
                with pytest.raises(TrustError, match="was signed with key"):
                    await service.site_requests.answer(fixture.peer("b"), answer(fixture, run_id))
                assert fixture.run(run_id).answers == {}

        run(main())

    def test_reasons_cannot_fill_the_journal(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with fixture.serving() as service:
                run_id = await fixture.submit()
                with pytest.raises(ProtocolError, match="at most 65536 are kept"):
                    await service.site_requests.answer(
                        fixture.peer("a"), answer(fixture, run_id, reasons=("x" * 70_000,))
                    )

        run(main())

    def test_the_signature_of_a_result_is_none_of_an_answer(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with fixture.serving() as service:
                run_id = await fixture.submit()
                with pytest.raises(TrustError):
                    await service.site_requests.answer(
                        fixture.peer("a"), answer(fixture, run_id, purpose=TASK_RESULT)
                    )

        run(main())

    def test_an_answer_names_the_key_it_is_signed_with_in_the_journal(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with fixture.serving() as service:
                run_id = await fixture.submit()
                await service.site_requests.answer(fixture.peer("a"), answer(fixture, run_id))
                (answered,) = (e for e in fixture.events(run_id) if isinstance(e, PlanAnswered))
                assert answered.signer == signing_key(fixture.credentials["a"]).fingerprint

        run(main())

    @pytest.mark.parametrize("signer", [None, "1" * 64])
    def test_an_answer_has_to_cover_the_sites_own_key(
        self, fixture: FederationFixture, run: Run, signer: str | None
    ) -> None:
        async def main() -> None:
            async with fixture.serving() as service:
                run_id = await fixture.submit()
                with pytest.raises(ProtocolError, match="its answer names the key"):
                    await service.site_requests.answer(
                        fixture.peer("a"), answer(fixture, run_id, signer=signer)
                    )

        run(main())

    def test_an_answer_with_another_key_than_the_recorded_one_is_refused(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with fixture.serving() as service:
                run_id = await fixture.submit()
                stranger = SigningKey.create()
                body = answer(fixture, run_id, signer=stranger.fingerprint).statement.body
                request = AnswerRequest(run_id=run_id, statement=stranger.sign(PLAN_ANSWER, body))
                with pytest.raises(TrustError, match=f"signed with key {stranger.fingerprint[:16]}"):
                    await service.site_requests.answer(fixture.peer("a"), request)
                assert fixture.run(run_id).answers == {}

        run(main())

    def test_a_site_that_has_stated_no_key_cannot_answer(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with fixture.serving() as service:
                run_id = await fixture.submit()
                members = fixture.registry.membership
                keyless = dataclasses.replace(members.parties["a"], signing_key=None)
                without = dataclasses.replace(members, parties={**members.parties, "a": keyless})
                fixture.registry._standing = dataclasses.replace(
                    fixture.registry._standing, membership=without
                )
                with pytest.raises(CredentialError, match=r"has stated no signing key\. Restart its agent"):
                    await service.site_requests.answer(fixture.peer("a"), answer(fixture, run_id))

        run(main())


def answer(
    fixture: FederationFixture, run_id: str, purpose: str = PLAN_ANSWER, **changes: Any
) -> AnswerRequest:
    """The answer of a."""
    said = {
        "federation": "north",
        "site": "a",
        "plan_digest": fixture.run(run_id).plan_digest,
        "accepted": True,
        "decided_ms": 0,
        "signer": signing_key(fixture.credentials["a"]).fingerprint,
    }
    body = PlanAnswer.model_validate(said | changes).model_dump(mode="json")
    return AnswerRequest(run_id=run_id, statement=signed(fixture.credentials["a"], purpose, body))


class TestResults:
    def test_a_result_is_counted_and_kept_with_its_signature(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with fixture.serving():
                run_id = await fixture.asked()
                reply = await fixture.answered(run_id, "a", metrics={"loss": 0.5})
                (accepted,) = (e for e in fixture.events(run_id) if isinstance(e, UpdateAccepted))
                assert not reply.duplicate
                assert (accepted.site, accepted.num_examples, accepted.metrics) == ("a", 10, {"loss": 0.5})
                assert accepted.statement is not None

        run(main())

    def test_a_result_sent_twice_counts_once(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with fixture.serving():
                run_id = await fixture.asked()
                replies = [await fixture.answered(run_id, "a") for _ in range(2)]
                assert [reply.duplicate for reply in replies] == [False, True]

        run(main())

    def test_a_result_sent_twice_at_once_counts_once(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with fixture.serving():
                run_id = await fixture.asked()
                replies = await asyncio.gather(*(fixture.answered(run_id, "a") for _ in range(2)))
                assert sorted(reply.duplicate for reply in replies) == [False, True]
                assert sum(isinstance(e, UpdateAccepted) for e in fixture.events(run_id)) == 1

        run(main())

    def test_of_two_results_at_once_the_first_counts(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with fixture.serving():
                run_id = await fixture.asked()
                answers = (fixture.answered(run_id, "a", value) for value in (1.0, 2.0))
                replies = await asyncio.gather(*answers, return_exceptions=True)
                assert [type(reply) for reply in replies if isinstance(reply, Exception)] == [LateResultError]
                assert sum(isinstance(e, UpdateAccepted) for e in fixture.events(run_id)) == 1

        run(main())

    def test_a_task_that_failed_is_told_to_the_run_with_its_log(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with fixture.serving():
                run_id = await fixture.asked(cohort={"quorum": 0.5})
                told = {"outcome": "failed", "reason": "out of memory", "log_tail": "Killed"}
                await fixture.hand_in(fixture.outcome(run_id, "a", **told))
                (failed,) = (e for e in fixture.events(run_id) if isinstance(e, TaskFailed))
                assert (failed.reason, failed.log_tail) == ("out of memory", "Killed")

        run(main())

    def test_metrics_with_more_digits_than_the_plan_declares_are_refused(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with fixture.serving():
                run_id = await fixture.asked(metric_digits=3)
                with pytest.raises(DisclosureError, match="more than 3 significant digits of the metric"):
                    await fixture.answered(run_id, "a", metrics={"loss": 0.3333})
                assert not (await fixture.answered(run_id, "a", metrics={"loss": 0.333})).duplicate

        run(main())

    def test_an_evaluation_needs_no_update(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with fixture.serving():
                run_id = await fixture.asked("evaluate")
                assert not (await fixture.hand_in(fixture.outcome(run_id, "a"))).duplicate

        run(main())

    def test_a_full_disk_is_not_held_against_the_site(
        self, fixture: FederationFixture, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*args: Any, **kwargs: Any) -> Any:
            raise StorageError("the disk is full")

        async def main() -> None:
            async with fixture.serving():
                run_id = await fixture.asked()
                with monkeypatch.context() as patch:
                    patch.setattr(fixture.journal, "append", full)
                    with pytest.raises(StorageError, match="full"):
                        await fixture.answered(run_id, "a")
                assert not (await fixture.answered(run_id, "a")).duplicate
                assert not any(isinstance(e, ResultRefused) for e in fixture.events(run_id))

        run(main())

    def test_a_result_that_came_too_late_is_told_so(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with fixture.serving():
                run_id = await fixture.asked()
                outcome = fixture.outcome(
                    run_id, "a", update=fixture.bring("a", {"w": np.ones(3, np.float32)})
                )
                await fixture.controller(run_id).execute(Stop("operator"))
                with pytest.raises(LateResultError, match="stopped"):
                    await fixture.hand_in(outcome)

        run(main())

    def test_an_answer_after_the_close_is_recorded_under_its_round_with_its_examples(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with fixture.serving():
                run_id = await fixture.asked(cohort={"quorum": 0.5, "grace": "1ms"})
                outcome = fixture.outcome(run_id, "c", update=fixture.bring("c", MODEL), num_examples=7)
                for name in "ab":
                    await fixture.answered(run_id, name)
                await asyncio.sleep(0.01)
                await fixture.controller(run_id).execute(Tick())
                with pytest.raises(LateResultError, match="closed"):
                    await fixture.hand_in(outcome)
                event = fixture.events(run_id)[-1]
                assert isinstance(event, ResultRefused)
                assert (event.round_number, event.site, event.num_examples) == (1, "c", 7)

        run(main())

    def test_a_run_that_does_not_exist_has_no_results(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with fixture.serving():
                outcome = fixture.outcome(await fixture.asked(), "a")
                with pytest.raises(RunError, match="no run 'demo-9'"):
                    await fixture.hand_in(outcome.model_copy(update={"run_id": "demo-9"}))

        run(main())


class TestRosters:
    def test_a_site_finds_its_key_in_the_roster_of_an_exchange_that_asks_it(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with fixture.serving() as service:
                run_id = await fixture.asked()
                for name in "abc":
                    work = await service.site_requests.next(fixture.peer(name), NextRequest())
                    digest = work.runs[0].assignments[0].roster
                    assert digest == fixture.run(run_id).roster.digest
                    proof = await service.site_requests.roster(fixture.peer(name), digest)
                    check_place(proof, digest, name, signing_key(fixture.credentials[name]).fingerprint)

        run(main())

    def test_a_roster_stays_that_of_its_exchange_when_a_site_leaves(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with fixture.serving() as service:
                run_id = await fixture.asked(cohort={"quorum": 0.5})
                before = fixture.run(run_id).roster.digest
                await service.member_requests.remove(fixture.operator, "c", RemoveRequest())
                await fixture.ask(run_id, "evaluate")
                work = await service.site_requests.next(fixture.peer("a"), NextRequest())
                first, second = (asked.roster for asked in work.runs[0].assignments)
                assert first == before != second
                for digest in (first, second):
                    proof = await service.site_requests.roster(fixture.peer("a"), digest)
                    check_place(proof, digest, "a", signing_key(fixture.credentials["a"]).fingerprint)

        run(main())

    def test_a_roster_that_asks_a_site_nothing_is_not_for_it(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with fixture.serving() as service:
                run_id = await fixture.asked()
                digest = fixture.run(run_id).roster.digest
                for wrong in ("0" * 64, f"{digest}-blake3"):
                    with pytest.raises(RunError, match="no exchange that asks a has the roster"):
                        await service.site_requests.roster(fixture.peer("a"), wrong)
                await fixture.controller(run_id).execute(Stop("operator"))
                with pytest.raises(RunError, match="no exchange that asks a has the roster"):
                    await service.site_requests.roster(fixture.peer("a"), digest)

        run(main())

    @pytest.mark.parametrize("roster", [None, "1" * 64])
    def test_a_result_has_to_repeat_the_roster_of_its_exchange(
        self, fixture: FederationFixture, run: Run, roster: str | None
    ) -> None:
        async def main() -> None:
            async with fixture.serving():
                run_id = await fixture.asked("evaluate")
                with pytest.raises(ProtocolError, match="and the roster of the exchange is"):
                    await fixture.hand_in(fixture.outcome(run_id, "a", roster=roster))

        run(main())

    def test_a_site_that_refused_the_roster_says_so_by_a_failure_without_it(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with fixture.serving():
                run_id = await fixture.asked("evaluate", cohort={"quorum": 0.5})
                told = {"outcome": "failed", "reason": "the roster has another key", "roster": None}
                await fixture.hand_in(fixture.outcome(run_id, "a", **told))
                with pytest.raises(ProtocolError, match="and the roster of the exchange is"):
                    await fixture.hand_in(fixture.outcome(run_id, "b", **(told | {"roster": "1" * 64})))
                (failed,) = (e for e in fixture.events(run_id) if isinstance(e, TaskFailed))
                assert (failed.site, failed.reason) == ("a", "the roster has another key")

        run(main())

    def test_a_result_counts_with_the_key_that_the_site_agreed_with_alone(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with fixture.serving():
                run_id = await fixture.asked("evaluate")
                outcome = fixture.outcome(run_id, "a")
                stranger = SigningKey.create()
                statement = stranger.sign(TASK_RESULT, outcome.model_dump(mode="json"))
                with pytest.raises(TrustError, match=f"signed with key {stranger.fingerprint[:16]}"):
                    await fixture.service.site_requests.result(
                        fixture.peer("a"), ResultRequest(statement=statement)
                    )

        run(main())


class TestProgress:
    def test_the_first_sign_is_recorded_and_later_ones_are_not(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with fixture.serving() as service:
                run_id = await fixture.asked()
                for _ in range(3):
                    await service.site_requests.progress(
                        fixture.peer("a"), ProgressRequest(run_id=run_id, exchange=1)
                    )
                kinds = [event.kind for event in fixture.events(run_id)]
                assert kinds.count("TaskStarted") == 1

        run(main())

    def test_a_site_that_was_not_asked_has_no_progress(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with fixture.serving() as service:
                run_id = await fixture.asked()
                fixture.credentials["d"] = fixture.enrolled("d")
                with pytest.raises(RunError, match="d was not asked"):
                    await service.site_requests.progress(
                        fixture.peer("d"), ProgressRequest(run_id=run_id, exchange=1)
                    )

        run(main())


class TestJournalHead:
    def test_a_site_is_told_the_latest_record_that_it_signed_and_the_statement_is_the_proof(
        self, fixture: FederationFixture, run: Run, caplog: pytest.LogCaptureFixture
    ) -> None:
        signed_head, own = head(9), head(3)

        async def main() -> None:
            async with fixture.serving() as service:
                ask, peer = service.site_requests.journal_head, fixture.peer("a")
                assert (await ask(peer, JournalHeadRequest(head=own))).heard is None
                run_id = await fixture.asked()
                await fixture.answered(run_id, "a", journal=signed_head)

                claimed = await ask(peer, JournalHeadRequest(head=own))
                proved = await ask(peer, JournalHeadRequest(head=own, proof=True))

                assert (claimed.heard, claimed.statement) == (signed_head, None)
                assert proved.statement is not None
                assert proved.statement.body["journal"] == signed_head.model_dump()
                assert (await ask(fixture.peer("b"), JournalHeadRequest(head=own))).heard is None

        run(main())
        assert "a states record 3 of its journal as the last, and record 9 was heard of" in caplog.text

    def test_what_was_heard_of_is_known_after_a_restart(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with fixture.serving():
                run_id = await fixture.asked()
                await fixture.answered(run_id, "a", journal=head(9))
                service = await fixture.restart()

                reply = await service.site_requests.journal_head(
                    fixture.peer("a"), JournalHeadRequest(head=None)
                )
                assert reply.heard == head(9)

        run(main())

    def test_an_outcome_that_names_no_record_is_refused(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with fixture.serving():
                run_id = await fixture.asked()
                with pytest.raises(
                    ProtocolError, match="a stated an outcome without its record in the site's journal"
                ):
                    await fixture.answered(run_id, "a", journal=None)

        run(main())


def head(sequence: int) -> JournalHead:
    return JournalHead(generation=0, sequence=sequence, digest=str(sequence) * 64)
