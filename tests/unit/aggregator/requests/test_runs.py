"""Requests of operators about runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.blobs import put
from tests.federations import MODEL, FederationFixture, now

from hanse.aggregator.blobs.retention import KeptModels
from hanse.aggregator.requests.runs import MAX_MANIFEST
from hanse.core.journal.chain import Record, check_chain
from hanse.core.plan.manifest import Manifest
from hanse.core.run.lifecycle import Fail, Finish
from hanse.core.run.requests.commands import Commit
from hanse.core.run.site_events import SiteReinstated
from hanse.core.values.canonical import sha256
from hanse.core.values.identity import Role
from hanse.core.values.statements import Signature
from hanse.errors import CredentialError, PlanError, RunError, StorageError, UpdateError
from hanse.pki.certificates import peer_of
from hanse.pki.signatures import verify
from hanse.wire.messages.basics import MAX_MESSAGE, encode
from hanse.wire.messages.members import RemoveRequest
from hanse.wire.messages.runs import RunStatus, StopRequest, SubmitRequest

Run = Callable[[Any], Any]


class TestSubmit:
    def test_a_plan_becomes_a_run_that_asks_every_site(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with fixture.serving() as service:
                digest = put(fixture.blobs, fixture.manifest().to_bytes())
                status = await service.run_requests.submit(
                    fixture.operator, SubmitRequest(plan_digest=digest)
                )
                assert (status.run_id, status.phase, status.submitted_by) == (
                    "demo-1",
                    "submitted",
                    "operator",
                )
                assert status.answers == dict.fromkeys("abc", "awaited")

        run(main())

    def test_runs_of_one_plan_are_numbered_at_once_submitted_too(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with fixture.serving():
                assert set(await asyncio.gather(*(fixture.submit() for _ in range(3)))) == {
                    "demo-1",
                    "demo-2",
                    "demo-3",
                }

        run(main())

    def test_numbers_go_on_after_a_restart(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with fixture.serving():
                await fixture.submit()
                await fixture.restart()
                assert await fixture.submit() == "demo-2"

        run(main())

    def test_a_run_whose_models_were_deleted_is_not_resumed(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            fixture.reopen(kept_models=KeptModels(keep_s=-1.0))
            async with fixture.serving() as service:
                run_id = await fixture.asked()
                assert not (await service.run_requests.run(fixture.operator, run_id)).expired
                await service.run_requests.stop(fixture.operator, run_id, StopRequest())
                assert (await service.run_requests.run(fixture.operator, run_id)).expired
                with pytest.raises(RunError, match="the models of run demo-1 were deleted"):
                    await service.run_requests.resume(fixture.operator, run_id)

        run(main())

    def test_an_operator_chooses_the_sites_and_the_name_of_a_run(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with fixture.serving():
                status = await self.chosen(fixture, sites=("a", "c"), name="pilot")
                fixture.enrolled("late")
                await fixture.restart()
                state = fixture.run("pilot")
                assert (status.run_id, [*state.invited], state.chosen) == ("pilot", ["a", "c"], True)

        run(main())

    def test_a_name_is_given_once(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with fixture.serving():
                await self.chosen(fixture, name="pilot")
                with pytest.raises(RunError, match="pilot is the name of another run"):
                    await self.chosen(fixture, name="pilot")
                with pytest.raises(RunError, match="federation is reserved"):
                    await self.chosen(fixture, name="federation")

        run(main())

    def test_sites_that_are_not_enrolled_or_too_few_are_refused(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with fixture.serving():
                with pytest.raises(
                    RunError, match=r"not enrolled as a site: zurich. Enrolled are: a, b and c"
                ):
                    await self.chosen(fixture, sites=("a", "zurich"))
                with pytest.raises(RunError, match="the run is to ask 1 site, and the plan needs 2"):
                    await self.chosen(fixture, sites=("a",), cohort={"minimum": 2})
                assert fixture.service.run_requests is not None

        run(main())

    async def chosen(
        self, fixture: FederationFixture, *, sites: Any = None, name: Any = None, **changes: Any
    ) -> RunStatus:
        digest = put(fixture.blobs, fixture.manifest(**changes).to_bytes())
        request = SubmitRequest(plan_digest=digest, sites=sites, name=name)
        return await fixture.service.run_requests.submit(fixture.operator, request)

    def test_a_plan_that_was_not_uploaded_is_refused(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with fixture.serving() as service:
                with pytest.raises(PlanError, match="plan ffffffffffff was not uploaded"):
                    await service.run_requests.submit(fixture.operator, SubmitRequest(plan_digest="f" * 64))

        run(main())

    def test_a_plan_without_its_code_is_refused_by_the_files_name(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with fixture.serving():
                manifest = fixture.manifest()
                fixture.blobs.delete(manifest.files[0].sha256)
                with pytest.raises(PlanError, match=r"heart\.py was not uploaded"):
                    await self.submitted(fixture, manifest)

        run(main())

    def test_a_plan_that_is_wrong_about_its_code_is_refused(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with fixture.serving():
                manifest = fixture.manifest()
                file = manifest.files[0].model_copy(update={"size": 7})
                with pytest.raises(PlanError, match="does not have the 7 bytes"):
                    await self.submitted(fixture, manifest.model_copy(update={"files": (file,)}))

        run(main())

    def test_a_model_to_start_from_has_to_be_one(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with fixture.serving():
                manifest = fixture.manifest(initial=MODEL)
                file = manifest.files[0].model_copy(update={"path": "first.safetensors"})
                with pytest.raises(UpdateError, match="safetensors"):
                    await self.submitted(fixture, manifest.model_copy(update={"initial_model": file}))

        run(main())

    def test_a_plan_has_to_fit_into_the_journal(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with fixture.serving():
                with pytest.raises(PlanError, match="Put long `options` into a file"):
                    await self.submitted(fixture, fixture.manifest(options={"x": "y" * MAX_MANIFEST}))

        run(main())

    def test_so_many_runs_are_under_way_at_one_time_and_no_more(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with fixture.serving():
                for _ in range(fixture.options.max_runs):
                    last = await fixture.submit()
                with pytest.raises(RunError, match="32 runs are under way"):
                    await fixture.submit()
                await fixture.controller(last).execute(Fail("workflow", "over"))
                assert await fixture.submit()

        run(main())

    def test_a_full_disk_leaves_no_run_and_a_service_that_works(
        self, fixture: FederationFixture, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*args: Any, **kwargs: Any) -> Any:
            raise StorageError("the disk is full")

        async def main() -> None:
            async with fixture.serving() as service:
                with monkeypatch.context() as patch:
                    patch.setattr(fixture.journal, "append", full)
                    with pytest.raises(StorageError, match="full"):
                        await fixture.submit()
                assert (await service.run_requests.runs(fixture.operator)).runs == ()
                assert await fixture.submit() == "demo-1"

        run(main())

    async def submitted(self, fixture: FederationFixture, manifest: Manifest) -> None:
        digest = put(fixture.blobs, manifest.to_bytes())
        await fixture.service.run_requests.submit(fixture.operator, SubmitRequest(plan_digest=digest))


class TestWatching:
    def test_runs_are_listed_newest_first(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with fixture.serving() as service:
                for name in ("heart", "lung"):
                    await fixture.submit(name=name)
                    await asyncio.sleep(0.002)
                listed = (await service.run_requests.runs(fixture.operator)).runs
                assert [status.run_id for status in listed] == ["lung-1", "heart-1"]

        run(main())

    def test_events_come_at_once_where_there_are_any(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with fixture.serving() as service:
                run_id = await fixture.submit()
                reply = await service.run_requests.events(fixture.operator, run_id, 0, 30.0)
                assert [record.kind for record in reply.records] == ["RunSubmitted"]
                assert reply.status.events == 1

        run(main())

    def test_the_next_event_is_waited_for(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with fixture.serving() as service:
                run_id = await fixture.submit()
                waiting = asyncio.create_task(service.run_requests.events(fixture.operator, run_id, 1, 30.0))
                await asyncio.sleep(0.01)
                assert not waiting.done()
                await fixture.answer(run_id, "a")
                assert [record.kind for record in (await waiting).records] == ["PlanAnswered"]

        run(main())

    def test_a_run_that_is_over_is_not_waited_for(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with fixture.serving() as service:
                run_id = await fixture.submit()
                await service.run_requests.stop(fixture.operator, run_id, StopRequest())
                reply = await asyncio.wait_for(
                    service.run_requests.events(fixture.operator, run_id, 2, 30.0), 1
                )
                assert (reply.records, reply.status.phase) == ((), "stopped")

        run(main())

    def test_a_long_journal_comes_in_messages_that_fit(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with fixture.serving() as service:
                run_id = await fixture.submit()
                for number in range(24):
                    long = ("y" * 30_000,)
                    await fixture.answer(run_id, "a", accepted=number % 2 == 0, reasons=long)
                kinds: list[str] = []
                replies = 0
                while len(kinds) < fixture.controller(run_id).events:
                    reply = await service.run_requests.events(fixture.operator, run_id, len(kinds), 0.0)
                    assert len(encode(reply)) < MAX_MESSAGE
                    kinds += [record.kind for record in reply.records]
                    replies += 1
                assert replies == 2
                assert kinds == [record.kind for record in fixture.journal.read(run_id)]

        run(main())

    def test_a_long_record_comes_without_the_names_in_the_status_where_both_do_not_fit(
        self, fixture: FederationFixture, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def main() -> None:
            async with fixture.serving() as service:
                run_id = await fixture.submit()
                whole = await service.run_requests.events(fixture.operator, run_id, 0, 0.0)
                room = len(encode(whole.status)) + len(encode(whole.records[0]))
                for limit, names in ((room + 4_096, True), (room + 4_095, False)):
                    monkeypatch.setattr("hanse.aggregator.requests.runs.MAX_MESSAGE", limit)
                    reply = await service.run_requests.events(fixture.operator, run_id, 0, 0.0)
                    assert reply.records[0] == whole.records[0]
                    assert bool(reply.status.answers) == bool(reply.status.awaited) == names
                    assert reply.status.answer_counts == whole.status.answer_counts

        run(main())

    def test_the_wait_of_an_operator_who_is_removed_ends_at_once(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with fixture.serving() as service:
                run_id = await fixture.submit()
                olga = peer_of(fixture.enrolled("olga", Role.OPERATOR).certificate)
                waiting = asyncio.create_task(service.run_requests.events(olga, run_id, 1, 30.0))
                await asyncio.sleep(0)
                await service.member_requests.remove(fixture.operator, "olga", RemoveRequest())
                with pytest.raises(CredentialError, match="removed"):
                    await asyncio.wait_for(waiting, 1)

        run(main())

    def test_an_unknown_run_is_told_as_such(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with fixture.serving() as service:
                with pytest.raises(RunError, match="no run 'demo-7'"):
                    await service.run_requests.run(fixture.operator, "demo-7")

        run(main())


class TestEnding:
    def test_a_run_is_stopped_and_resumed(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with fixture.serving() as service:
                run_id = await fixture.asked()
                stopped = await service.run_requests.stop(
                    fixture.operator, run_id, StopRequest(reason="lunch")
                )
                resumed = await service.run_requests.resume(fixture.operator, run_id)
                assert (stopped.phase, stopped.reason) == ("stopped", "lunch")
                assert (resumed.phase, resumed.reason) == ("running", "")

        run(main())

    def test_a_run_that_goes_on_cannot_be_resumed(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with fixture.serving() as service:
                with pytest.raises(RunError, match="only a stopped or failed run"):
                    await service.run_requests.resume(fixture.operator, await fixture.asked())

        run(main())


class TestExport:
    def test_a_journal_is_written_with_a_seal_that_verifies(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with fixture.serving() as service:
                run_id = await fixture.asked()
                path = await service.run_requests.export(fixture.operator, run_id)
                header, *records, seal = map(json.loads, path.read_text().splitlines())
                assert header["run_id"] == run_id
                last = check_chain(Record(**record) for record in records)
                assert last == (seal["seal"]["records"], seal["seal"]["head"])
                signature = Signature.model_validate(seal["signature"])
                authority = fixture.authority.certificate
                signer = verify(signature, "hanse journal seal 1", seal["seal"], authority, now())
                assert signer.role is Role.AGGREGATOR

        run(main())

    def test_the_file_is_the_same_until_something_happens(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with fixture.serving() as service:
                run_id = await fixture.asked()
                first = await service.run_requests.export(fixture.operator, run_id)
                content = sha256(first.read_bytes())
                assert (
                    sha256((await service.run_requests.export(fixture.operator, run_id)).read_bytes())
                    == content
                )
                await fixture.controller(run_id).execute(Finish())
                later = await service.run_requests.export(fixture.operator, run_id)
                assert later != first
                assert not first.exists()

        run(main())

    def test_exports_at_once_do_not_meet(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with fixture.serving() as service:
                run_id = await fixture.asked()
                paths = await asyncio.gather(
                    *(service.run_requests.export(fixture.operator, run_id) for _ in range(4))
                )
                assert len(set(paths)) == 1

        run(main())


class TestTakeBack:
    def test_a_site_that_is_set_aside_is_taken_back_in_the_operators_name(
        self, fixture: FederationFixture, run: Run, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def main() -> None:
            async with fixture.serving() as service:
                run_id = await fixture.asked(
                    cohort={"quorum": 0.5, "set_aside_after": 1, "tolerated_missing": 0.1}, rounds=5
                )
                for name in "ab":
                    await fixture.answered(run_id, name)
                await fixture.hand_in(fixture.outcome(run_id, "c", outcome="failed", reason="no memory"))
                committed = fixture.run(run_id).model
                assert committed is not None
                await fixture.controller(run_id).execute(Commit(1, committed))
                (aside,) = (await service.run_requests.run(fixture.operator, run_id)).suspended
                assert (aside.site, aside.reason) == ("c", "it failed in round 1, train: no memory")

                status = await service.run_requests.reinstate(fixture.operator, run_id, "c")

                assert status.suspended == ()
                event = fixture.events(run_id)[-1]
                assert isinstance(event, SiteReinstated)
                assert (event.site, event.by) == ("c", "operator")
                with pytest.raises(RunError, match="c is not suspended"):
                    await service.run_requests.reinstate(fixture.operator, run_id, "c")

        with caplog.at_level("WARNING"):
            run(main())

        assert "run demo-1: c is suspended: it failed in round 1, train: no memory" in caplog.text
