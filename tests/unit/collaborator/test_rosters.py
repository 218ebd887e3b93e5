"""A site refuses a roster in which its own signing key is not the one that it holds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.parties import signing_key
from tests.unit.collaborator.aggregators import SITE, Site, manifest_of, until
from tests.unit.collaborator.test_agent import accepted, ask, at_work
from tests.unit.collaborator.test_tasks import FakeWorkers, settled

from hanse.collaborator.agent import Agent
from hanse.collaborator.review import Reviewer, decide_plan
from hanse.collaborator.rosters import FILE, forget_run, note_runs_of_before, runs_of_before
from hanse.collaborator.site_journal import records_of
from hanse.config.settings import settings_yaml
from hanse.core.journal.site_history import SiteHistory
from hanse.core.journal.site_records import FailureReleased, PlanAnswerReleased, ResultReleased
from hanse.core.values.roster import Roster, RosterProof
from hanse.core.values.statements import CertifiedStatement
from hanse.errors import CredentialError, StorageError, TransportError
from hanse.pki.key_statements import rotation_of
from hanse.pki.signatures import sign
from hanse.pki.signing_key import SIGNING_KEY_FILE, SigningKey
from hanse.pki.signing_key_files import NEXT_KEY_FILE, note_rotation
from hanse.wire.messages.sites import PLAN_ANSWER_1, Assignment, PlanAnswer, RunWork, TaskOutcome

Run = Callable[[Any], Any]

OTHERS = {"berlin": "0" * 64, "oslo": "1" * 64}


@pytest.fixture
def work(site: Site, run: Run) -> RunWork:
    """A run whose plan the site has accepted."""
    work = site.publish(manifest_of())
    run(Reviewer(site.context()).review(work))
    return work


def key_of(site: Site) -> SigningKey:
    return signing_key(site.credentials)


def outcome_of(site: Site, run: Run, work: RunWork, assignment: Assignment) -> TaskOutcome:
    return settled(site, run, work, assignment, FakeWorkers())


def refused(site: Site, run: Run, work: RunWork, assignment: Assignment) -> TaskOutcome:
    """What the site says of a task that it does not begin."""
    workers = FakeWorkers()
    outcome = settled(site, run, work, assignment, workers)
    assert (outcome.outcome, workers.orders) == ("failed", [])
    return outcome


def test_a_result_repeats_the_roster_in_which_the_site_found_its_key(
    site: Site, run: Run, work: RunWork
) -> None:
    assignment = site.assignment()

    outcome = outcome_of(site, run, work, assignment)

    assert outcome.outcome == "done"
    assert outcome.roster == assignment.roster is not None


def test_the_sites_journal_records_the_key_and_the_roster(site: Site, run: Run, work: RunWork) -> None:
    assignment = site.assignment()
    outcome_of(site, run, work, assignment)

    records = [read for _, read in records_of(site.directory, SiteHistory())]

    assert [r.signer for r in records if isinstance(r, PlanAnswerReleased)] == [key_of(site).fingerprint]
    assert [r.roster for r in records if isinstance(r, ResultReleased)] == [assignment.roster]


def test_a_roster_without_the_site_is_refused(site: Site, run: Run, work: RunWork) -> None:
    digest = site.upstream.add_roster(Roster(OTHERS))

    outcome = refused(site, run, work, site.assignment(roster=digest))

    assert f"roster {digest[:12]} does not name key {key_of(site).fingerprint[:16]}" in outcome.reason
    assert outcome.roster is None


def test_a_roster_with_another_key_for_the_site_is_refused(site: Site, run: Run, work: RunWork) -> None:
    forged = SigningKey.create().fingerprint
    digest = site.upstream.add_roster(Roster(OTHERS | {"hospital-a": forged}))

    outcome = refused(site, run, work, site.assignment(roster=digest))

    assert f"roster {digest[:12]} does not name key {key_of(site).fingerprint[:16]}" in outcome.reason


def test_a_roster_of_another_digest_is_refused(site: Site, run: Run, work: RunWork) -> None:
    site.upstream.rosters["2" * 64] = site.upstream.rosters[site.roster()]

    outcome = refused(site, run, work, site.assignment(roster="2" * 64))

    assert "roster 222222222222 does not name key" in outcome.reason


def test_an_outdated_roster_is_refused(site: Site, run: Run, work: RunWork) -> None:
    own = {"hospital-a": key_of(site).fingerprint}
    before, now = Roster(OTHERS | own), Roster({"oslo": "1" * 64} | own)
    site.upstream.rosters[now.digest] = before

    outcome = refused(site, run, work, site.assignment(roster=now.digest))

    assert f"roster {now.digest[:12]} does not name key" in outcome.reason


def test_a_proof_that_is_made_up_is_refused(
    site: Site, run: Run, work: RunWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def roster(digest: str) -> RosterProof:
        return RosterProof(place=0, size=1)

    monkeypatch.setattr(site.upstream, "roster", roster)

    assert refused(site, run, work, site.assignment()).roster is None


def test_a_run_that_states_no_roster_is_refused(site: Site, run: Run, work: RunWork) -> None:
    outcome = refused(site, run, work, site.assignment(roster=None))

    assert "exchange 1 of run demo-1 states no roster of signing keys" in outcome.reason


def test_a_refusal_is_in_the_sites_journal_without_the_roster(site: Site, run: Run, work: RunWork) -> None:
    refused(site, run, work, site.assignment(roster=site.upstream.add_roster(Roster(OTHERS))))

    (failure,) = (r for _, r in records_of(site.directory, SiteHistory()) if isinstance(r, FailureReleased))

    assert failure.roster is None


def test_a_roster_is_asked_for_once_as_long_as_it_stays_the_same(site: Site, run: Run) -> None:
    asked: list[str] = []

    async def main() -> None:
        roster = site.upstream.roster

        async def counted(digest: str) -> RosterProof:
            asked.append(digest)
            return await roster(digest)

        site.upstream.roster = counted  # type: ignore[method-assign]
        async with at_work(site):
            work = await accepted(site)
            for number in (1, 2, 3):
                ask(site, work, site.assignment("evaluate", number))
                await until(lambda number=number: len(site.upstream.outcomes) == number)

    run(main())

    assert len(asked) == 1
    assert [outcome.outcome for outcome in site.upstream.outcomes] == ["done"] * 3


def test_a_roster_is_asked_for_until_the_aggregator_answers(site: Site, run: Run, work: RunWork) -> None:
    site.upstream.fail("roster", TransportError("reset"), TransportError("reset"))

    assert outcome_of(site, run, work, site.assignment()).outcome == "done"


def test_a_kept_result_is_handed_in_with_the_roster_that_it_was_made_with(
    site: Site, run: Run, work: RunWork
) -> None:
    site.upstream.fail("result", CredentialError("removed"))
    with pytest.raises(CredentialError):
        outcome_of(site, run, work, site.assignment())
    workers = FakeWorkers()

    outcome = settled(site, run, work, site.assignment(), workers)

    assert workers.orders == []
    assert (outcome.outcome, outcome.roster) == ("done", site.roster())


def test_a_kept_result_of_another_roster_does_not_count(site: Site, run: Run, work: RunWork) -> None:
    site.upstream.fail("result", CredentialError("removed"))
    with pytest.raises(CredentialError):
        outcome_of(site, run, work, site.assignment())
    other = Roster({"oslo": "1" * 64, "hospital-a": key_of(site).fingerprint})
    workers = FakeWorkers()

    outcome = settled(site, run, work, site.assignment(roster=site.upstream.add_roster(other)), workers)

    assert len(workers.orders) == 1
    assert outcome.roster == other.digest


class TestFoldersOfBefore:
    """Folders of before 0.2, in which there is no signing key yet."""

    def keyless(self, site: Site) -> None:
        (site.directory / "pki" / SIGNING_KEY_FILE).unlink()
        site.upstream.recorded = None

    def started(self, site: Site, run: Run) -> SigningKey:
        """Start an agent and stop it, if it has not ended; the key that the folder has then."""

        async def main() -> None:
            agent = Agent(site.context())
            running = asyncio.create_task(agent.run())
            await until(lambda: running.done() or site.upstream.stated)
            await agent.stop()
            await running

        run(main())
        return SigningKey.load(site.directory / "pki")

    def test_an_agent_makes_the_key_has_it_recorded_and_logs_its_words(
        self, site: Site, run: Run, caplog: pytest.LogCaptureFixture
    ) -> None:
        self.keyless(site)

        key = self.started(site, run)

        assert site.upstream.recorded == key.fingerprint
        assert key.words in caplog.text
        assert not (site.directory / "pki" / NEXT_KEY_FILE).exists()

    def test_the_key_is_made_once(self, site: Site, run: Run, caplog: pytest.LogCaptureFixture) -> None:
        self.keyless(site)
        first = self.started(site, run)
        caplog.clear()

        assert self.started(site, run).fingerprint == first.fingerprint
        assert first.words not in caplog.text

    def test_a_reply_that_was_lost_leaves_the_key_that_was_recorded(self, site: Site, run: Run) -> None:
        self.keyless(site)
        record = site.upstream.record_signing_key

        async def lost(request: Any) -> Any:
            await record(request)
            raise CredentialError("the agent ends here")

        site.upstream.record_signing_key = lost  # type: ignore[method-assign]
        with pytest.raises(CredentialError):
            self.started(site, run)
        recorded = site.upstream.recorded

        assert self.started(site, run).fingerprint == recorded

    def test_a_key_that_was_lost_is_said_with_the_way_to_another(self, site: Site, run: Run) -> None:
        (site.directory / "pki" / SIGNING_KEY_FILE).unlink()

        with pytest.raises(CredentialError, match=r"recorded the signing key .* is missing\. .*remove NAME"):
            self.started(site, run)

    def test_a_folder_with_another_key_than_the_recorded_one_serves_nothing(
        self, site: Site, run: Run
    ) -> None:
        site.upstream.recorded = "5" * 64

        with pytest.raises(CredentialError, match=f"recorded the signing key {'5' * 64}"):
            self.started(site, run)

    def test_runs_that_were_under_way_may_lack_a_roster(self, site: Site, work: RunWork) -> None:
        self.keyless(site)
        (site.directory / "runs" / "demo-1").mkdir(parents=True)
        plans = site.context().plans
        plans.note_runs({"demo-7": work.plan_digest}, {})

        note_runs_of_before(site.directory, site.directory / "pki")

        assert runs_of_before(site.directory) == {"demo-1", "demo-7"}

    def test_a_run_that_was_under_way_is_served_without_a_roster_until_it_is_over(
        self, site: Site, run: Run, work: RunWork
    ) -> None:
        (site.directory / FILE).write_text(json.dumps(["demo-1"]))

        outcome = outcome_of(site, run, work, site.assignment(roster=None))
        forget_run(site.directory, "demo-1")

        assert (outcome.outcome, outcome.roster) == ("done", None)
        assert refused(site, run, work, site.assignment(exchange=2, roster=None)).roster is None

    def test_what_is_under_way_when_there_is_a_key_already_is_not_of_before(
        self, site: Site, run: Run, work: RunWork
    ) -> None:
        (site.directory / "runs" / "demo-1").mkdir(parents=True)

        self.started(site, run)

        assert runs_of_before(site.directory) == frozenset()

    def test_a_damaged_list_of_runs_is_named(self, site: Site) -> None:
        (site.directory / FILE).write_text("?")

        with pytest.raises(StorageError, match=r"runs-of-0\.1\.json is damaged"):
            runs_of_before(site.directory)


class TestAnswers:
    """Answers to plans that were signed before, with another key or none."""

    def test_an_answer_covers_the_sites_own_key(self, site: Site, run: Run, work: RunWork) -> None:
        (answer,) = site.upstream.answers

        assert answer.signer == key_of(site).fingerprint

    def approved(self, site: Site, work: RunWork) -> Any:
        """The site's plans, with a person's consent to the plan."""
        context = site.context()
        (site.directory / "site.yaml").write_text(settings_yaml(context.settings))
        decide_plan(site.directory, work.plan_digest, approve=True, reason="", now=site.clock())
        return context.plans

    def test_a_persons_answer_of_before_is_given_with_the_signing_key(
        self, site: Site, run: Run, work: RunWork
    ) -> None:
        plans = self.approved(site, work)
        kept = plans.answer(work.plan_digest)
        body = {name: value for name, value in kept.statement.body.items() if name != "signer"}
        certified = CertifiedStatement(body=body, **sign(site.credentials, PLAN_ANSWER_1, body).model_dump())
        plans.record(work.plan_digest, kept.model_copy(update={"statement": certified}))

        run(Reviewer(site.context()).review(work))

        answer = site.upstream.answers[-1]
        assert answer == PlanAnswer.model_validate(body | {"signer": key_of(site).fingerprint})
        assert answer.reasons == ("a person approved it",)

    def test_a_persons_answer_outlasts_a_rotation_of_the_key(
        self, site: Site, run: Run, work: RunWork
    ) -> None:
        self.approved(site, work)
        identity, old, new = site.directory / "pki", key_of(site), SigningKey.create()
        note_rotation(identity, rotation_of(old, new, SITE))
        (identity / SIGNING_KEY_FILE).unlink()
        new.save(identity)
        site.upstream.recorded = new.fingerprint

        run(Reviewer(site.context()).review(work))

        answer = site.upstream.answers[-1]
        assert (answer.signer, answer.reasons) == (new.fingerprint, ("a person approved it",))

    def test_an_answer_of_a_key_that_is_not_the_sites_does_not_count(
        self, site: Site, run: Run, work: RunWork, caplog: pytest.LogCaptureFixture
    ) -> None:
        plans = self.approved(site, work)
        kept, stranger = plans.answer(work.plan_digest), SigningKey.create()
        forged = stranger.sign("hanse plan answer 2", kept.statement.body)
        plans.record(work.plan_digest, kept.model_copy(update={"statement": forged}))

        assert Reviewer(site.context()).kept(work.plan_digest) is None
        assert "does not count" in caplog.text


def test_the_signing_key_is_out_of_the_workers_reach(site: Site, run: Run, tmp_path: Path) -> None:
    told: list[str] = []

    async def main() -> None:
        from hanse.collaborator.task_worker.pool import Workers

        context = site.context()
        workers = Workers(context, Reviewer(context).bring_code)
        from hanse.collaborator.run_folder import RunFolder

        spec = workers._spec(manifest_of(), RunFolder(tmp_path / "demo-1"))
        told.extend(str(path) for path in spec.confinement.secrets)
        await asyncio.sleep(0)

    run(main())

    assert str(site.directory / "pki" / SIGNING_KEY_FILE) in told
