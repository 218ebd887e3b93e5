"""A site takes part once its instance is accepted, and evidence counts for what it was asked for alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.attested import POLICY, HandSite, asking, options
from tests.federations import FederationFixture, now
from tests.parties import Run
from tests.policy_files import whole_text
from tests.tpm.forge import Tpm, policy

from hanse.attestation.instance import check_said
from hanse.core.run.evidence.events import InstanceStarted, SiteAppraised
from hanse.core.run.round_events import UpdateAccepted
from hanse.errors import ConfigError, EvidenceError, HanseError, PolicyError, RunError, TrustError
from hanse.wire.messages.evidence import OUTCOME_SAID
from hanse.wire.messages.sites import NextRequest, RunWork


async def work(fixture: FederationFixture, site: str = "a") -> RunWork:
    found = await fixture.upstream(site).next(NextRequest())
    return found.runs[0]


async def begun(fixture: FederationFixture, **plan: Any) -> HandSite:
    await fixture.service.start()
    return HandSite(fixture, await fixture.asked(**(asking() | plan)))


def test_a_site_is_asked_tasks_once_its_instance_is_accepted(fixture: FederationFixture, run: Run) -> None:
    async def story() -> None:
        site = await begun(fixture)
        before = await work(fixture)
        reply = await site.accepted()
        after = await work(fixture)

        assert before.assignments == ()
        assert before.evidence is not None
        assert not before.evidence.accepted
        assert reply.evidence.accepted
        assert reply.evidence.instance == site.machine.instance.name
        assert [asked.task for asked in after.assignments] == ["train"]

    run(story())


def test_the_journal_has_the_instance_of_the_aggregator_and_each_verdict(
    fixture: FederationFixture, run: Run
) -> None:
    async def story() -> None:
        site = await begun(fixture)
        await site.accepted()
        events = fixture.events(site.run_id)

        (started,) = [event for event in events if isinstance(event, InstanceStarted)]
        (appraised,) = [event for event in events if isinstance(event, SiteAppraised)]
        assert started.instance == fixture.service.evidence.machine.instance.name
        assert appraised.claims.instance == site.machine.instance.name
        assert appraised.verdict.accepted

    run(story())


def test_the_evidence_lies_beside_the_journal_under_its_digest(fixture: FederationFixture, run: Run) -> None:
    async def story() -> None:
        site = await begun(fixture)
        await site.accepted()

        (appraised,) = [e for e in fixture.events(site.run_id) if isinstance(e, SiteAppraised)]
        folder = fixture.directory / "attestation" / "evidence"
        assert [path.stem for path in folder.iterdir()] == [appraised.verdict.evidence]

    run(story())


def test_a_site_without_an_accepted_instance_may_not_have_the_model(
    fixture: FederationFixture, run: Run
) -> None:
    async def story() -> None:
        site = await begun(fixture)
        model = fixture.run(site.run_id).manifest.initial_model
        assert model is not None
        peer, blobs = fixture.peer("a"), fixture.service.blob_requests
        with pytest.raises(PolicyError, match="is not for"):
            blobs.blob_to_send(peer, model.sha256)
        blobs.blob_to_send(peer, fixture.run(site.run_id).plan_digest)
        await site.accepted()

        assert blobs.blob_to_send(peer, model.sha256).is_file()

    run(story())


def test_a_machine_that_the_policy_does_not_accept_is_named_by_its_component(
    fixture: FederationFixture, run: Run
) -> None:
    async def story() -> None:
        site = await begun(fixture)
        other = HandSite(fixture, site.run_id, registers={**Tpm().registers, 11: b"\x07" * 32})
        reply = await other.accepted()
        found = await work(fixture)

        assert not reply.evidence.accepted
        assert reply.evidence.reason.startswith("PCR 11 differs: expected")
        assert found.evidence == reply.evidence
        assert found.assignments == ()

    run(story())


@pytest.mark.parametrize(
    "claim",
    [
        {"purpose": "release"},
        {"verifier": "1" * 64},
        {"nonce": "1" * 64},
        {"federation": "south"},
        {"role": "aggregator"},
        {"name": "b"},
        {"signer": "1" * 64},
        {"run": "demo-9"},
        {"plan": "1" * 64},
        {"roster": "1" * 64},
        {"policy": "1" * 64},
        {"rehearsal": True},
    ],
    ids=lambda claim: next(iter(claim)),
)
def test_evidence_for_anything_else_does_not_count(
    fixture: FederationFixture, run: Run, claim: dict[str, Any]
) -> None:
    async def story() -> None:
        site = await begun(fixture)
        reply = await site.begun()
        answer = await site.step(**await site.shown(reply, **claim))

        assert not answer.evidence.accepted
        assert "qualifying data" in answer.evidence.reason

    run(story())


def test_a_nonce_counts_once(fixture: FederationFixture, run: Run) -> None:
    async def story() -> None:
        site = await begun(fixture)
        shown = await site.shown(await site.begun())
        await site.step(**shown)
        with pytest.raises(EvidenceError, match="presented before"):
            await site.step(**shown)

    run(story())


def test_a_nonce_is_gone_after_a_wrong_presentation(fixture: FederationFixture, run: Run) -> None:
    async def story() -> None:
        site = await begun(fixture)
        shown = dict(await site.shown(await site.begun()))
        with pytest.raises(TrustError, match="not signed what it shows"):
            await site.step(**shown | {"signed": None})
        with pytest.raises(EvidenceError, match="presented before"):
            await site.step(**shown)

    run(story())


def test_a_nonce_of_another_site_does_not_count(fixture: FederationFixture, run: Run) -> None:
    async def story() -> None:
        site = await begun(fixture)
        reply = await HandSite(fixture, site.run_id, "b").begun()
        with pytest.raises(EvidenceError, match="not given to a"):
            await site.step(**await site.shown(reply))

    run(story())


def test_an_old_nonce_does_not_count(fixture: FederationFixture, run: Run) -> None:
    async def story() -> None:
        site = await begun(fixture)
        shown = await site.shown(await site.begun())
        fixture.clock = lambda: now() + timedelta(seconds=121)
        with pytest.raises(EvidenceError, match="older than 120 s"):
            await site.step(**shown)

    run(story())


def test_evidence_that_another_party_signed_does_not_count(fixture: FederationFixture, run: Run) -> None:
    async def story() -> None:
        site = await begun(fixture)
        reply = await site.begun()
        shown = dict(await site.shown(reply))
        other = HandSite(fixture, site.run_id, "b").introduced(reply, shown["shown"])
        with pytest.raises(TrustError, match="signed with key"):
            await site.step(**shown | {"signed": other})

    run(story())


def test_a_key_that_no_tpm_holds_is_refused(fixture: FederationFixture, run: Run) -> None:
    async def story() -> None:
        site = await begun(fixture)
        reply = await site.begun()
        shown = dict(await site.shown(reply))
        forged = shown["shown"].model_copy(update={"activation": "AAAA"})
        answer = await site.step(**shown | {"shown": forged, "signed": site.introduced(reply, forged)})

        assert not answer.evidence.accepted
        assert "not the secret" in answer.evidence.reason

    run(story())


def test_a_verdict_ends(fixture: FederationFixture, run: Run) -> None:
    async def story() -> None:
        site = await begun(fixture, **asking(valid_for=60))
        await site.accepted()
        fixture.clock = lambda: now() + timedelta(seconds=61)
        found = await work(fixture)

        assert found.assignments == ()
        assert found.evidence is not None
        assert "has ended" in found.evidence.reason

    run(story())


def test_another_start_of_the_aggregator_knows_no_verdict(fixture: FederationFixture, run: Run) -> None:
    async def story() -> None:
        site = await begun(fixture)
        reply = await site.accepted()
        await fixture.restart()
        found = await work(fixture)

        assert found.evidence is not None
        assert not found.evidence.accepted
        assert found.evidence.aggregator != reply.evidence.aggregator
        assert (await site.accepted()).evidence.accepted

    run(story())


def test_evidence_that_is_refused_again_and_again_is_not_looked_at(
    fixture: FederationFixture, run: Run
) -> None:
    async def story() -> None:
        site = await begun(fixture)
        for _ in range(12):
            with pytest.raises(EvidenceError):
                await site.step(**(await site.shown(await site.begun()) | {"answered": "0" * 64}))
        with pytest.raises(RunError, match="12 appraisals of a were refused"):
            await site.begun()

    run(story())


def test_an_outcome_has_to_be_signed_by_the_accepted_instance(fixture: FederationFixture, run: Run) -> None:
    async def story() -> None:
        site = await begun(fixture)
        await site.accepted()
        with pytest.raises(RunError, match="the instance that was accepted is"):
            await fixture.answered(site.run_id, "a")
        with pytest.raises(TrustError, match="has not signed its outcome"):
            await fixture.answered(site.run_id, "a", instance=site.machine.instance.name)

    run(story())


def test_an_outcome_of_the_accepted_instance_counts(fixture: FederationFixture, run: Run) -> None:
    async def story() -> None:
        site = await begun(fixture)
        await site.accepted()
        instance = site.machine.instance
        reply = await fixture.answered(
            site.run_id, "a", instance=instance.name, say=lambda body: instance.say(OUTCOME_SAID, body)
        )

        assert not reply.duplicate
        (kept,) = [event for event in fixture.events(site.run_id) if isinstance(event, UpdateAccepted)]
        assert kept.statement is not None
        assert kept.spoken is not None
        check_said(instance.speak_public, OUTCOME_SAID, kept.statement.body, kept.spoken)

    run(story())


def test_an_outcome_that_another_instance_said_is_refused(fixture: FederationFixture, run: Run) -> None:
    async def story() -> None:
        site = await begun(fixture)
        await site.accepted()
        other = HandSite(fixture, site.run_id).machine.instance
        with pytest.raises(TrustError, match="did not say it"):
            await fixture.answered(
                site.run_id,
                "a",
                instance=site.machine.instance.name,
                say=lambda body: other.say(OUTCOME_SAID, body),
            )

    run(story())


def test_the_aggregator_shows_its_evidence_for_the_nonce_of_the_site(
    fixture: FederationFixture, run: Run
) -> None:
    async def story() -> None:
        fixture.reopen(evidence=options())
        site = await begun(fixture, **asking(aggregator=True))
        keys = (await site.step()).device
        reply = await site.begun()

        assert keys is not None
        assert reply.shown is not None
        assert reply.shown.evidence
        assert reply.certified is not None
        assert reply.certified.body["nonce"] == "5" * 64

    run(story())


def test_a_plan_that_asks_for_a_device_that_the_aggregator_lacks_is_refused(
    fixture: FederationFixture, run: Run
) -> None:
    async def story() -> None:
        await fixture.service.start()
        with pytest.raises(ConfigError, match=r"aggregator\.yaml names no device"):
            await fixture.submit(**asking(aggregator=True))

    run(story())


def test_a_plan_for_a_rehearsal_needs_the_aggregators_own_permission(
    fixture: FederationFixture, run: Run
) -> None:
    async def story() -> None:
        await fixture.service.start()
        with pytest.raises(ConfigError, match="does not permit software to play devices"):
            await fixture.submit(**asking(rehearsal=True))

    run(story())


def test_a_policy_for_rehearsals_is_refused_in_another_plan(fixture: FederationFixture, run: Run) -> None:
    async def story() -> None:
        await fixture.service.start()
        text = whole_text(tpm=policy(Tpm(), rehearsal=True)).encode()
        with pytest.raises(ConfigError, match="does not say `rehearsal: true`"):
            await fixture.submit(**asking() | {"others": {POLICY: text}})

    run(story())


def test_a_plan_whose_policy_is_malformed_is_refused(fixture: FederationFixture, run: Run) -> None:
    async def story() -> None:
        await fixture.service.start()
        with pytest.raises(ConfigError, match=r"machines\.toml"):
            await fixture.submit(**asking() | {"others": {POLICY: b"format = 3"}})

    run(story())


def test_a_run_without_attestation_exchanges_no_evidence(fixture: FederationFixture, run: Run) -> None:
    async def story() -> None:
        await fixture.service.start()
        run_id = await fixture.asked()
        with pytest.raises(HanseError, match="asks for no evidence"):
            await HandSite(fixture, run_id).step()
        assert (await work(fixture)).evidence is None

    run(story())
