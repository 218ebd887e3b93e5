"""Journals with cells that are left out, and of runs that were stopped and resumed, before an auditor."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.journals import MODEL, World, new_world
from tests.unit.control.sums.masked_journal import SITES, MaskedAuthor

from hanse.control.audit import verify
from hanse.control.report import AuditReport
from hanse.core.run.lifecycle import Resume, Stop
from hanse.core.run.requests.commands import OpenExchange, OpenRound

CELLS = {"north": ("a", "b", "c"), "south": ("d", "e", "f")}
EXAMPLES = {"least": 200, "most": 300, "max_share": 0.7}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return new_world(tmp_path_factory.mktemp("parties"))


def audited(author: MaskedAuthor, world: World, folder: Path) -> AuditReport:
    return verify(author.export(folder / "journal.jsonl"), world.authority.certificate)


def problems(report: AuditReport) -> dict[str, list[str]]:
    return {check.name: check.problems for check in report.failed}


def test_a_cell_of_which_a_task_failed_is_not_in_the_sum(world: World, tmp_path: Path) -> None:
    author = MaskedAuthor(world, CELLS, incomplete="leave_out", examples=EXAMPLES)
    author.begin()
    for site in "abcde":
        author.state_ready(site)
    author.answer_task("f", outcome="failed", num_examples=0, metrics={}, reason="data")
    for site in "abc":
        author.mask(site)
    author.open_sum("north", 700)
    author.end(("a", "b", "c"), 700)

    report = audited(author, world, tmp_path)

    assert problems(report) == {}
    assert [found.cell for found in report.sums] == ["north"]
    assert report.sites["d"].sums == []
    assert report.sites["d"].attempts == 1


def test_two_cells_are_summed_one_by_one(world: World, tmp_path: Path) -> None:
    author = MaskedAuthor(world, CELLS, incomplete="leave_out", examples=EXAMPLES)
    author.begin()
    for site in "adbecf":
        author.state_ready(site)
    for site in "fabcde":
        author.mask(site)
    author.open_sum("north", 700)
    author.open_sum("south", 800)
    author.end(("a", "b", "c", "d", "e", "f"), 1_500)

    report = audited(author, world, tmp_path)

    assert problems(report) == {}
    assert [(found.cell, found.members) for found in report.sums] == list(CELLS.items())


def test_what_came_before_a_stop_counts_after_the_run_was_resumed(world: World, tmp_path: Path) -> None:
    author = MaskedAuthor(world)
    author.begin()
    for site in SITES:
        author.state_ready(site)
    author.mask("a")
    author.do(Stop("operator", "a disk is full"))
    author.do(Resume("operator"))
    author.do(OpenRound(1))
    author.do(OpenExchange(1, 0, "train", MODEL))
    for site in "bcd":
        author.mask(site)
    author.open_sum()
    author.end(SITES, 800)

    report = audited(author, world, tmp_path)

    assert problems(report) == {}
    assert [(found.attempt, found.num_examples) for found in report.sums] == [(1, 800)]
