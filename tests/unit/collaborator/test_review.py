from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.parties import NOW, enrolled, signing_key
from tests.unit.collaborator.aggregators import TRAIN, Site, manifest_of
from tests.unit.core.plan.privacy.secure_plans import secure_plan

from hanse.collaborator.plan_store import PlanStore
from hanse.collaborator.review import Reviewer, decide_plan, is_whole, judge
from hanse.collaborator.site_journal import records_of
from hanse.config.settings import settings_yaml
from hanse.core.journal.site_history import SiteHistory
from hanse.core.journal.site_records import PlanAnswerReleased
from hanse.core.plan.manifest import CodeFile, Manifest
from hanse.core.plan.policy import Verdict
from hanse.core.values.canonical import sha256
from hanse.errors import ConfigError, PolicyError, RunError, StorageError, TransportError
from hanse.pki.authority import Authority
from hanse.wire.messages.sites import AnswerRequest, RunWork

Run = Callable[[Any], Any]

ASK = {"policy": {}}
FIRST = CodeFile(path="first.safetensors", sha256="1" * 64, size=1)
SECURE = {
    "learner": "federation:learner",
    "code": ("federation.py",),
    "name": "demo",
    "workflow": "fedavg",
    "initial_model": FIRST.path,
    "cells": {"all": ["hospital-a", "b", "c", "d"]},
}
CHECKED = {name: sha256(name.encode()) for name in ("b", "c")}
INDIVIDUAL = {"train": {"discloses": {"update": "individual"}}}


def reviewed(site: Site, run: Run, work: RunWork, **settings: Any) -> None:
    run(Reviewer(site.context(**settings)).review(work))


def decided(site: Site, digest: str, *, approve: bool, **settings: Any) -> tuple[AnswerRequest, ...]:
    """What `hanse plan approve` or `reject` does."""
    text = settings_yaml(site.context(**settings).settings)
    (site.directory / "site.yaml").write_text(text, encoding="utf-8")
    answer, runs = decide_plan(site.directory, digest[:8], approve=approve, reason="as agreed", now=NOW)
    return tuple(AnswerRequest(run_id=run_id, statement=answer.statement) for run_id in runs)


def test_a_plan_that_a_rule_accepts_is_accepted_at_once(site: Site, run: Run) -> None:
    work = site.publish(manifest_of())

    reviewed(site, run, work)

    (answer,) = site.upstream.answers
    assert answer.accepted
    assert answer.plan_digest == work.plan_digest
    assert answer.reasons == ("its name matches the rule 'demo'",)
    assert is_whole(site.context().plans.bundle(work.plan_digest), manifest_of())


def test_a_plan_that_discloses_too_much_is_refused_without_its_code(site: Site, run: Run) -> None:
    work = site.publish(manifest_of(tasks=INDIVIDUAL))

    reviewed(site, run, work)

    (answer,) = site.upstream.answers
    assert not answer.accepted
    assert "task train discloses update: individual; this site permits aggregate" in answer.reasons
    assert site.upstream.fetched == [work.plan_digest]


def test_a_plan_that_needs_data_that_is_gone_is_refused_without_a_word_of_where(
    site: Site, run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    work = site.publish(manifest_of(data=("xrays",)))

    reviewed(site, run, work, data={"xrays": str(tmp_path / "gone")})

    (answer,) = site.upstream.answers
    assert answer.reasons == (
        "the plan needs the data source 'xrays', and nothing is at its path in site.yaml",
    )
    assert f"{tmp_path}/gone" in caplog.text


def test_what_is_no_plan_is_refused_with_the_reason(site: Site, run: Run) -> None:
    work = site.publish(manifest_of())
    digest = site.upstream.add(b'{"format":"hanse-plan/9"}')

    reviewed(site, run, work.model_copy(update={"plan_digest": digest}))

    (answer,) = site.upstream.answers
    assert not answer.accepted
    assert "does not understand" in answer.reasons[0]


def test_a_plan_that_no_rule_decides_waits_for_a_person(
    site: Site, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    work = site.publish(manifest_of())

    reviewed(site, run, work, **ASK)

    assert site.upstream.answers == []
    assert PlanStore(site.directory / "plans").pending() == (work.plan_digest,)
    assert f"`hanse plan approve {work.plan_digest[:12]}`" in caplog.text


def test_a_persons_word_is_given_to_each_run_that_waits_for_it(site: Site, run: Run) -> None:
    work = site.publish(manifest_of())
    reviewed(site, run, work, **ASK)
    site.context().plans.note_runs({"demo-1": work.plan_digest, "demo-2": work.plan_digest}, {"demo-2": 5})

    requests = decided(site, work.plan_digest, approve=True, **ASK)

    assert [request.run_id for request in requests] == ["demo-1", "demo-2"]
    run(site.upstream.answer(requests[0]))
    assert site.upstream.answers[0].reasons == ("a person approved it: as agreed",)


def test_a_persons_word_holds_for_later_runs_of_the_plan(site: Site, run: Run) -> None:
    work = site.publish(manifest_of())
    reviewed(site, run, work, **ASK)
    decided(site, work.plan_digest, approve=True, **ASK)

    reviewed(site, run, work.model_copy(update={"run_id": "demo-2"}), **ASK)

    assert [answer.accepted for answer in site.upstream.answers] == [True]


def test_a_person_can_refuse_what_a_rule_would_accept(site: Site, run: Run) -> None:
    work = site.publish(manifest_of())
    reviewed(site, run, work)
    decided(site, work.plan_digest, approve=False)

    reviewed(site, run, work)

    assert [answer.accepted for answer in site.upstream.answers] == [True, False]


def test_a_rules_word_ends_with_the_rule(site: Site, run: Run) -> None:
    work = site.publish(manifest_of())
    reviewed(site, run, work)

    reviewed(site, run, work, **ASK)

    assert len(site.upstream.answers) == 1
    assert PlanStore(site.directory / "plans").pending() == (work.plan_digest,)


def test_a_persons_consent_does_not_outlast_a_stricter_policy(site: Site, run: Run) -> None:
    work = site.publish(manifest_of())
    reviewed(site, run, work, **ASK)
    decided(site, work.plan_digest, approve=True, **ASK)

    reviewed(site, run, work, policy={"discloses": {"update": "none"}})

    assert [answer.accepted for answer in site.upstream.answers] == [False]


def test_nobody_can_approve_what_the_policy_excludes(site: Site, run: Run) -> None:
    work = site.publish(manifest_of(tasks=INDIVIDUAL))
    reviewed(site, run, work)

    with pytest.raises(PolicyError, match=r"does not permit plan .* individual.*Change the policy"):
        decided(site, work.plan_digest, approve=True)


def test_a_plan_that_was_never_seen_cannot_be_decided_on(site: Site) -> None:
    with pytest.raises(ConfigError, match="0 plans"):
        decided(site, "0" * 64, approve=True)


def test_an_answer_of_another_site_on_disk_does_not_count(
    site: Site, run: Run, authority: Authority, tmp_path: Path
) -> None:
    work = site.publish(manifest_of())
    reviewed(site, run, work, **ASK)
    (site.directory / "pki").rename(tmp_path / "own")
    enrolled(authority, tmp_path, "hospital-b").directory.rename(site.directory / "pki")
    decided(site, work.plan_digest, approve=True, **ASK)
    (site.directory / "pki").rename(tmp_path / "other")
    (tmp_path / "own").rename(site.directory / "pki")

    with pytest.raises(PolicyError, match="has not accepted"):
        run(Reviewer(site.context(**ASK)).agreed(work))


def test_a_plan_that_was_accepted_is_agreed_on(site: Site, run: Run) -> None:
    work = site.publish(manifest_of())
    reviewed(site, run, work)

    assert run(Reviewer(site.context()).agreed(work)) == manifest_of()


def test_nothing_is_agreed_on_before_it_was_accepted(site: Site, run: Run) -> None:
    with pytest.raises(PolicyError, match=r"has not accepted plan .*`hanse plan show"):
        run(Reviewer(site.context()).agreed(site.publish(manifest_of())))


def test_an_agreed_plan_must_still_be_permitted(site: Site, run: Run) -> None:
    work = site.publish(manifest_of())
    reviewed(site, run, work)

    with pytest.raises(PolicyError, match="does not permit the plan"):
        run(Reviewer(site.context(policy={"max_rounds": 1})).agreed(work))


@pytest.mark.parametrize("file", ["federation.py", "numpy.py"])
def test_code_that_was_altered_is_brought_again(site: Site, run: Run, file: str) -> None:
    manifest = manifest_of()
    work = site.publish(manifest)
    reviewed(site, run, work)
    bundle = site.context().plans.bundle(work.plan_digest)
    (bundle / file).unlink(missing_ok=True)
    (bundle / file).write_text("steal()")
    assert not is_whole(bundle, manifest)

    run(Reviewer(site.context()).bring_code(manifest))

    assert is_whole(bundle, manifest)


def test_code_of_which_not_all_can_be_had_is_not_kept(site: Site, run: Run) -> None:
    one = manifest_of()
    plan = one.plan.model_copy(update={"code": ("federation.py", "more.py")})
    missing = CodeFile(path="more.py", sha256="f" * 64, size=1)
    work = site.publish(Manifest(plan=plan, files=(*one.files, missing)))

    with pytest.raises(KeyError, match="f" * 64):
        run(Reviewer(site.context()).review(work))

    assert one.files[0].sha256 in site.upstream.fetched
    assert site.context().blobs.digests() == []


def test_a_full_disk_delays_the_answer(site: Site, run: Run, caplog: pytest.LogCaptureFixture) -> None:
    site.upstream.fail("fetch", StorageError("the disk is full"))
    site.upstream.fail("answer", StorageError("the aggregator's disk is full"), TransportError("gone"))

    reviewed(site, run, site.publish(manifest_of()))

    assert len(site.upstream.answers) == 1


@pytest.mark.parametrize("method", ["fetch", "answer"])
@pytest.mark.parametrize("error", [RunError("run demo-1 is over"), PolicyError("run demo-1 is over")])
def test_an_answer_to_a_run_that_is_over_is_dropped(
    site: Site, run: Run, caplog: pytest.LogCaptureFixture, method: str, error: Exception
) -> None:
    site.upstream.fail(method, error)

    reviewed(site, run, site.publish(manifest_of()))

    assert site.upstream.answers == []
    assert "not wanted: run demo-1 is over" in caplog.text


def test_more_reasons_than_a_message_holds_are_cut(site: Site, run: Run) -> None:
    metrics = [f"m{number}" for number in range(100)]
    task = {"discloses": TRAIN["discloses"] | {"metrics": metrics}}
    work = site.publish(manifest_of(tasks={"train": task, "again": task}))

    reviewed(site, run, work, policy={"discloses": {"metrics": ()}})

    assert len(site.upstream.answers[0].reasons) == 100


def test_an_answer_is_in_the_journal_before_it_leaves(site: Site, run: Run) -> None:
    site.upstream.fail("answer", RunError("the run is over"))
    work = site.publish(manifest_of())

    reviewed(site, run, work)

    assert site.upstream.answers == []
    _, (_, record) = records_of(site.directory, SiteHistory())
    assert record == PlanAnswerReleased(
        run_id=work.run_id,
        plan_digest=work.plan_digest,
        accepted=True,
        reasons=("its name matches the rule 'demo'",),
        by="rule",
        signer=signing_key(site.credentials).fingerprint,
    )


def test_an_answer_that_is_given_once_more_adds_no_record(site: Site, run: Run) -> None:
    work = site.publish(manifest_of())

    reviewed(site, run, work)
    reviewed(site, run, work)

    assert len(site.upstream.answers) == 2
    assert site.journal().open().records == 2


def test_a_plan_whose_packages_are_not_installed_is_refused_before_anything_runs(
    site: Site, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    work = site.publish(manifest_of(requires=("numpy>=1000", "no-such-package")))

    reviewed(site, run, work)

    (answer,) = site.upstream.answers
    assert not answer.accepted
    assert answer.reasons == (
        "the plan requires numpy>=1000, and numpy is installed in another version at this site",
        "the plan requires no-such-package, and no-such-package is not installed at this site",
    )
    assert site.upstream.fetched == [work.plan_digest]
    assert "no-such-package; installed in" in caplog.text


def test_no_person_can_approve_a_plan_whose_packages_are_not_installed(site: Site, run: Run) -> None:
    work = site.publish(manifest_of(requires=("no-such-package",)))
    reviewed(site, run, work, **ASK)

    with pytest.raises(PolicyError, match="no-such-package is not installed at this site"):
        decided(site, work.plan_digest, approve=True, **ASK)


def test_a_plan_that_a_person_approved_before_any_run_asked_is_accepted_at_once(site: Site, run: Run) -> None:
    work = site.publish(manifest_of())
    PlanStore(site.directory / "plans").keep(manifest_of())
    assert decided(site, work.plan_digest, approve=True, **ASK) == ()

    reviewed(site, run, work, **ASK)

    (answer,) = site.upstream.answers
    assert answer.accepted
    assert answer.reasons == ("a person approved it: as agreed",)
    assert is_whole(site.context().plans.bundle(work.plan_digest), manifest_of())


def secure_manifest() -> Manifest:
    return Manifest(plan=secure_plan(**SECURE), files=manifest_of().files, initial_model=FIRST)


def test_a_plan_with_secure_aggregation_is_refused_until_enough_peers_are_checked(
    site: Site, run: Run
) -> None:
    work = site.publish(secure_manifest())

    reviewed(site, run, work)

    (answer,) = site.upstream.answers
    assert not answer.accepted
    assert "have to check the signing keys of 2 other members of cell all" in answer.reasons[0]
    settings = site.context(secure_aggregation={"peers": CHECKED}).settings
    assert judge(settings, secure_manifest(), work.plan_digest).verdict is not Verdict.REFUSE


def test_a_person_cannot_approve_a_plan_before_enough_peers_are_checked(site: Site, run: Run) -> None:
    work = site.publish(secure_manifest())
    reviewed(site, run, work)

    with pytest.raises(PolicyError, match="have to check the signing keys") as refused:
        decided(site, work.plan_digest, approve=True)
    assert "Check peers by `hanse collaborator trust NAME`, then restart the agent." in refused.value.mend
    assert "Change the policy" not in refused.value.mend
    decided(site, work.plan_digest, approve=True, secure_aggregation={"peers": CHECKED})


def test_an_approval_outlasts_an_agent_that_has_an_older_site_yaml(site: Site, run: Run) -> None:
    work = site.publish(secure_manifest())
    checked = {"secure_aggregation": {"peers": CHECKED}}
    reviewed(site, run, work)
    decided(site, work.plan_digest, approve=True, **checked)

    reviewed(site, run, work)  # by the agent, which has not been restarted
    reviewed(site, run, work, **checked)  # by its next process

    assert [answer.accepted for answer in site.upstream.answers] == [False, False, True]
    assert site.upstream.answers[-1].reasons == ("a person approved it: as agreed",)


def test_a_plan_is_not_served_any_more_when_a_peer_was_removed(site: Site, run: Run) -> None:
    work = site.publish(secure_manifest())
    reviewed(site, run, work)
    decided(site, work.plan_digest, approve=True, secure_aggregation={"peers": CHECKED})

    with pytest.raises(PolicyError, match="does not permit the plan: people of this site have to check"):
        run(Reviewer(site.context(secure_aggregation={"peers": {"b": CHECKED["b"]}})).agreed(work))
