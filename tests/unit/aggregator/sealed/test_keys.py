"""Keys of a sealed run go to one instance of each site, and to no other."""

import base64
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.attested import POLICY, HandSite, options
from tests.blobs import put
from tests.federations import MODEL, TASKS, FederationFixture
from tests.parties import Run, signing_key
from tests.policy_files import whole_text
from tests.sealed_runs import HUB, an_owner, first_model, sealed
from tests.tpm.forge import Tpm, policy

from hanse.aggregator.sealed.release_policy import ReleasePolicyFile
from hanse.aggregator.sealed.runs import Sealing
from hanse.attestation.instance import Instance, check_said
from hanse.core.plan.manifest import CodeFile, Manifest
from hanse.core.plan.plan import Plan
from hanse.core.run.evidence.commands import AdmitInstance
from hanse.core.run.evidence.events import AnswersLost, InstanceStarted, KeysReleased
from hanse.core.values.canonical import sha256
from hanse.core.values.evidence.claims import instance_name
from hanse.core.values.statements import SignedStatement
from hanse.errors import PlanError, RunError, UpdateError
from hanse.sealing.file import seal_signed
from hanse.sealing.header import Label
from hanse.sealing.run_files import AGGREGATOR_INSTANCE, SEALED_KEY, RunLabels
from hanse.wire.messages.evidence import OUTCOME_SAID
from hanse.wire.messages.runs import AdmitRequest, SubmitRequest
from hanse.wire.messages.sites import TASK_RESULT, NextRequest, ResultRequest, RunWork, UpdateFile
from hanse.wire.tensors import encode


class SealedFederation:
    """A federation whose aggregator has an owner's keys, and a plan that is a rehearsal."""

    def __init__(self, fixture: FederationFixture, folder: Path) -> None:
        self.fixture, self.folder = fixture, folder
        self.owner = an_owner(folder)
        self.release = folder / "release.toml"
        self.begin()
        self.manifest = self._manifest()
        self.permit()

    def begin(self) -> None:
        """Open the service with another instance."""
        instance = Instance.start(np.random.default_rng().bytes)
        sealing = Sealing(
            owner=self.owner,
            instance=instance,
            memory=self.folder,
            release=ReleasePolicyFile(self.release),
            rehearsal=True,
        )
        evidence = replace(options(), rehearsal=True, instance=instance)
        self.fixture.reopen(evidence=evidence, sealing=sealing)
        self.instance = instance

    def permit(self, *sites: str, plan: str = "") -> None:
        listed = "".join(
            f'[[sites]]\nname = "{name}"\nkey = "{signing_key(self.fixture.credentials[name]).fingerprint}"\n'
            for name in (sites or "abc")
        )
        digest = plan or self.manifest.digest
        self.release.write_text(f'format = "hanse-release-1"\nplans = ["{digest}"]\n{listed}')

    def _manifest(self) -> Manifest:
        code = {
            "heart.py": b"",
            POLICY: whole_text(tpm=policy(Tpm())).encode(),
            "owner.json": self.owner.public.to_bytes(),
        }
        path = self.folder / "first.sealed"
        plain = self.folder / "plain"
        plain.write_bytes(encode(MODEL))

        label = Label(purpose="initial", federation="north", name="pretrained", rehearsal=True)
        made = seal_signed(plain, path, label, self.owner, "sha256", randomness=secrets.token_bytes)
        plain.unlink()
        self.files = [*code.values(), path.read_bytes()]
        plan = {
            "name": "demo",
            "code": list(code),
            "learner": "heart:learner",
            "rounds": 2,
            "tasks": TASKS,
            "attestation": {"collaborators": POLICY, "rehearsal": True},
            "sealed": {"owner": "owner.json"},
            "initial_model": "first.sealed",
        }
        files = tuple(CodeFile(path=name, sha256=sha256(data), size=len(data)) for name, data in code.items())
        first = CodeFile(path="first.sealed", sha256=made.digest, size=made.size)
        return Manifest(plan=Plan.model_validate(plan), files=files, initial_model=first)

    async def submit(self) -> str:
        for data in self.files:
            put(self.fixture.blobs, data)
        digest = put(self.fixture.blobs, self.manifest.to_bytes())
        request = SubmitRequest(plan_digest=digest)
        return (await self.fixture.service.run_requests.submit(self.fixture.operator, request)).run_id

    async def asked(self) -> str:
        await self.fixture.service.start()
        run_id = await self.submit()
        await self.fixture.accepted(run_id)
        await self.fixture.ask(run_id)
        return run_id

    async def exchanged(self, run_id: str, name: str = "a") -> HandSite:
        """A site whose instance was accepted."""
        site = HandSite(self.fixture, run_id, name)
        reply = await site.begun()
        await site.step(**await site.shown(reply, rehearsal=True))
        return site

    async def work(self, name: str = "a") -> RunWork:
        """The work of a site, once what its first look began is recorded."""
        await self.fixture.upstream(name).next(NextRequest())
        await self.fixture.service.keys.settled()
        return (await self.fixture.upstream(name).next(NextRequest())).runs[0]

    def labels(self, run_id: str) -> RunLabels:
        return RunLabels("north", run_id, self.manifest.digest, rehearsal=True)


@pytest.fixture
def federation(fixture: FederationFixture, tmp_path: Path) -> SealedFederation:
    folder = tmp_path / "memory"
    folder.mkdir()
    return SealedFederation(fixture, folder)


def test_an_accepted_instance_gets_the_key_of_its_model(federation: SealedFederation, run: Run) -> None:
    async def story() -> None:
        run_id = await federation.asked()
        site = await federation.exchanged(run_id)
        (asked,) = (await federation.work()).assignments
        instance, labels = site.machine.instance, federation.labels(run_id)

        assert asked.key is not None
        assert asked.model is not None
        body = labels.key_body(instance.name, asked.model.digest, asked.key.wrapped)
        check_said(federation.instance.speak_public, SEALED_KEY, body, asked.key.said)
        info = labels.key_info(instance.name, asked.model.digest)
        assert len(instance.seal.unwrap(base64.b64decode(asked.key.wrapped), info)) == 32

    run(story())


def test_its_name_is_in_the_journal_before_the_key_leaves(federation: SealedFederation, run: Run) -> None:
    async def story() -> None:
        run_id = await federation.asked()
        site = await federation.exchanged(run_id)
        first = (await federation.fixture.upstream("a").next(NextRequest())).runs[0]
        assert first.assignments == ()

        await federation.work()
        (released,) = [e for e in federation.fixture.events(run_id) if isinstance(e, KeysReleased)]
        assert (released.site, released.instance) == ("a", site.machine.instance.name)

    run(story())


def test_the_list_of_work_does_not_change_by_itself(federation: SealedFederation, run: Run) -> None:
    async def story() -> None:
        await federation.exchanged(await federation.asked())
        upstream = federation.fixture.upstream("a")
        await federation.work()

        assert (await upstream.next(NextRequest())).version == (await upstream.next(NextRequest())).version

    run(story())


def test_a_site_that_the_owner_does_not_list_gets_none(federation: SealedFederation, run: Run) -> None:
    async def story() -> None:
        federation.permit("b", "c")
        await federation.exchanged(await federation.asked())
        found = await federation.work()

        assert found.assignments == ()
        assert found.evidence is not None
        assert found.evidence.reason == "the owner's release policy does not list the site a"

    run(story())


def test_a_policy_that_is_withdrawn_counts_at_the_next_look(federation: SealedFederation, run: Run) -> None:
    async def story() -> None:
        await federation.exchanged(await federation.asked())
        assert (await federation.work()).assignments
        federation.permit(plan="cd" * 32)

        assert (await federation.work()).assignments == ()

    run(story())


def test_a_second_instance_gets_none_until_a_person_admits_it(federation: SealedFederation, run: Run) -> None:
    async def story() -> None:
        run_id = await federation.asked()
        await federation.exchanged(run_id)
        await federation.work()
        second = await federation.exchanged(run_id)
        refused = await federation.work()

        assert refused.assignments == ()
        assert refused.evidence is not None
        assert f"hanse run admit {run_id} a --reason WHY" in refused.evidence.reason

        requests, operator = federation.fixture.service.run_requests, federation.fixture.operator
        await requests.admit(operator, run_id, "a", AdmitRequest(reason="power cut"))
        assert (await federation.work()).assignments
        assert federation.fixture.run(run_id).released["a"] == second.machine.instance.name

    run(story())


def test_the_owner_vouches_for_the_instance_in_the_journal(federation: SealedFederation, run: Run) -> None:
    async def story() -> None:
        run_id = await federation.asked()
        (started,) = [e for e in federation.fixture.events(run_id) if isinstance(e, InstanceStarted)]
        body = federation.labels(run_id).instance_body(started.seal, started.speak)
        statement = SignedStatement(body=body, key=federation.owner.public.sign, signature=started.owner)

        federation.owner.public.verify(statement, AGGREGATOR_INSTANCE)

    run(story())


class TestUpdates:
    async def hand_in(
        self,
        federation: SealedFederation,
        site: HandSite,
        to: Any = None,
        label: str = "a",
        value: float = 2.0,
    ) -> None:
        to = to or federation.instance
        path = federation.folder / "update"
        data = encode({"w": np.full(3, 2.0, np.float32)})
        made = sealed(data, path, federation.labels(site.run_id).update(1, label), to.seal.public)
        fixture = federation.fixture
        assert fixture.bring("a", path.read_bytes()) == UpdateFile(digest=made.digest, size=made.size)
        outcome = fixture.outcome(
            site.run_id,
            "a",
            update=UpdateFile(digest=made.digest, size=made.size),
            instance=site.machine.instance.name,
            sealed_to=instance_name(to.seal_public, to.speak_public),
        )
        statement = signing_key(fixture.credentials["a"]).sign(TASK_RESULT, outcome.model_dump(mode="json"))
        spoken = site.machine.instance.say(OUTCOME_SAID, statement.body)
        await fixture.service.site_requests.result(
            fixture.peer("a"), ResultRequest(statement=statement, spoken=spoken)
        )

    def test_an_update_to_the_instance_counts(self, federation: SealedFederation, run: Run) -> None:
        async def story() -> None:
            run_id = await federation.asked()
            site = await federation.exchanged(run_id)
            await federation.work()
            await self.hand_in(federation, site)

            assert federation.fixture.run(run_id).exchanges[1].answered == ("a",)

        run(story())

    def test_one_to_another_instance_is_discarded_and_is_no_failure(
        self, federation: SealedFederation, run: Run
    ) -> None:
        async def story() -> None:
            run_id = await federation.asked()
            site = await federation.exchanged(run_id)
            await federation.work()
            with pytest.raises(RunError, match="is sealed to the instance"):
                await self.hand_in(federation, site, HUB)

            assert federation.fixture.run(run_id).exchanges[1].failed == ()

        run(story())

    def test_one_of_another_site_is_refused(self, federation: SealedFederation, run: Run) -> None:
        async def story() -> None:
            run_id = await federation.asked()
            site = await federation.exchanged(run_id)
            await federation.work()
            with pytest.raises(UpdateError, match="its name should be 'exchange 1, a'"):
                await self.hand_in(federation, site, label="b")

        run(story())

    def test_a_restarted_aggregator_asks_again_under_the_same_number_and_counts_once(
        self, federation: SealedFederation, run: Run
    ) -> None:
        async def story() -> None:
            fixture = federation.fixture
            run_id = await federation.asked()
            site = await federation.exchanged(run_id)
            await federation.work()
            await self.hand_in(federation, site)
            await fixture.close()
            federation.begin()
            await fixture.service.start()
            assert any(isinstance(event, AnswersLost) for event in fixture.events(run_id))
            assert fixture.run(run_id).accepted.get("a", 0) == 0

            await fixture.ask(run_id)
            again = await federation.exchanged(run_id)
            await fixture.controller(run_id).execute(AdmitInstance("a", "operator", "a test"))
            (asked,) = (await federation.work()).assignments
            assert asked.exchange == 1
            await self.hand_in(federation, again)

            assert fixture.run(run_id).exchanges[1].answered == ("a",)
            assert fixture.run(run_id).last_exchange == 1

        run(story())


class TestSubmission:
    def test_a_plan_that_the_owner_does_not_list_is_refused(
        self, federation: SealedFederation, run: Run
    ) -> None:
        async def story() -> None:
            await federation.fixture.service.start()
            federation.permit(plan="cd" * 32)
            with pytest.raises(PlanError, match="release policy does not list plan"):
                await federation.submit()

        run(story())

    def test_an_aggregator_without_an_owner_refuses_sealed_plans(
        self, federation: SealedFederation, run: Run
    ) -> None:
        async def story() -> None:
            federation.fixture.reopen(sealing=None)
            await federation.fixture.service.start()
            with pytest.raises(PlanError, match="has no keys of an owner"):
                await federation.submit()

        run(story())

    def test_a_first_model_of_another_owner_is_refused(
        self, federation: SealedFederation, run: Run, tmp_path: Path
    ) -> None:
        async def story() -> None:
            await federation.fixture.service.start()
            path = tmp_path / "planted"
            made = first_model(encode(MODEL), path, an_owner(tmp_path, "mallory"))
            federation.files.append(path.read_bytes())
            first = CodeFile(path="first.sealed", sha256=made.digest, size=made.size)
            federation.manifest = federation.manifest.model_copy(update={"initial_model": first})
            federation.permit()
            with pytest.raises(PlanError, match=r"its rehearsal should be|is not sealed to"):
                await federation.submit()

        run(story())
