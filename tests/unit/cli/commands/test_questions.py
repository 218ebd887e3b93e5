"""`hanse collaborator questions` and `permit`."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.commands import Hanse

from hanse.collaborator.site_journal import records_of
from hanse.collaborator.sums.questions import CellsQuestion, FailuresQuestion, Questions
from hanse.config.settings import SiteSettings, settings_yaml
from hanse.core.journal.site_history import SiteHistory
from hanse.core.journal.sum_records import AgreedOverlap, CellsAgreed, FailuresPermitted

PLAN, KEY, OTHER = "1" * 64, "a" * 64, "b" * 64


@pytest.fixture
def site(tmp_path: Path, join: Callable[[Path, datetime], object]) -> Path:
    """The folder of a site whose agent waits for a person twice."""
    directory = tmp_path / "site"
    join(directory, datetime.now(UTC))
    settings = SiteSettings(
        name="hospital-a", federation="north", aggregator="https://localhost:1", proxy=None
    )
    (directory / "site.yaml").write_text(settings_yaml(settings))
    overlap = AgreedOverlap(plan_digest=PLAN, cell="all", signers={"berlin": OTHER}, disclosed=("berlin",))
    cells = CellsQuestion(
        run_id="xrays-2",
        asked_ms=5,
        plan_digest=PLAN,
        cell="east",
        signers={"hospital-a": KEY},
        overlaps=(overlap,),
    )
    questions = Questions(directory / "questions")
    questions.ask(cells)
    questions.ask(FailuresQuestion(run_id="xrays-1", asked_ms=9, plan_digest=PLAN, failures=3))
    return directory


def test_questions_are_listed_with_the_command_that_permits_them(hanse: Hanse, site: Path) -> None:
    said = hanse("collaborator", "questions", "--site", site).out

    assert "Any single one of these sites may be disclosed" in said
    assert "3 masked tasks failed at this site, of all runs together" in said
    assert said.count("to permit it: hanse collaborator permit") == 2


def test_questions_are_given_to_scripts(hanse: Hanse, site: Path) -> None:
    found = json.loads(hanse("collaborator", "questions", "--site", site, "--json").out)

    assert [each["kind"] for each in found] == ["cells", "failures"]


def test_a_yes_is_recorded_with_its_reason_and_takes_the_question_off(hanse: Hanse, site: Path) -> None:
    cells, failures = Questions(site / "questions").all()
    hanse("collaborator", "permit", cells.id[:6], "--site", site, "--reason", "berlin has agreed")
    hanse("collaborator", "permit", failures.id, "--site", site, "--reason", "the disk was full")

    agreed, permitted = [read for _, read in records_of(site, SiteHistory())][-2:]
    assert isinstance(agreed, CellsAgreed)
    assert (agreed.reason, agreed.overlaps[0].disclosed) == ("berlin has agreed", ("berlin",))
    assert isinstance(permitted, FailuresPermitted)
    assert permitted.run_id == "xrays-1"
    assert "no question is open" in hanse("collaborator", "questions", "--site", site).out


def test_a_yes_without_a_reason_is_refused(hanse: Hanse, site: Path) -> None:
    (cells, _) = Questions(site / "questions").all()
    assert hanse("collaborator", "permit", cells.id, "--site", site).code == 2

    assert len(Questions(site / "questions").all()) == 2
