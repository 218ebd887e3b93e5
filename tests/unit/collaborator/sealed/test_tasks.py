"""Tasks of a sealed run, from the sealed model to the sealed update."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.policy_files import whole_text
from tests.sealed_runs import HUB, FakeInstance, an_owner, first_model, sealed
from tests.tpm.forge import Tpm, policy
from tests.unit.collaborator.aggregators import EVALUATE, LEARNER, MODEL, TRAIN, Site
from tests.unit.collaborator.test_tasks import UPDATE, FakeWorkers

from hanse.collaborator.context import SiteContext
from hanse.collaborator.receipts.keeper import ReceiptKeeper
from hanse.collaborator.review import Reviewer
from hanse.collaborator.site_journal import records_of
from hanse.collaborator.tasks import Tasks
from hanse.core.journal.site_history import SiteHistory
from hanse.core.plan.manifest import CodeFile, Manifest
from hanse.core.plan.plan import Plan
from hanse.core.values.canonical import sha256
from hanse.core.values.evidence.sealed_key import WrappedKey
from hanse.errors import RunError, TaskError, UpdateError
from hanse.sealing.file import SealedFile, open_sealed
from hanse.sealing.header import file_key, read_header
from hanse.sealing.keys import wrap_key
from hanse.sealing.run_files import AGGREGATOR_INSTANCE, SEALED_KEY, RunLabels
from hanse.wire.messages.evidence import Shown
from hanse.wire.messages.sites import Assignment, RunWork, TaskOutcome
from hanse.wire.tensors import decode, encode

Run = Callable[[Any], Any]
OWN, NEXT_HUB = FakeInstance(2), FakeInstance(4)
FIT = {"sandbox": "required", "sealed_memory": "1GB", "attestation": {"own": {"device": "tpm"}}}


class Evidence:
    """Evidence that both have shown and accepted; see `SiteEvidence`."""

    instance = OWN

    def __init__(self, site: SealedSite) -> None:
        self._site = site

    def aggregator(self, plan: Plan, run_id: str) -> Shown:
        hub = self._site.hub
        body = self._site.labels.instance_body(hub.seal_public, hub.speak_public)
        word = self._site.owner.sign(AGGREGATOR_INSTANCE, body).signature
        return Shown(seal=hub.seal_public, speak=hub.speak_public, owner=word)

    def instance_in(self, plan: Plan | None) -> str:
        return OWN.name

    def check(self, plan: Plan, run_id: str) -> None:
        pass

    async def stands(self, plan: Plan, run_id: str) -> None:
        pass


class SealedSite:
    """A site that has accepted a sealed plan, with the aggregator's part played by the test."""

    def __init__(self, site: Site, folder: Path, run: Run) -> None:
        self.site, self.folder, self._run = site, folder, run
        self.hub = HUB
        self.owner = an_owner(folder)
        self.first = first_model(encode(MODEL), folder / "first.sealed", self.owner)
        code = {
            "federation.py": LEARNER.encode(),
            "policy.toml": whole_text(tpm=policy(Tpm())).encode(),
            "owner.json": self.owner.public.to_bytes(),
        }
        for data in (*code.values(), (folder / "first.sealed").read_bytes()):
            site.upstream.add(data)
        manifest = self._manifest(code)
        self.labels = RunLabels("north", "demo-1", manifest.digest)
        self.work: RunWork = site.publish(manifest)
        run(Reviewer(self.context()).review(self.work))

    def _manifest(self, code: dict[str, bytes]) -> Manifest:
        plan = Plan.model_validate(
            {
                "name": "demo",
                "code": list(code),
                "learner": "federation:learner",
                "rounds": 5,
                "cohort": {"minimum": 3},
                "tasks": {"train": TRAIN, "evaluate": EVALUATE},
                "attestation": {"collaborators": "policy.toml"},
                "sealed": {"owner": "owner.json"},
                "initial_model": "first.sealed",
            }
        )
        files = tuple(CodeFile(path=p, sha256=sha256(data), size=len(data)) for p, data in code.items())
        first = CodeFile(path="first.sealed", sha256=self.first.digest, size=self.first.size)
        return Manifest(plan=plan, files=files, initial_model=first)

    def context(self, **settings: Any) -> SiteContext:
        return replace(self.site.context(**{**FIT, **settings}), memory=self.folder / "memory")

    def tasks(self, workers: FakeWorkers | None = None, context: SiteContext | None = None) -> Tasks:
        here = context or self.context()
        parts = Reviewer(here), workers or FakeWorkers(), ReceiptKeeper(here), Evidence(self)
        return Tasks(here, *parts)  # type: ignore[arg-type]

    def assignment(self, made: SealedFile | None = None, **told: Any) -> Assignment:
        file = made or self.first
        wrapped = wrap_key(file.key, OWN.seal.public, self.labels.key_info(OWN.name, file.digest))
        text = base64.b64encode(wrapped).decode()
        said = self.hub.say(SEALED_KEY, self.labels.key_body(OWN.name, file.digest, text))
        about = {"model": file.digest, "model_bytes": file.size, "max_update_bytes": file.size}
        key = WrappedKey(wrapped=text, said=said)
        return self.site.assignment(**{**about, "key": key, **told})

    def settled(self, asked: Assignment, workers: FakeWorkers | None = None, **settings: Any) -> TaskOutcome:
        self._run(self.tasks(workers, self.context(**settings)).run(self.work, asked))
        return self.site.upstream.outcomes[-1]

    def update(self, outcome: TaskOutcome, hub: FakeInstance = HUB) -> dict[str, Any]:
        """The update as the aggregator opens it."""
        assert outcome.update is not None
        path = self.folder / "came"
        path.write_bytes(self.site.upstream.delivered[outcome.update.digest])
        key = file_key(read_header(path), hub.seal)
        assert key is not None
        label = self.labels.update(outcome.exchange, outcome.site)
        open_sealed(path, self.folder / "opened", key, label)
        return dict(decode((self.folder / "opened").read_bytes()))


@pytest.fixture
def sealed_site(site: Site, tmp_path: Path, run: Run) -> SealedSite:
    folder = tmp_path / "sealed"
    folder.mkdir()
    return SealedSite(site, folder, run)


def on_disk(site: Site) -> bytes:
    return b"".join(path.read_bytes() for path in site.directory.rglob("*") if path.is_file())


def test_an_update_of_a_sealed_model_leaves_sealed(sealed_site: SealedSite) -> None:
    outcome = sealed_site.settled(sealed_site.assignment())

    assert outcome.outcome == "done", outcome.reason
    assert np.array_equal(sealed_site.update(outcome)["weight"], UPDATE["weight"])
    assert outcome.sealed_to == HUB.name


def test_the_sites_journal_names_the_tensors_and_the_digest_of_what_left(sealed_site: SealedSite) -> None:
    outcome = sealed_site.settled(sealed_site.assignment())
    sealed_site.site.opened[-1].close()
    (record, _) = list(records_of(sealed_site.site.directory, SiteHistory()))[-1]
    released = record.body["update"]

    assert outcome.update is not None
    assert released["digest"] == outcome.update.digest
    assert {each["name"] for each in released["tensors"]} == {"weight", "steps"}


def test_neither_model_nor_update_is_ever_on_the_sites_disk(sealed_site: SealedSite) -> None:
    canary = {"weight": np.full((2, 3), 0.123456, np.float32), "steps": np.array(3)}
    path = sealed_site.folder / "model"
    made = sealed(
        encode(canary), path, sealed_site.labels.of("model", "model"), sealed_site.owner.seal.public
    )
    sealed_site.site.upstream.add(path.read_bytes())
    sealed_site.site.upstream.blobs[made.digest] = path.read_bytes()
    outcome = sealed_site.settled(sealed_site.assignment(made), FakeWorkers(update=canary))

    assert outcome.outcome == "done", outcome.reason
    assert canary["weight"].tobytes() not in on_disk(sealed_site.site)


def test_a_failure_leaves_by_its_kind_alone(sealed_site: SealedSite) -> None:
    workers = FakeWorkers(TaskError("the weights are 0.25", log_tail="0.5"))
    outcome = sealed_site.settled(
        sealed_site.assignment(), workers, policy={"accept": ["demo"], "discloses": {"failures": "message"}}
    )

    assert outcome.outcome == "failed"
    assert (outcome.reason, outcome.log_tail) == (
        "task train failed (task); the site's own log says more",
        "",
    )


def test_a_site_without_a_memory_folder_performs_no_task(sealed_site: SealedSite) -> None:
    tasks = sealed_site.tasks(context=sealed_site.site.context(**FIT))
    sealed_site._run(tasks.run(sealed_site.work, sealed_site.assignment()))
    (outcome,) = sealed_site.site.upstream.outcomes

    assert (outcome.outcome, outcome.update) == ("failed", None)


def test_a_model_without_its_key_fails_the_task_and_not_the_agent(sealed_site: SealedSite) -> None:
    assert sealed_site.settled(sealed_site.assignment(key=None)).outcome == "failed"


def test_an_answer_to_an_instance_that_has_ended_is_made_again(sealed_site: SealedSite) -> None:
    upstream = sealed_site.site.upstream
    upstream.fail("result", RunError("sealed to another instance"))
    sealed_site.hub = HUB
    tasks = sealed_site.tasks()
    sealed_site._run(tasks.run(sealed_site.work, sealed_site.assignment()))
    assert upstream.outcomes == []

    sealed_site.hub = NEXT_HUB
    outcome = sealed_site.settled(sealed_site.assignment())

    assert (outcome.outcome, outcome.sealed_to) == ("done", NEXT_HUB.name)
    assert sealed_site.update(outcome, NEXT_HUB).keys() == UPDATE.keys()


def test_the_same_content_may_be_sealed_as_often_as_the_aggregator_starts(sealed_site: SealedSite) -> None:
    for number in range(10, 16):
        sealed_site.hub = FakeInstance(number)
        assert sealed_site.settled(sealed_site.assignment()).outcome == "done"


def test_other_content_is_refused_after_as_many_times_as_in_a_plain_run(sealed_site: SealedSite) -> None:
    said = []
    for number in range(10, 14):
        sealed_site.hub = FakeInstance(number)
        update = {**UPDATE, "steps": np.array(number)}
        said.append(sealed_site.settled(sealed_site.assignment(), FakeWorkers(update=update)).outcome)

    assert said == ["done", "done", "done", "failed"]


def test_a_refused_update_is_reported_as_failed(sealed_site: SealedSite) -> None:
    sealed_site.site.upstream.fail("result", UpdateError("it cannot be opened"))

    assert sealed_site.settled(sealed_site.assignment()).outcome == "failed"


def test_a_run_that_is_over_leaves_nothing_in_memory(sealed_site: SealedSite) -> None:
    tasks = sealed_site.tasks()
    sealed_site._run(tasks.run(sealed_site.work, sealed_site.assignment()))
    sealed_site._run(tasks.end_run("demo-1"))

    assert list((sealed_site.folder / "memory").rglob("*.safetensors")) == []
    assert not (sealed_site.site.directory / "runs" / "demo-1").exists()


@pytest.mark.parametrize(
    "settings",
    [
        {"sealed_memory": None},
        {"sandbox": "preferred"},
        {"worker": {"network": True}},
        {"policy": {"accept": ["demo"], "discloses": {"failures": "log"}}},
    ],
)
def test_settings_that_would_let_the_model_out_refuse_a_sealed_plan_at_review(
    sealed_site: SealedSite, settings: dict[str, Any]
) -> None:
    context = sealed_site.context(**settings)
    sealed_site._run(Reviewer(context).review(sealed_site.work))
    answer = sealed_site.site.upstream.answers[-1]

    assert not answer.accepted
    assert answer.reasons[0].startswith("the plan's model is sealed, which needs `")
