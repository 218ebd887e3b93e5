"""Digits of metrics in an exported journal, before an auditor."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import journals
from tests.journals import MANIFEST, MODEL, UPDATE, Author, World, new_world
from tests.upgrades.kept import HERE

from hanse.control.audit import verify
from hanse.core.plan.manifest import Manifest
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound
from hanse.core.run.tasks import AcceptResult
from hanse.core.values.significant import significant
from hanse.core.values.statements import CertifiedStatement, Statement
from hanse.pki.signatures import sign
from hanse.wire.journal_file import read_lines
from hanse.wire.messages.sites import TASK_RESULT, TASK_RESULT_1, UpdateFile


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return new_world(tmp_path_factory.mktemp("parties"))


def found(world: World, tmp_path: Path, loss: float, purpose: str = TASK_RESULT) -> list[str]:
    """Problems with what was taken from a site that stated this loss."""
    author = Author(world)
    for site in ("zurich", "budapest"):
        author.accept_plan(site)
    author.do(OpenRound(0))
    author.do(Commit(0, MODEL))
    author.do(OpenRound(1))
    author.do(OpenExchange(1, 0, "train", MODEL))
    outcome = author.outcome("zurich", update=UpdateFile(digest=UPDATE, size=120), metrics={"loss": loss})
    statement: Statement = author.statement("zurich", outcome)
    if purpose == TASK_RESULT_1:
        body = outcome.model_dump(mode="json", exclude={"journal", "roster"})
        statement = CertifiedStatement(body=body, **sign(author.sites["zurich"], purpose, body).model_dump())
    author.do(AcceptResult(outcome.exchange, "zurich", 5, {"loss": loss}, UPDATE, statement))
    checks = verify(author.export(tmp_path / "journal.jsonl"), world.authority.certificate).checks
    assert checks["statements"].problems == []
    return checks["consent"].problems


def with_digits(monkeypatch: pytest.MonkeyPatch, digits: int) -> None:
    """Have journals be of a plan that states `metric_digits`."""
    plan = MANIFEST.plan.model_copy(update={"metric_digits": digits})
    monkeypatch.setattr(journals, "MANIFEST", Manifest(plan=plan, files=MANIFEST.files))


def test_rounded_metrics_pass(world: World, tmp_path: Path) -> None:
    assert found(world, tmp_path, 0.333333) == []


def test_metrics_with_more_digits_than_the_plan_declares_are_noticed(world: World, tmp_path: Path) -> None:
    (problem,) = found(world, tmp_path, 1 / 3)

    assert problem.endswith("would disclose more than 6 significant digits of the metric 'loss'")


def test_a_plan_may_declare_every_digit(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_digits(monkeypatch, 17)

    assert found(world, tmp_path, 1 / 3) == []


def test_what_a_site_of_0_1_signed_was_not_rounded(world: World, tmp_path: Path) -> None:
    assert found(world, tmp_path, 1 / 3, TASK_RESULT_1) == []


def test_no_site_of_0_1_can_have_taken_part_in_a_plan_that_declares_digits(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_digits(monkeypatch, 3)

    assert len(found(world, tmp_path, 1 / 3, TASK_RESULT_1)) == 1


def test_exports_of_0_1_are_not_called_false_though_nothing_in_them_is_rounded() -> None:
    exports = sorted((HERE / "0.1" / "export").glob("*/journal.jsonl"))
    lines = [line for path in exports for line in read_lines(path)]
    told = [line["body"]["metrics"] for line in lines if line.get("kind") == "UpdateAccepted"]

    assert any(significant(value, 6) != value for metrics in told for value in metrics.values())
    for path in exports:
        assert verify(path).checks["consent"].problems == []
