"""Evidence in a journal: only instances that were accepted answer, and get keys."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.evidence_journals import (
    DAY_MS,
    HUB,
    EvidenceAuthor,
    Keys,
    OneWorld,
    Write,
)
from tests.journals import NOW_MS, SITES, UPDATE, Author, reseal

from hanse.control.audit import verify
from hanse.control.evidence_report import EVIDENCE, WITHOUT_PLAN
from hanse.control.report import AuditReport
from hanse.core.run.evidence.commands import AdmitInstance
from hanse.core.run.lifecycle import Finish
from hanse.core.values.canonical import canonical_json
from hanse.errors import ConfigError
from hanse.wire.messages.evidence import OUTCOME_SAID
from hanse.wire.messages.sites import UpdateFile

AGAIN = Keys("hub, second start")
CLONE = Keys("zurich, second start")
SENT = UpdateFile(digest=UPDATE, size=120)


def audit(written: EvidenceAuthor, folder: Path, *, plan: bool = False) -> AuditReport:
    return verify(written.export(folder / "journal.jsonl"), plan=folder / "plan" if plan else None)


def problems(report: AuditReport) -> str:
    return "\n".join(f"{check.name}: {each}" for check in report.checks.values() for each in check.problems)


@pytest.mark.parametrize("sealed", [True, False])
def test_a_run_in_which_all_showed_evidence_passes(author: Write, tmp_path: Path, sealed: bool) -> None:
    run = author(sealed=sealed)
    run.begin()
    run.end_round()
    run.do(Finish())

    report = audit(run, tmp_path, plan=True)

    assert not problems(report)
    assert EVIDENCE in report.checks
    assert report.evidence is not None
    assert [found.party for found in report.evidence.appraised] == list(SITES)
    assert report.evidence.released == {site: run.instances[site].instance for site in SITES if sealed}


def test_without_the_plans_folder_its_policies_are_not_proved(author: Write, tmp_path: Path) -> None:
    run = author()
    run.begin()

    report = audit(run, tmp_path)

    assert not problems(report)
    assert WITHOUT_PLAN in report.not_proved


def test_a_plan_that_asks_for_no_evidence_has_no_check_of_it(federation: OneWorld, tmp_path: Path) -> None:
    run = Author(federation)
    run.whole_run()

    report = verify(run.export(tmp_path / "journal.jsonl"))

    assert EVIDENCE not in report.checks
    assert report.as_json()["evidence"] is None


Deed = Callable[[EvidenceAuthor], None]


def answers_unseen(run: EvidenceAuthor) -> None:
    run.instances["zurich"] = CLONE
    run.answer_task("zurich", update=SENT)


def answers_without_naming_itself(run: EvidenceAuthor) -> None:
    run.answer_task("zurich", update=SENT, instance=None)


def answers_without_signing(run: EvidenceAuthor) -> None:
    run.answer_task("zurich", update=SENT, spoken="")


def answers_with_the_signature_of_another(run: EvidenceAuthor) -> None:
    said = run.outcome("zurich", instance=run.instances["zurich"].instance, update=SENT)
    spoken = CLONE.say(OUTCOME_SAID, said.model_dump(mode="json"))
    run.answer_task("zurich", update=SENT, spoken=spoken)


def fails_unseen(run: EvidenceAuthor) -> None:
    run.instances["zurich"] = CLONE
    run.answer_task("zurich", outcome="failed", reason="out of memory", num_examples=0, metrics={})


def is_refused_and_answers(run: EvidenceAuthor) -> None:
    run.appraise("zurich", accepted=False, reason="PCR 11 differs")
    run.answer_task("zurich", update=SENT)


def seals_to_an_instance_of_before(run: EvidenceAuthor) -> None:
    run.answer_task("zurich", update=SENT, sealed_to=AGAIN.instance)


def seals_to_no_instance(run: EvidenceAuthor) -> None:
    run.answer_task("zurich", update=SENT, sealed_to=None)


@pytest.mark.parametrize(
    ("deed", "said"),
    [
        (answers_unseen, "zurich answered exchange 1, and its evidence was never appraised"),
        (answers_without_naming_itself, "zurich answered exchange 1 without naming its instance"),
        (answers_without_signing, "did not sign its outcome"),
        (answers_with_the_signature_of_another, "did not sign its outcome"),
        (fails_unseen, "zurich answered exchange 1, and its evidence was never appraised"),
        (is_refused_and_answers, "its evidence was refused"),
        (seals_to_an_instance_of_before, "and the aggregator's instance is"),
        (seals_to_no_instance, "is sealed to no instance"),
    ],
)
def test_an_answer_that_no_accepted_instance_gave_is_noticed(
    author: Write, tmp_path: Path, deed: Deed, said: str
) -> None:
    run = author()
    run.begin()
    deed(run)

    report = audit(run, tmp_path)

    assert said in problems(report)
    assert {check.name for check in report.failed} == {EVIDENCE}


def test_an_answer_after_the_end_of_the_verdict_is_noticed(author: Write, tmp_path: Path) -> None:
    run = author()
    run.begin()
    run.appraise("zurich", expires_ms=NOW_MS + 1, at_ms=NOW_MS - DAY_MS + 2)
    run.journaled_run.execute(AdmitInstance("zurich", "operator", "time passes"), NOW_MS + 120_000)
    run.answer_task("zurich")

    assert "zurich answered exchange 1 after its verdict had ended" in problems(audit(run, tmp_path))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"purpose": "release"}, "purpose release"),
        ({"federation": "south"}, "federation south"),
        ({"role": "aggregator"}, "role aggregator"),
        ({"name": "budapest"}, "name budapest"),
        ({"run": "heart-2"}, "run heart-2"),
        ({"plan": "1" * 64}, f"plan {'1' * 64}"),
        ({"signer": "1" * 64}, f"signer {'1' * 64}"),
        ({"policy": "1" * 64}, "another policy than other evidence"),
        ({"roster": "1" * 64}, "which the run did not have"),
        ({"nonce": f"{1:064x}"}, "its nonce was used before"),
        ({"rehearsal": True}, "it was for a rehearsal, and the plan is for none"),
        ({"seal": Keys("budapest, first start").seal, "speak": Keys("budapest, first start").speak}, "keys"),
    ],
)
def test_claims_about_something_else_are_noticed(
    author: Write, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    run = author()
    run.begin()
    run.appraise("zurich", run.claims("zurich", **changes))

    assert said in problems(audit(run, tmp_path))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"vector": {"executables": 96}}, "by its vector it does not pass"),
        ({"vector": {}}, "by its vector it does not pass"),
        ({"reason": "PCR 11 differs"}, "has a reason against it"),
        ({"policy": "1" * 64}, "and the claims name"),
        ({"expires_ms": NOW_MS + DAY_MS + 1}, "the plan's `valid_for`, 86400 s"),
        ({"at_ms": NOW_MS + 60_000}, "it was appraised after it was recorded"),
    ],
)
def test_a_verdict_that_cannot_be_is_noticed(
    author: Write, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    run = author()
    run.begin()
    run.appraise("zurich", **changes)

    assert said in problems(audit(run, tmp_path))


def test_evidence_for_another_policy_than_the_plans_is_noticed(author: Write, tmp_path: Path) -> None:
    run = author()
    run.start()
    run.accept_plan("zurich")
    run.appraise("zurich", run.claims("zurich", policy="1" * 64), policy="1" * 64)

    assert f"its claims have policy {'1' * 64}" in problems(audit(run, tmp_path, plan=True))


def test_another_file_than_the_plans_policy_is_refused(author: Write, tmp_path: Path) -> None:
    run = author()
    (tmp_path / "plan" / "site.toml").write_text("# another one")

    with pytest.raises(ConfigError, match=r"is not the site\.toml of the run's plan"):
        audit(run, tmp_path, plan=True)


def test_evidence_that_names_the_roster_of_before_a_site_joined_counts(author: Write, tmp_path: Path) -> None:
    run = author()
    run.start()
    run.accept_plan("zurich")
    asked = run.claims("zurich")
    run.accept_plan("budapest")
    run.appraise("zurich", asked)

    assert not problems(audit(run, tmp_path))


class TestKeys:
    def test_for_an_instance_that_was_never_appraised_are_noticed(
        self, author: Write, tmp_path: Path
    ) -> None:
        run = author()
        run.start()
        for site in SITES:
            run.accept_plan(site)
        run.release("zurich")

        assert "zurich got keys, and its evidence was never appraised" in problems(audit(run, tmp_path))

    def test_where_memory_is_not_confidential_are_noticed(self, author: Write, tmp_path: Path) -> None:
        run = author()
        run.start()
        for site in SITES:
            run.accept_plan(site)
        run.appraise("zurich", vector={"executables": 2, "runtime-opaque": 32})
        run.release("zurich")

        assert "does not say that its memory is confidential" in problems(audit(run, tmp_path))

    def test_of_a_second_instance_take_an_operator(self, author: Write, tmp_path: Path) -> None:
        run = author()
        run.begin()
        run.instances["zurich"] = CLONE
        run.appraise("zurich")
        run.do(AdmitInstance("zurich", "operator", "its machine was replaced"))
        run.release("zurich")

        assert not problems(audit(run, tmp_path))

    def test_of_a_second_without_an_operator_are_noticed(self, author: Write, tmp_path: Path) -> None:
        run = author()
        run.begin()
        run.instances["zurich"] = CLONE
        run.appraise("zurich")
        run.do(AdmitInstance("zurich", "operator", "its machine was replaced"))
        run.release("zurich")
        journal = run.export(tmp_path / "journal.jsonl")
        forged = without(journal, run, "InstanceAdmitted")

        assert "and no operator admitted another" in problems(verify(forged))

    def test_are_needed_for_work_with_the_model(self, author: Write, tmp_path: Path) -> None:
        run = author()
        run.begin()
        run.answer_task("zurich", update=SENT)
        journal = run.export(tmp_path / "journal.jsonl")
        forged = without(journal, run, "KeysReleased")

        assert "has no keys of the model that it worked with" in problems(verify(forged))


class TestInstancesOfTheAggregator:
    def test_which_the_owner_did_not_sign_are_noticed(self, author: Write, tmp_path: Path) -> None:
        run = author()
        run.start(HUB, owner=AGAIN.say("hanse aggregator instance 1", {}))

        assert "the owner did not sign the instance" in problems(audit(run, tmp_path, plan=True))

    def test_without_any_signature_of_an_owner_are_noticed(self, author: Write, tmp_path: Path) -> None:
        run = author()
        run.start(HUB, owner="")

        assert "no owner signed the instance" in problems(audit(run, tmp_path))

    def test_with_other_keys_than_their_name_says_are_noticed(self, author: Write, tmp_path: Path) -> None:
        run = author(sealed=False)
        run.start(HUB, seal="5" * 64)

        assert "has other keys than its name says" in problems(audit(run, tmp_path))


class TestAnswersLost:
    def restarted(self, run: EvidenceAuthor) -> EvidenceAuthor:
        """A run whose aggregator started again, once one of two sites had answered."""
        run.begin()
        run.answer_task("budapest", update=SENT)
        run.start(AGAIN)
        run.open_round()
        run.end_round()
        run.do(Finish())
        return run

    def test_are_asked_again_under_the_number_and_count_once(self, author: Write, tmp_path: Path) -> None:
        report = audit(self.restarted(author()), tmp_path)

        assert not problems(report)
        assert [(each["exchange"], each["num_examples"]) for each in report.exchanges] == [(1, 10), (2, 10)]
        assert len(report.sites["budapest"].disclosed) == 3
        assert report.evidence is not None
        assert any("could not open answers any more" in remark for remark in report.evidence.remarks)

    def test_that_stand_all_the_same_are_noticed(self, author: Write, tmp_path: Path) -> None:
        run = self.restarted(author())
        forged = without(run.export(tmp_path / "journal.jsonl"), run, "AnswersLost")

        assert "were sealed to an instance that has ended, and stood all the same" in problems(verify(forged))

    def test_without_a_new_instance_are_noticed(self, author: Write, tmp_path: Path) -> None:
        run = self.restarted(author())
        journal = run.export(tmp_path / "journal.jsonl")
        forged = without(journal, run, "InstanceStarted", keep_first=True)

        assert "no instance that could open them has ended" in problems(verify(forged))


def without(journal: Path, run: EvidenceAuthor, kind: str, *, keep_first: bool = False) -> Path:
    """The journal without records of a kind, sealed again by the aggregator."""
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    first = next(line for line in lines if line.get("kind") == kind)
    kept = [line for line in lines if line.get("kind") != kind or (keep_first and line is first)]
    reseal(kept, run.aggregator)
    forged = journal.with_name("forged.jsonl")
    forged.write_text("".join(canonical_json(line).decode() + "\n" for line in kept))
    return forged
