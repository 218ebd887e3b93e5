"""Groups, settings, cells and results of a journal that its aggregator has forged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.journals import MANIFEST, MODEL, SITES, UPDATE, Author, World, new_world
from tests.unit.control.test_recount import Forge, change, examined

from hanse.core.plan.manifest import Manifest
from hanse.core.run.lifecycle import Finish
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound, RecordAggregate
from hanse.core.values.ask_inputs import AskInputs, stated
from hanse.wire.messages.sites import UpdateFile

EDGES, OTHER, RESULT = "e" * 64, "f" * 64, "d" * 64
SENT = UpdateFile(digest=UPDATE, size=120)
PLAN: dict[str, Any] = {
    "workflow": "heart:workflow",
    "rounds": 1,
    "cells": {"north": list(SITES)},
    "cohort": {"quorum": 0.5, "minimum": 2, "cell_minimum": 2},
    "groups": {"edges": {"float64": [2]}, "counts": {"int64": [2]}},
    "tasks": {
        "count": {
            "receives": ["edges"],
            "varies": {"scale": [0.0, 4.0]},
            "discloses": {"aggregated_by": "aggregator", "groups": {"counts": "total"}},
        }
    },
}
INPUTS = AskInputs({"edges": EDGES}, {"scale": 2.0}, ("north",))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return new_world(tmp_path_factory.mktemp("parties"))


@pytest.fixture
def begun(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Author]:
    """A run whose first round is open."""

    def begin() -> Author:
        changed = {"plan": MANIFEST.plan.model_dump(mode="json") | PLAN}
        manifest = Manifest.model_validate(MANIFEST.model_dump(mode="json") | changed)
        monkeypatch.setattr("tests.journals.MANIFEST", manifest)
        author = Author(world)
        for site in SITES:
            author.accept_plan(site)
        author.do(OpenRound(0))
        author.do(Commit(0, MODEL))
        author.do(OpenRound(1))
        return author

    return begin


@pytest.fixture
def author(begun: Callable[[], Author]) -> Author:
    """A run with one sum, and a result, to its end."""
    author = begun()
    author.do(OpenExchange(1, 0, "count", None, inputs=INPUTS))
    for site in SITES:
        author.answer_task(site, update=SENT, metrics={}, **stated(INPUTS))
    author.do(RecordAggregate(1, SITES, 10, "c" * 64))
    author.do(Commit(1, MODEL, results={"counts": RESULT}))
    author.do(Finish())
    return author


def test_a_genuine_journal_is_found_to_be_one(author: Author, world: World, tmp_path: Path) -> None:
    assert examined(author, world, tmp_path) == {}


@pytest.mark.parametrize(
    ("forge", "check", "complaint"),
    [
        (change("ExchangeOpened", groups={"edges": OTHER}), "statements", "signed groups"),
        (change("ExchangeOpened", groups={}), "limits", "is asked with the groups none"),
        (
            change("ExchangeOpened", groups={"edges": EDGES, "counts": OTHER}),
            "limits",
            "is asked with the groups counts and edges; by the plan it receives edges",
        ),
        (change("ExchangeOpened", settings={"scale": 1.0}), "statements", "signed settings"),
        (change("ExchangeOpened", settings={}), "statements", "signed settings {'scale': 2.0}"),
        (change("ExchangeOpened", settings={"scale": 5.0}), "limits", "'scale' of task count is 5.0"),
        (change("ExchangeOpened", settings={"lr": 5.0}), "limits", "'lr' of task count does not vary"),
        (change("ExchangeOpened", cells=None), "statements", "signed cells ('north',)"),
        (change("ExchangeOpened", cells=["south"]), "limits", "the cell 'south'"),
        (change("ExchangeOpened", model="a" * 64), "limits", "is asked with a model"),
        (change("RunFinished", results={}), "results", "other results than were committed"),
        (change("RunFinished", results={"counts": OTHER}), "results", "other results than were committed"),
        (change("RoundCommitted", results={"counts": OTHER}), "results", "other results than were committed"),
    ],
)
def test_what_was_altered_is_noticed(
    forge: Forge, check: str, complaint: str, author: Author, world: World, tmp_path: Path
) -> None:
    found = examined(author, world, tmp_path, forge)

    assert any(complaint in problem for problem in found[check]), found


def test_a_sum_over_a_cell_with_too_few_answers_is_noticed(
    begun: Callable[[], Author], world: World, tmp_path: Path
) -> None:
    author = begun()
    author.do(OpenExchange(1, 0, "count", None, inputs=INPUTS))
    for site in SITES:
        author.answer_task(site, update=SENT, metrics={}, **stated(INPUTS))
    author.do(RecordAggregate(1, SITES, 10, "c" * 64))

    def forge(lines: list[dict[str, Any]]) -> None:
        answered = [n for n, line in enumerate(lines) if line.get("kind") == "UpdateAccepted"]
        del lines[answered[-1]]

    found = examined(author, world, tmp_path, forge)

    problems = [problem for check in found.values() for problem in check]
    assert any("the cell north has answers of 1 site" in problem for problem in problems), found


def test_a_cell_of_which_only_some_were_asked_is_noticed(
    author: Author, world: World, tmp_path: Path
) -> None:
    found = examined(author, world, tmp_path, change("ExchangeOpened", cohort=[SITES[0]]))

    problems = [problem for check in found.values() for problem in check]
    assert any("is not asked of the cohort" in problem for problem in problems), found
