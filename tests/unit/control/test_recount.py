"""What an aggregator that forges its own journal cannot make up: it is counted again from signed results."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.blobs import named
from tests.journals import LAST_MODEL, MANIFEST, MODEL, SITES, UPDATE, Author, Lines, World, new_world, reseal

from hanse.control.audit import verify
from hanse.control.report import AuditReport
from hanse.core.plan.built_in import BUILT_IN
from hanse.core.plan.manifest import Manifest
from hanse.core.run.lifecycle import Finish, Resume, Stop
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound, RecordAggregate
from hanse.core.run.tasks import AcceptResult
from hanse.core.values.canonical import canonical_json
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.statements import CertifiedStatement
from hanse.pki.signatures import sign
from hanse.wire.messages.sites import TASK_RESULT_1, UpdateFile

LAST = ModelRef(named(LAST_MODEL))
OTHER = "b" * 64
AGGREGATE = {"update": "aggregate", "aggregated_by": "aggregator", "metrics": ["loss"]}
SUMMED = {"train": {"discloses": AGGREGATE}, "evaluate": {"discloses": {"metrics": ["loss"]}}}
SENT = UpdateFile(digest=UPDATE, size=120)

Forge = Callable[[Lines], object]
Planned = Callable[..., Author]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return new_world(tmp_path_factory.mktemp("parties"))


@pytest.fixture
def planned(world: World, monkeypatch: pytest.MonkeyPatch) -> Planned:
    """The journal of a run of a changed plan, which both sites have accepted, with its first model."""

    def begin(**changes: Any) -> Author:
        plan = MANIFEST.plan.model_dump(mode="json") | changes
        files = {"plan": plan}
        if "initial_model" in changes:
            files["initial_model"] = {"path": changes["initial_model"], "sha256": MODEL.digest, "size": 1}
        manifest = Manifest.model_validate(MANIFEST.model_dump(mode="json") | files)
        monkeypatch.setattr("tests.journals.MANIFEST", manifest)
        author = Author(world)
        for site in SITES:
            author.accept_plan(site)
        author.do(OpenRound(0))
        author.do(Commit(0, MODEL))
        return author

    return begin


def whole_round(
    author: Author, number: int = 1, loss: float = 0.75, results: Mapping[str, str] | None = None
) -> None:
    """A round of `fedavg`: both sites trained alike, budapest has a loss of 1 then, and zurich of 0.5."""
    asked = author.journaled_run.run.model
    author.do(OpenRound(number))
    author.do(OpenExchange(number, 0, "train", asked))
    for site in SITES:
        author.answer_task(site, update=SENT, metrics={"loss": 0.9})
    author.do(RecordAggregate(author.journaled_run.run.last_exchange, SITES, 10, "e" * 64))
    author.do(OpenExchange(number, 1, "evaluate", LAST))
    author.answer_task("budapest", num_examples=10, metrics={"loss": 1.0})
    author.answer_task("zurich", num_examples=10, metrics={"loss": 0.5})
    author.do(Commit(number, LAST, {"loss": loss}, results=results or {}))


def examined(
    author: Author, world: World, folder: Path, forge: Forge = lambda _: None
) -> dict[str, list[str]]:
    """Problems of each check, once the aggregator has forged its lines and sealed them again."""
    return {check.name: check.problems for check in report_of(author, world, folder, forge).failed}


def report_of(author: Author, world: World, folder: Path, forge: Forge = lambda _: None) -> AuditReport:
    path = author.export(folder / "journal.jsonl")
    lines: Lines = [json.loads(line) for line in path.read_text().splitlines()]
    forge(lines)
    reseal(lines, author.aggregator)
    path.write_bytes(b"".join(canonical_json(line) + b"\n" for line in lines))
    return verify(path, world.authority.certificate)


def change(kind: str, number: int = -1, **changes: Any) -> Forge:
    """Change the body of an event of a kind."""

    def forge(lines: Lines) -> None:
        [line["body"] for line in lines if line.get("kind") == kind][number].update(changes)

    return forge


def again(kind: str, number: int = 0) -> Forge:
    """Write an event of a kind for the second time, after the first."""

    def forge(lines: Lines) -> None:
        place = [n for n, line in enumerate(lines) if line.get("kind") == kind][number]
        lines.insert(place + 1, deepcopy(lines[place]))

    return forge


class TestResults:
    @pytest.fixture
    def author(self, planned: Planned) -> Author:
        author = planned(rounds=1, keep_best={"metric": "loss", "mode": "min"})
        whole_round(author)
        author.do(Finish())
        return author

    def test_a_genuine_round_follows_from_its_results(
        self, author: Author, world: World, tmp_path: Path
    ) -> None:
        assert examined(author, world, tmp_path) == {}

    def test_a_mean_that_was_rounded_elsewhere_is_the_same(
        self, author: Author, world: World, tmp_path: Path
    ) -> None:
        almost = 0.75 * (1 + 1e-15)

        assert examined(author, world, tmp_path, change("RoundCommitted", metrics={"loss": almost})) == {}

    @pytest.mark.parametrize(
        ("forge", "complaint"),
        [
            (
                change("RoundCommitted", metrics={"loss": 0.1}),
                "loss is 0.75 by the accepted results, and 0.1",
            ),
            (change("RoundCommitted", metrics={"loss": 0.7500001}), "loss is 0.75 by the accepted results"),
            (
                change("RoundCommitted", metrics={"loss": 0.75, "auc": 1.0}),
                "the metric 'auc' is committed",
            ),
            (change("RoundCommitted", best=False), "round 1 is not said to be the best so far"),
            (
                change("RoundCommitted", model=OTHER),
                "'evaluate' was asked with another model than is committed",
            ),
            (change("RunFinished", rounds=9), "ends with 9 rounds, the best 1; committed are 1, the best 1"),
            (change("RunFinished", best_round=None), "the best None; committed are 1, the best 1"),
            (change("RunFinished", model=OTHER), "ends with another model than the last that was committed"),
            (change("RunFinished", model=None), "ends with another model than the last that was committed"),
        ],
    )
    def test_what_does_not_follow_from_the_results_is_noticed(
        self, author: Author, world: World, tmp_path: Path, forge: Forge, complaint: str
    ) -> None:
        found = examined(author, world, tmp_path, forge)

        assert any(complaint in problem for problem in found["results"]), found

    def test_a_round_without_its_evaluation_is_noticed(
        self, planned: Planned, world: World, tmp_path: Path
    ) -> None:
        author = planned()
        author.do(OpenRound(1))
        author.do(OpenExchange(1, 0, "train", MODEL))
        for site in SITES:
            author.answer_task(site, update=SENT)
        author.do(Commit(1, LAST, {"loss": 0.5}))

        (problem,) = examined(author, world, tmp_path)["results"]

        assert "round 1 of fedavg is committed without train, evaluate" in problem

    def test_a_run_that_ends_before_its_last_round_is_noticed(
        self, planned: Planned, world: World, tmp_path: Path
    ) -> None:
        author = planned(rounds=2)
        whole_round(author)
        author.do(Finish())

        (problem,) = examined(author, world, tmp_path)["results"]

        assert "fedavg ends before the last round of the plan" in problem

    @pytest.mark.parametrize("results", [{}, {"means": "f" * 64}])
    def test_a_workflow_that_may_end_early_has_results_by_then(
        self,
        planned: Planned,
        world: World,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        results: dict[str, str],
    ) -> None:
        monkeypatch.setitem(BUILT_IN, "fedavg", replace(BUILT_IN["fedavg"], ends_early=True))
        author = planned(rounds=2)
        whole_round(author, results=results)
        author.do(Finish())

        problems = examined(author, world, tmp_path).get("results", [])

        said = [problem for problem in problems if "ends before the last round" in problem]
        assert bool(said) == (not results)

    def test_an_evaluation_that_changes_the_model_is_noticed(
        self, planned: Planned, world: World, tmp_path: Path
    ) -> None:
        author = planned(workflow="evaluate", initial_model="first.safetensors")
        author.do(OpenRound(1))
        author.do(OpenExchange(1, 0, "evaluate", MODEL))
        for site in SITES:
            author.answer_task(site)
        author.do(Commit(1, LAST, {"loss": 0.5}))

        (problem,) = examined(author, world, tmp_path)["results"]

        assert "another model is committed, and evaluation changes none" in problem

    def test_metrics_of_a_workflow_of_the_plans_own_are_its_own(
        self, planned: Planned, world: World, tmp_path: Path
    ) -> None:
        author = planned(workflow="heart:workflow")
        whole_round(author, loss=17.0)

        assert examined(author, world, tmp_path) == {}


class TestOrder:
    @pytest.fixture
    def author(self, planned: Planned) -> Author:
        author = planned(rounds=2)
        whole_round(author)
        return author

    @pytest.mark.parametrize(
        ("kind", "complaint"),
        [
            ("UpdateAccepted", "UpdateAccepted of budapest where exchange 1 had budapest answered before"),
            ("ExchangeClosed", "ExchangeClosed of exchange 1 for the second time"),
            ("UpdatesAggregated", "UpdatesAggregated of exchange 1 for the second time"),
            ("RoundCommitted", "round 0 is committed after round 0"),
        ],
    )
    def test_what_is_written_twice_is_noticed(
        self, author: Author, world: World, tmp_path: Path, kind: str, complaint: str
    ) -> None:
        found = examined(author, world, tmp_path, again(kind))

        assert any(complaint in problem for problem in found["history"]), found

    def test_an_update_that_comes_after_the_close_is_noticed(
        self, author: Author, world: World, tmp_path: Path
    ) -> None:
        def late(lines: Lines) -> None:
            sent = next(n for n, line in enumerate(lines) if line.get("kind") == "UpdateAccepted")
            close = next(n for n, line in enumerate(lines) if line.get("kind") == "ExchangeClosed")
            lines.insert(close + 1, deepcopy(lines[sent]))

        found = examined(author, world, tmp_path, late)["history"]

        assert any("UpdateAccepted of budapest where exchange 1 had closed before" in each for each in found)

    def test_two_results_that_a_site_signed_for_one_exchange_count_once(
        self, planned: Planned, world: World, tmp_path: Path
    ) -> None:
        author = planned()
        author.do(OpenRound(1))
        author.do(OpenExchange(1, 0, "train", MODEL))
        author.answer_task("budapest", update=SENT, metrics={"loss": 0.5})
        outcome = author.outcome("budapest", update=UpdateFile(digest=OTHER, size=120))
        statement = author.statement("budapest", outcome)

        def both(lines: Lines) -> None:
            place = next(n for n, line in enumerate(lines) if line.get("kind") == "UpdateAccepted")
            second = deepcopy(lines[place])
            second["body"] |= {
                "update": OTHER,
                "metrics": {"loss": 0.5},
                "statement": statement.model_dump(mode="json"),
            }
            lines.insert(place + 1, second)

        found = examined(author, world, tmp_path, both)

        assert found.keys() == {"history"}
        assert "UpdateAccepted of budapest" in found["history"][0]

    def test_a_round_that_begins_out_of_turn_is_noticed(
        self, author: Author, world: World, tmp_path: Path
    ) -> None:
        found = examined(author, world, tmp_path, change("RoundOpened", round_number=2))

        assert any("round 2 begins after round 0" in problem for problem in found["history"])


class TestSums:
    def run(self, planned: Planned, minimum: int, **answers: int) -> Author:
        """A run whose plan discloses sums, in which sites answer with so many examples each."""
        author = planned(workflow="heart:workflow", tasks=SUMMED, cohort={"minimum": minimum, "quorum": 0.1})
        author.do(OpenRound(1))
        author.do(OpenExchange(1, 0, "train", MODEL))
        for site, examples in answers.items():
            author.answer_task(site, update=SENT, num_examples=examples)
        return author

    def test_a_genuine_sum_passes(self, planned: Planned, world: World, tmp_path: Path) -> None:
        author = self.run(planned, 2, budapest=3, zurich=5)
        author.do(RecordAggregate(1, SITES, 8, "e" * 64))

        assert examined(author, world, tmp_path) == {}

    def test_an_exchange_that_needs_fewer_answers_than_the_plan_says_is_noticed(
        self, planned: Planned, world: World, tmp_path: Path
    ) -> None:
        author = self.run(planned, 2)

        (problem,) = examined(author, world, tmp_path, change("ExchangeOpened", needed=1))["limits"]

        assert "'train' is asked for and needs 1 answer; the plan says `cohort: {minimum: 2}`" in problem

    def test_a_sum_of_fewer_sites_than_the_plan_says_is_noticed(
        self, planned: Planned, world: World, tmp_path: Path
    ) -> None:
        author = self.run(planned, 1, budapest=3, zurich=5)
        author.do(RecordAggregate(1, SITES, 8, "e" * 64))

        def cut(lines: Lines) -> None:
            """One site answers, and the plan had said two."""
            lines[:] = [
                line
                for line in lines
                if not (line.get("kind") == "UpdateAccepted" and line["body"]["site"] == "zurich")
            ]
            change("ExchangeClosed", answered=["budapest"], missing=["zurich"])(lines)
            change("UpdatesAggregated", sites=["budapest"], num_examples=3)(lines)
            submitted = next(line["body"] for line in lines if line.get("kind") == "RunSubmitted")
            submitted["manifest"]["plan"]["cohort"]["minimum"] = 2

        found = examined(author, world, tmp_path, cut)["limits"]

        assert any("ExchangeClosed of 'train' over 1 site; the plan says" in problem for problem in found)
        assert any("UpdatesAggregated of 'train' over 1 site; the plan says" in problem for problem in found)

    def test_a_close_with_fewer_answers_than_were_needed_is_noticed(
        self, planned: Planned, world: World, tmp_path: Path
    ) -> None:
        author = self.run(planned, 2, budapest=3, zurich=5)

        def cut(lines: Lines) -> None:
            lines[:] = [
                line
                for line in lines
                if not (line.get("kind") == "UpdateAccepted" and line["body"]["site"] == "zurich")
            ]
            change("ExchangeClosed", answered=["budapest"], missing=["zurich"])(lines)

        found = examined(author, world, tmp_path, cut)

        assert any("exchange 1 closes with 1 of 2 answers" in problem for problem in found["history"])
        assert any("over 1 site" in problem for problem in found["limits"])

    def test_sites_without_examples_do_not_make_a_sum_of_more(
        self, planned: Planned, world: World, tmp_path: Path
    ) -> None:
        author = self.run(planned, 1, budapest=3, zurich=0)
        author.do(RecordAggregate(1, SITES, 3, "e" * 64))

        def said_two(lines: Lines) -> None:
            submitted = next(line["body"] for line in lines if line.get("kind") == "RunSubmitted")
            submitted["manifest"]["plan"]["cohort"]["minimum"] = 2

        found = examined(author, world, tmp_path, said_two)["limits"]

        assert any("UpdatesAggregated of 'train' over 1 site" in problem for problem in found)


class TestHowOften:
    def repeated(self, planned: Planned, times: int, *, signed_by_0_1: bool = False) -> Author:
        """A round in which budapest is asked to train again and again, as its aggregator wrote it."""
        author = planned(
            workflow="heart:workflow",
            tasks={"train": {"exchanges": times, "discloses": {"update": "individual", "metrics": ["loss"]}}},
        )
        author.do(OpenRound(1))
        for index in range(times):
            author.do(OpenExchange(1, index, "train", MODEL, sites=("budapest",)))
            outcome = author.outcome("budapest", update=SENT)
            if not signed_by_0_1:
                author.answer_task("budapest", update=SENT)
                continue
            body = outcome.model_dump(mode="json", exclude={"journal", "roster"})
            signature = sign(author.sites["budapest"], TASK_RESULT_1, body)
            statement = CertifiedStatement(body=body, **signature.model_dump())
            author.do(
                AcceptResult(
                    outcome.exchange, "budapest", outcome.num_examples, outcome.metrics, UPDATE, statement
                )
            )
        return author

    def said_once(self, lines: Lines) -> None:
        submitted = next(line["body"] for line in lines if line.get("kind") == "RunSubmitted")
        del submitted["manifest"]["plan"]["tasks"]["train"]["exchanges"]

    def test_as_often_as_the_plan_says_passes(self, planned: Planned, world: World, tmp_path: Path) -> None:
        assert examined(self.repeated(planned, 3), world, tmp_path) == {}

    def test_what_a_resumed_run_asks_again_under_its_number_passes(
        self, planned: Planned, world: World, tmp_path: Path
    ) -> None:
        author = planned(workflow="heart:workflow")
        author.do(OpenRound(1))
        author.do(OpenExchange(1, 0, "train", MODEL, sites=("budapest",)))
        author.answer_task("budapest", outcome="failed", reason="no memory", num_examples=0, metrics={})
        author.do(Stop("operator"))
        author.do(Resume("operator"))
        author.do(OpenRound(1))
        author.do(OpenExchange(1, 0, "train", MODEL, sites=("budapest",)))
        author.answer_task("budapest", update=SENT)
        author.do(Commit(1, LAST, {"loss": 0.5}))
        author.do(Finish())

        report = report_of(author, world, tmp_path)

        assert report.failed == ()
        assert [(told["exchange"], told["answered"]) for told in report.exchanges] == [
            (1, []),
            (1, ["budapest"]),
        ]

    def test_an_exchange_that_is_asked_again_where_none_was_resumed_is_noticed(
        self, planned: Planned, world: World, tmp_path: Path
    ) -> None:
        author = self.repeated(planned, 1)

        found = examined(author, world, tmp_path, again("ExchangeOpened"))

        assert "the journal has exchange 1 where 2 is next" in found["history"][0]

    def test_once_more_than_the_plan_says_is_noticed(
        self, planned: Planned, world: World, tmp_path: Path
    ) -> None:
        found = examined(self.repeated(planned, 2), world, tmp_path, self.said_once)

        (problem,) = found["limits"]
        assert "budapest was asked for 'train' in 2 exchanges of the run; the plan permits 1" in problem

    def test_what_0_1_permitted_is_noted_and_not_held_against_it(
        self, planned: Planned, world: World, tmp_path: Path
    ) -> None:
        author = self.repeated(planned, 3, signed_by_0_1=True)

        report = report_of(author, world, tmp_path, self.said_once)

        assert "limits" not in {check.name for check in report.failed}
        (note,) = report.notes
        assert "2 answers beyond the exchanges of the plan, signed by sites with Hanse 0.1" in note
