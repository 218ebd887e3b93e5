"""An agent exchanges evidence before it works, and works for an accepted instance of the aggregator alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.attested import POLICY, asking, options
from tests.federations import TASKS, FederationFixture, now
from tests.parties import Run, signing_key
from tests.policy_files import whole_text
from tests.stand_ins import IdleSupervisor
from tests.tpm.forge import Tpm, policy

from hanse.collaborator.context import SiteContext
from hanse.collaborator.evidence.demands import evidence_refusals
from hanse.collaborator.evidence.site_evidence import SiteEvidence
from hanse.collaborator.identity import Identity
from hanse.collaborator.site_journal import SiteJournal
from hanse.config.settings import SiteSettings
from hanse.control.appraisal.deny_list import DenyEntry
from hanse.control.appraisal.options import EvidenceOptions
from hanse.core.journal.attestation_records import AggregatorAppraised, EvidenceReleased
from hanse.core.plan.manifest import Manifest
from hanse.core.plan.plan import Plan
from hanse.errors import PolicyError
from hanse.pki.deny_lists import DENY_LIST
from hanse.storage.blobs_file import FileBlobStore
from hanse.transport.client.retry import Retry
from hanse.wire.messages.sites import NextRequest, RunWork, Work

BOTH = {"aggregator": True, "sites": True}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> FederationFixture:
    return FederationFixture.new(tmp_path_factory.mktemp("federation") / "aggregator")


@pytest.fixture
def fixture(
    tmp_path: Path, template: FederationFixture, monkeypatch: pytest.MonkeyPatch
) -> FederationFixture:
    monkeypatch.setattr("hanse.aggregator.run_registry.Supervisor", IdleSupervisor)
    found = template.copied(tmp_path / "aggregator")
    found.reopen(evidence=options())
    return found


class Site:
    """Site `a` of a federation, with the plan of a run at hand.

    Attributes:
        settings: What `site.yaml` says beside what all sites have.
        evidence: Its options.
        made: Its journals, to be closed.
    """

    def __init__(self, fixture: FederationFixture, directory: Path) -> None:
        self.fixture = fixture
        self.directory = directory
        self.settings: dict[str, Any] = {}
        self.evidence = options()
        self.made: list[SiteJournal] = []

    async def agreed(self, run: RunWork) -> Manifest:
        return self.fixture.run(run.run_id).manifest

    async def bring_code(self, manifest: Manifest) -> None:
        bundle = self.context.plans.bundle(manifest.digest)
        bundle.mkdir(parents=True, exist_ok=True)
        for file in manifest.files:
            (bundle / file.path).write_bytes(self.fixture.blobs.path(file.sha256).read_bytes())

    def started(self, evidence: EvidenceOptions | None = None) -> SiteEvidence:
        """The part of an agent that starts now."""
        credentials, fixture = self.fixture.credentials["a"], self.fixture
        told = {"name": "a", "federation": "north", "aggregator": "https://hub.example.org"}
        journal = SiteJournal(self.directory, credentials.party, lambda: fixture.clock())
        self.made.append(journal)
        self.context = SiteContext(
            directory=self.directory,
            settings=SiteSettings.model_validate(told | self.settings),
            identity=Identity(
                credentials,
                renew_at=0.33,
                clock=now,
                present=lambda _: None,
                signing_key=signing_key(credentials),
            ),
            upstream=fixture.upstream("a"),
            blobs=FileBlobStore(self.directory / "blobs"),
            journal=journal,
            clock=lambda: fixture.clock(),
            retry_policy=Retry(sleep=lambda _: asyncio.sleep(0)),
            evidence=evidence or self.evidence,
        )
        return SiteEvidence(self.context, self)

    def records(self) -> list[str]:
        """Kinds of the records about evidence in its journal."""
        records = self.made[-1]._journal
        assert records is not None
        return [r.kind for r in records.read("site", after=1, limit=50)]


@pytest.fixture
def site(fixture: FederationFixture, tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "site").mkdir()
    found = Site(fixture, tmp_path / "site")
    yield found
    for journal in found.made:
        journal.close()


async def asked(fixture: FederationFixture, **plan: Any) -> str:
    await fixture.service.start()
    return await fixture.asked(**asking(**plan))


async def heard(fixture: FederationFixture, evidence: SiteEvidence) -> Work:
    work = await fixture.upstream("a").next(NextRequest())
    evidence.post(work)
    return work


async def kept(fixture: FederationFixture, evidence: SiteEvidence, run_id: str) -> Work:
    """Exchange evidence once, as the agent does that hears of the run; its work afterwards."""
    await heard(fixture, evidence)
    before = evidence._standings.get(run_id)
    keeping = asyncio.create_task(evidence.keep(run_id))
    while evidence._standings.get(run_id) is before:
        await asyncio.sleep(0.005)
        if keeping.done():
            await keeping
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    return await heard(fixture, evidence)


def plan_of(fixture: FederationFixture, run_id: str) -> Plan:
    return fixture.run(run_id).plan


def test_both_accept_each_other_and_the_site_may_work(
    fixture: FederationFixture, site: Site, run: Run
) -> None:
    async def story() -> None:
        run_id, evidence = await asked(fixture, **BOTH), site.started()
        plan = plan_of(fixture, run_id)
        assert evidence.missing(plan, run_id) == "no evidence was exchanged yet"
        work = await kept(fixture, evidence, run_id)

        evidence.check(plan, run_id)
        assert len(work.runs[0].assignments) == 1
        assert evidence.aggregator(plan, run_id).seal == fixture.service.evidence.machine.instance.seal_public

    run(story())


def test_the_journal_has_the_verdict_before_what_the_site_shows(
    fixture: FederationFixture, site: Site, run: Run
) -> None:
    async def story() -> None:
        run_id, evidence = await asked(fixture, **BOTH), site.started()
        await kept(fixture, evidence, run_id)

        assert site.records() == [AggregatorAppraised.__name__, EvidenceReleased.__name__]

    run(story())


def test_a_site_shows_nothing_to_an_aggregator_that_it_does_not_accept(
    fixture: FederationFixture, site: Site, run: Run
) -> None:
    async def story() -> None:
        fixture.reopen(evidence=options(replace(Tpm(), registers={**Tpm().registers, 11: b"\x07" * 32})))
        run_id, evidence = await asked(fixture, **BOTH), site.started()
        await kept(fixture, evidence, run_id)

        with pytest.raises(PolicyError, match="PCR 11 differs"):
            evidence.check(plan_of(fixture, run_id), run_id)
        assert site.records() == [AggregatorAppraised.__name__]

    run(story())


def test_tasks_wait_for_the_verdict_about_the_aggregator_alone_too(
    fixture: FederationFixture, site: Site, run: Run
) -> None:
    async def story() -> None:
        run_id, evidence = await asked(fixture, aggregator=True, sites=False), site.started()
        work = await heard(fixture, evidence)
        plan = plan_of(fixture, run_id)
        waiting = asyncio.create_task(evidence.stands(plan, run_id))
        await asyncio.sleep(0)
        assert work.runs[0].assignments
        assert not waiting.done()
        await kept(fixture, evidence, run_id)

        await waiting
        assert evidence.instance_in(plan) is None

    run(story())


def test_an_aggregator_that_says_nothing_of_evidence_is_not_believed(
    fixture: FederationFixture, site: Site, run: Run
) -> None:
    async def story() -> None:
        run_id, evidence = await asked(fixture, **BOTH), site.started()
        work = await fixture.upstream("a").next(NextRequest())
        silent = work.runs[0].model_copy(update={"evidence": None})
        evidence.post(work.model_copy(update={"runs": (silent,)}))

        with pytest.raises(PolicyError, match="waits for evidence"):
            evidence.check(plan_of(fixture, run_id), run_id)

    run(story())


def test_an_aggregator_that_starts_again_is_asked_again(
    fixture: FederationFixture, site: Site, run: Run
) -> None:
    async def story() -> None:
        run_id, evidence = await asked(fixture, **BOTH), site.started()
        plan = plan_of(fixture, run_id)
        await kept(fixture, evidence, run_id)
        fixture.options = replace(fixture.options, evidence=options())
        await fixture.restart()
        object.__setattr__(site.context, "upstream", fixture.upstream("a"))
        await heard(fixture, evidence)
        assert evidence.missing(plan, run_id) == "the aggregator has another instance now"
        await kept(fixture, evidence, run_id)

        evidence.check(plan, run_id)

    run(story())


def test_a_verdict_that_has_ended_stops_the_site(fixture: FederationFixture, site: Site, run: Run) -> None:
    async def story() -> None:
        run_id, evidence = await asked(fixture, **BOTH, valid_for=600), site.started()
        await kept(fixture, evidence, run_id)
        fixture.clock = lambda: now() + timedelta(seconds=601)

        with pytest.raises(PolicyError, match="has ended"):
            evidence.check(plan_of(fixture, run_id), run_id)

    run(story())


def test_evidence_is_renewed_before_the_verdict_ends(
    fixture: FederationFixture, site: Site, run: Run
) -> None:
    async def story() -> None:
        run_id, evidence = await asked(fixture, **BOTH, valid_for=600), site.started()
        await kept(fixture, evidence, run_id)
        fixture.clock = lambda: now() + timedelta(seconds=500)
        await kept(fixture, evidence, run_id)
        fixture.clock = lambda: now() + timedelta(seconds=1_000)

        evidence.check(plan_of(fixture, run_id), run_id)

    run(story())


def test_the_sites_own_policy_has_to_pass_too(fixture: FederationFixture, site: Site, run: Run) -> None:
    async def story() -> None:
        own = site.directory / "own.toml"
        own.write_text(whole_text(tpm=policy(Tpm(), machines=("1" * 64,))))
        site.settings = {"require": {"attested_aggregator": str(own)}}
        run_id, evidence = await asked(fixture, **BOTH), site.started()
        await kept(fixture, evidence, run_id)

        with pytest.raises(PolicyError, match="EK differs"):
            evidence.check(plan_of(fixture, run_id), run_id)
        assert site.records() == [AggregatorAppraised.__name__] * 2

    run(story())


def test_a_denied_machine_is_refused(fixture: FederationFixture, site: Site, run: Run) -> None:
    async def story() -> None:
        run_id, evidence = await asked(fixture, **BOTH), site.started()
        key = site.context.identity.signing_key
        entry = DenyEntry(kind="machine", value=Tpm().machine, reason="it was sold", added_ms=0)
        evidence._appraiser.deny.add([entry], lambda body: key.sign(DENY_LIST, body))
        await kept(fixture, evidence, run_id)

        with pytest.raises(PolicyError, match="it was sold"):
            evidence.check(plan_of(fixture, run_id), run_id)

    run(story())


def test_a_damaged_deny_list_refuses_all_evidence(fixture: FederationFixture, site: Site, run: Run) -> None:
    async def story() -> None:
        run_id, evidence = await asked(fixture, **BOTH), site.started()
        path = evidence._appraiser.deny.path
        path.parent.mkdir()
        path.write_bytes(b"{")
        await kept(fixture, evidence, run_id)

        with pytest.raises(PolicyError, match=r"deny list .* does not count"):
            evidence.check(plan_of(fixture, run_id), run_id)

    run(story())


def test_another_copy_of_the_site_stops_this_one(fixture: FederationFixture, site: Site, run: Run) -> None:
    async def story() -> None:
        run_id, evidence = await asked(fixture, **BOTH), site.started()
        plan = plan_of(fixture, run_id)
        await kept(fixture, evidence, run_id)
        copy = Site(fixture, site.directory.parent / "copy")
        copy.directory.mkdir()
        await kept(fixture, copy.started(), run_id)
        copy.made[0].close()
        await heard(fixture, evidence)

        assert "does not accept this site's instance" in evidence.missing(plan, run_id)

    run(story())


@pytest.mark.parametrize(
    ("settings", "section", "reason"),
    [
        ({"require": {"attested_aggregator": "/p.toml"}}, None, "requires evidence of the aggregator"),
        (
            {"require": {"attested_aggregator": "/p.toml"}},
            {"collaborators": POLICY},
            "the plan asks for none",
        ),
        ({}, {"collaborators": POLICY}, "has no device that makes evidence"),
        ({}, {"aggregator": POLICY, "rehearsal": True}, "does not permit that software plays devices"),
    ],
)
def test_a_plan_that_does_not_fit_the_settings_is_refused(
    settings: dict[str, Any], section: dict[str, Any] | None, reason: str
) -> None:
    told = {"name": "a", "federation": "north", "aggregator": "https://hub.example.org"}
    plan = Plan.model_validate(
        {
            "name": "demo",
            "code": ["heart.py", POLICY],
            "learner": "heart:learner",
            "rounds": 1,
            "tasks": TASKS,
            "attestation": section,
        }
    )

    assert reason in "; ".join(evidence_refusals(SiteSettings.model_validate(told | settings), plan))
