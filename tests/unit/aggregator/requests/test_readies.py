"""READYs that come from a cell, and the rosters that they make."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.federations import FederationFixture, signed
from tests.masked_sums import member
from tests.unit.aggregator.sums.cells import Sums, asked

from hanse.core.run.sums.events import SiteReady, SumAttempted
from hanse.core.values.canonical import sha256
from hanse.core.values.sums.ready import READY
from hanse.errors import AttemptError, HanseError, LateResultError, RunError, TrustError
from hanse.wire.messages.sites import TASK_RESULT, NextRequest
from hanse.wire.messages.sums import SumAsked, SumReadyRequest
from hanse.wire.tensors import open_file

Run = Callable[[Any], Any]
LOW_ORDER = "00" * 32


def in_sums(run: Run, fixture: FederationFixture, body: Callable[[Sums], Any], **plan: Any) -> None:
    async def main() -> None:
        async with asked(fixture, **plan) as sums:
            await body(sums)

    run(main())


class TestReady:
    def test_members_are_asked_for_an_attempt_and_later_for_its_roster(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def body(sums: Sums) -> None:
            before = (await sums.sites["a"].asked()).secure_sum
            await sums.ready()
            after = (await sums.sites["a"].asked()).secure_sum
            assert before == SumAsked(cell="all", attempt=1)
            assert after == SumAsked(cell="all", attempt=1, rho=sums.cell.rho)

        in_sums(run, fixture, body)

    def test_the_last_ready_wakes_every_member(self, fixture: FederationFixture, run: Run) -> None:
        async def body(sums: Sums) -> None:
            await sums.ready("a", "b")
            upstream = fixture.upstream("a")
            known = (await upstream.next(NextRequest(wait_s=0))).version
            waiting = asyncio.create_task(upstream.next(NextRequest(known=known, wait_s=20)))
            await asyncio.sleep(0.01)
            assert not waiting.done()
            await sums.ready("c")
            (found,) = (await asyncio.wait_for(waiting, 5)).runs[0].assignments
            assert found.secure_sum is not None
            assert found.secure_sum.rho == sums.cell.rho

        in_sums(run, fixture, body)

    def test_a_repetition_is_taken_and_recorded_once(self, fixture: FederationFixture, run: Run) -> None:
        async def body(sums: Sums) -> None:
            statement = await sums.sites["a"].ready()
            await sums.sites["a"].send(statement, sums.run_id)
            await sums.sites["a"].send(statement, sums.run_id)
            assert sum(isinstance(event, SiteReady) for event in fixture.events(sums.run_id)) == 1

        in_sums(run, fixture, body)

    def test_two_at_a_time_are_held_against_each_other(self, fixture: FederationFixture, run: Run) -> None:
        async def body(sums: Sums) -> None:
            a, b = sums.sites["a"], sums.sites["b"]
            first, second = await a.ready(), await b.ready()
            copied = b.sign(second.body | {"public": first.body["public"]})
            outcomes = await asyncio.gather(
                a.send(first, sums.run_id), b.send(copied, sums.run_id), return_exceptions=True
            )
            (refused,) = [outcome for outcome in outcomes if outcome is not None]
            assert isinstance(refused, TrustError)
            assert "states the public key of" in str(refused)

        in_sums(run, fixture, body)

    def test_a_member_that_lost_its_key_begins_a_further_attempt(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def body(sums: Sums) -> None:
            await sums.ready()
            await sums.masked("a")
            sums.sites["b"].lose_key()
            run_, asked_ = await sums.sites["b"].work(), await sums.sites["b"].asked()
            await sums.sites["b"]._see_to(run_, asked_)
            (attempted,) = [e for e in fixture.events(sums.run_id) if isinstance(e, SumAttempted)]
            assert (attempted.attempt, attempted.site) == (2, "b")
            assert attempted.reason == "b lost the key of attempt 1, as in a restart"
            # Whoever has answered is asked once more.
            assert (await sums.sites["a"].asked()).secure_sum == SumAsked(cell="all", attempt=2)
            await sums.ready("a", "c")
            await sums.masked()
            assert sums.exchange.closed == "all"

        in_sums(run, fixture, body)

    def test_a_further_attempt_wakes_who_has_answered(self, fixture: FederationFixture, run: Run) -> None:
        async def body(sums: Sums) -> None:
            await sums.ready()
            await sums.masked("a")
            upstream = fixture.upstream("a")
            known = (await upstream.next(NextRequest(wait_s=0))).version
            waiting = asyncio.create_task(upstream.next(NextRequest(known=known, wait_s=20)))
            b = sums.sites["b"]
            b.lose_key()
            await b._see_to(await b.work(), await b.asked())
            (found,) = (await asyncio.wait_for(waiting, 5)).runs[0].assignments
            assert found.secure_sum is not None
            assert found.secure_sum.attempt == 2

        in_sums(run, fixture, body)

    @pytest.mark.parametrize(
        ("changes", "error", "problem"),
        [
            ({"context": sha256(b"another")}, TrustError, "has another context than this exchange"),
            ({"run_id": "demo-9"}, TrustError, "has another run_id"),
            ({"federation": "south"}, TrustError, "has another federation"),
            ({"suite": "x448"}, TrustError, "has another suite"),
            ({"cell": "other"}, TrustError, "has another cell"),
            ({"exchange": 9}, RunError, "no masked sum of run demo-1 asks a in exchange 9"),
            ({"public": LOW_ORDER}, TrustError, "the public key in the READY of a"),
            ({"public": "ff" * 32}, TrustError, "is not written in its one form"),
            ({"attempt": 17}, TrustError, "what came as a READY is none"),
            ({"site": "b"}, TrustError, "a sent the READY of b"),
            ({"more": 1}, TrustError, "what came as a READY is none"),
        ],
    )
    def test_whatever_is_not_of_this_exchange_is_refused_and_not_recorded(
        self,
        changes: dict[str, Any],
        error: type[HanseError],
        problem: str,
        fixture: FederationFixture,
        run: Run,
    ) -> None:
        async def body(sums: Sums) -> None:
            a = sums.sites["a"]
            statement = a.sign((await a.ready()).body | changes)
            with pytest.raises(error, match=problem):
                await a.send(statement, sums.run_id)
            assert not sums.cell.ready

        in_sums(run, fixture, body)

    def test_it_counts_only_with_the_key_that_the_run_has_for_the_site(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def body(sums: Sums) -> None:
            a, other = sums.sites["a"], member("a", "another key")
            body = (await a.ready()).body | {"signer": other.fingerprint}
            with pytest.raises(TrustError, match="not signed with the key that is recorded for the run"):
                await a.send(other.key.sign(READY, body), sums.run_id)

        in_sums(run, fixture, body)

    def test_a_signature_for_another_purpose_is_none(self, fixture: FederationFixture, run: Run) -> None:
        async def body(sums: Sums) -> None:
            a = sums.sites["a"]
            result = signed(fixture.credentials["a"], TASK_RESULT, (await a.ready()).body)
            with pytest.raises(TrustError, match="did not sign it as such"):
                await a.send(result, sums.run_id)

        in_sums(run, fixture, body)

    def test_a_second_one_of_an_attempt_is_told_the_next_number(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def body(sums: Sums) -> None:
            a = sums.sites["a"]
            first = await a.ready()
            await a.send(first, sums.run_id)
            a.lose_key()
            other = a.sign(first.body | {"public": (await a.ready()).body["public"]})
            with pytest.raises(AttemptError) as refused:
                await a.send(other, sums.run_id)
            assert refused.value.mend == "The next number is 2."

        in_sums(run, fixture, body)

    def test_a_site_that_commits_to_other_numbers_than_before_is_refused_for_good(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def body(sums: Sums) -> None:
            await sums.ready()
            restored = type(sums.sites["a"])(fixture, "a", sums.sites["a"].result)
            restored.result = replace(restored.result, metrics={"loss": 9.0})
            statement = restored.sign((await restored.ready()).body | {"attempt": 2})
            with pytest.raises(TrustError, match="a commits to other numbers than before in exchange 1"):
                await restored.send(statement, sums.run_id)
            assert sums.cell.attempt == 1

        in_sums(run, fixture, body)

    def test_it_is_late_once_the_exchange_is_over(self, fixture: FederationFixture, run: Run) -> None:
        async def body(sums: Sums) -> None:
            statement = await sums.sites["a"].ready()
            later = sums.sites["a"].sign(statement.body | {"attempt": 2})
            await sums.ready()
            await sums.masked()
            with pytest.raises(LateResultError, match=r"exchange 1 of run demo-1 closed \(all\)"):
                await sums.sites["a"].send(later, sums.run_id)

        in_sums(run, fixture, body)

    def test_a_site_that_no_masked_sum_asks_is_told_so(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with fixture.serving():
                run_id = await fixture.asked()
                site = Sums(fixture, run_id).sites["a"]
                body = {
                    "suite": "x25519-hkdf-sha256-aes128ctr-1",
                    "federation": "north",
                    "run_id": run_id,
                    "exchange": 1,
                    "cell": "all",
                    "attempt": 1,
                    "site": "a",
                    "signer": "0" * 64,
                    "context": "0" * 64,
                    "public": "0" * 64,
                    "commitment": "0" * 64,
                }
                with pytest.raises(RunError, match="no masked sum of run demo-1 asks a in exchange 1"):
                    await fixture.upstream("a").sum_ready(
                        SumReadyRequest(run_id=run_id, statement=site.sign(body))
                    )

        run(main())


class TestRoster:
    def test_members_get_all_readys_in_site_order(self, fixture: FederationFixture, run: Run) -> None:
        async def body(sums: Sums) -> None:
            await sums.ready("c", "a", "b")
            assert sums.cell.rho is not None
            roster = await fixture.upstream("b").sum_roster(sums.cell.rho)
            assert [statement.body["site"] for statement in roster.ready] == ["a", "b", "c"]

        in_sums(run, fixture, body)

    def test_nobody_else_gets_it(self, fixture: FederationFixture, run: Run) -> None:
        fixture.credentials["d"] = fixture.enrolled("d")

        async def body(sums: Sums) -> None:
            await sums.ready()
            assert sums.cell.rho is not None
            with pytest.raises(RunError, match="no cell of d has the roster"):
                await fixture.upstream("d").sum_roster(sums.cell.rho)

        in_sums(run, fixture, body)

    def test_that_of_an_attempt_which_is_over_is_not_given(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def body(sums: Sums) -> None:
            await sums.ready()
            first, b = sums.cell.rho, sums.sites["b"]
            assert first is not None
            b.lose_key()
            await b._see_to(await b.work(), await b.asked())
            with pytest.raises(RunError, match="a further attempt may have begun"):
                await fixture.upstream("a").sum_roster(first)

        in_sums(run, fixture, body)


def test_what_the_sites_send_is_noise_and_its_sum_is_what_they_counted(
    fixture: FederationFixture, run: Run
) -> None:
    async def body(sums: Sums) -> None:
        await sums.ready()
        await sums.masked()
        vectors = {
            site: open_file(fixture.blobs.path(digest))["masked"] for site, digest in sums.cell.masked.items()
        }
        assert all(int(vector[-4:].max()) > 2**20 for vector in vectors.values())
        total = np.sum([*vectors.values()], axis=0, dtype=np.uint32)
        assert total[-4:].tolist() == [111, 222, 333, 444]

    in_sums(run, fixture, body)
