"""What an aggregator cannot make up of a run, also where sites help it: cohorts, means, statements."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.blobs import named
from tests.journals import MANIFEST, MODEL, UPDATE, Author, Lines, World, new_world, reseal

from hanse.control.audit import verify
from hanse.control.report import AuditReport
from hanse.core.plan.cohort import select
from hanse.core.plan.manifest import Manifest
from hanse.core.run.lifecycle import Finish
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound, RecordAggregate
from hanse.core.values.canonical import canonical_json
from hanse.core.values.model_ref import ModelRef
from hanse.wire.messages.sites import TASK_RESULT, UpdateFile

SITES = ("athens", "bremen", "cork", "delft")
LAST = ModelRef(named(b"the last one"))
SENT = UpdateFile(digest=UPDATE, size=120)
SUM = {"update": "aggregate", "aggregated_by": "aggregator", "metrics": ["loss"]}

Forge = Callable[[Lines], object]
Planned = Callable[..., Author]
Examined = Callable[..., dict[str, list[str]]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return new_world(tmp_path_factory.mktemp("parties"))


@pytest.fixture
def planned(world: World, monkeypatch: pytest.MonkeyPatch) -> Planned:
    """The journal of a run of `fedavg` in which four sites take part, with its first model."""

    def begin(**changes: Any) -> Author:
        tasks = {"train": {"discloses": SUM}}
        plan = MANIFEST.plan.model_dump(mode="json") | {"tasks": tasks, "cohort": {"minimum": 3}} | changes
        manifest = Manifest.model_validate(MANIFEST.model_dump(mode="json") | {"plan": plan})
        monkeypatch.setattr("tests.journals.MANIFEST", manifest)
        monkeypatch.setattr("tests.journals.SITES", SITES)
        author = Author(world)
        for site in SITES:
            author.accept_plan(site)
        author.do(OpenRound(0))
        author.do(Commit(0, MODEL))
        return author

    return begin


@pytest.fixture
def examined(world: World, tmp_path: Path) -> Examined:
    """Problems of each check, once the aggregator has forged its lines and sealed them again."""

    def examine(author: Author, forge: Forge = lambda _: None) -> dict[str, list[str]]:
        report = report_of(author, world, tmp_path, forge)
        return {check.name: check.problems for check in report.failed}

    return examine


def report_of(author: Author, world: World, folder: Path, forge: Forge) -> AuditReport:
    path = author.export(folder / "journal.jsonl")
    lines: Lines = [json.loads(line) for line in path.read_text().splitlines()]
    forge(lines)
    reseal(lines, author.aggregator)
    path.write_bytes(b"".join(canonical_json(line) + b"\n" for line in lines))
    return verify(path, world.authority.certificate)


def trained(author: Author, number: int, examples: Mapping[str, int]) -> None:
    """A round in which these sites answer, the whole of its cohort."""
    author.do(OpenRound(number))
    author.do(OpenExchange(number, 0, "train", author.journaled_run.run.model))
    for site, count in examples.items():
        author.answer_task(site, update=SENT, num_examples=count)
    exchange = author.journaled_run.run.last_exchange
    author.do(RecordAggregate(exchange, tuple(examples), sum(examples.values()), "e" * 64))
    author.do(Commit(number, LAST, {"loss": 0.5}))


def asked(author: Author) -> tuple[str, ...]:
    """Whom the plan draws for the next round."""
    run = author.journaled_run.run
    author.do(OpenRound(run.committed + 1))
    return author.journaled_run.run.cohort


class TestCohort:
    @pytest.mark.parametrize("fraction", [1.0, 0.75], ids=["all", "a part"])
    def test_the_cohorts_that_the_plan_draws_pass(
        self, planned: Planned, examined: Examined, fraction: float
    ) -> None:
        author = planned(rounds=2, cohort={"minimum": 3, "fraction": fraction})
        for number in (1, 2):
            trained(author, number, dict.fromkeys(asked(author), 5))
        author.do(Finish())

        assert examined(author) == {}

    @pytest.mark.parametrize("fraction", [1.0, 0.75], ids=["all", "a part"])
    def test_a_round_of_sites_that_the_aggregator_has_chosen_is_noticed(
        self, planned: Planned, examined: Examined, monkeypatch: pytest.MonkeyPatch, fraction: float
    ) -> None:
        author = planned(rounds=2, cohort={"minimum": 3, "fraction": fraction})
        trained(author, 1, dict.fromkeys(asked(author), 5))
        plan = author.journaled_run.run.plan
        *_, left_out = select(plan.cohort, plan.seed, 2, SITES)[0]
        chosen = tuple(site for site in SITES if site != left_out)
        with monkeypatch.context() as patch:
            patch.setattr("hanse.core.run.requests.rounds.select_cohort", lambda *_: (chosen, ()))
            trained(author, 2, dict.fromkeys(chosen, 5))
        author.do(Finish())

        (problem,) = examined(author)["history"]

        assert f"round 2 leaves out {left_out}" in problem
        assert "not what the plan's `cohort` and `seed` draw" in problem

    def test_a_sum_that_is_asked_of_a_part_of_the_cohort_is_noticed(
        self, planned: Planned, examined: Examined
    ) -> None:
        author = planned(rounds=1)
        author.do(OpenRound(1))
        author.do(OpenExchange(1, 0, "train", MODEL))

        def part(lines: Lines) -> None:
            next(line["body"] for line in lines if line.get("kind") == "ExchangeOpened")["cohort"].pop()

        (problem,) = examined(author, part)["history"]

        assert "'train' is not asked of the cohort of round 1" in problem

    def test_a_draw_from_a_part_of_the_sites_is_noticed(self, planned: Planned, examined: Examined) -> None:
        author = planned(rounds=1)
        author.do(OpenRound(1))

        def part(lines: Lines) -> None:
            [line["body"] for line in lines if line.get("kind") == "RoundOpened"][-1]["population"].pop()

        assert "draw from other sites" in examined(author, part)["history"][0]


class TestMeans:
    def evaluated(self, planned: Planned, accuracy: float) -> Author:
        """A round with a metric of a thousand million, in which this mean accuracy is committed."""
        metrics = {"discloses": {"metrics": ["accuracy", "voxels"]}}
        author = planned(
            rounds=1,
            tasks={
                "train": {"discloses": {"update": "individual", "metrics": ["loss"]}},
                "evaluate": metrics,
            },
        )
        author.do(OpenRound(1))
        author.do(OpenExchange(1, 0, "train", MODEL))
        for site in SITES:
            author.answer_task(site, update=SENT)
        author.do(RecordAggregate(1, SITES, 20, "e" * 64))
        author.do(OpenExchange(1, 1, "evaluate", LAST))
        for site in SITES:
            author.answer_task(site, metrics={"accuracy": 0.61, "voxels": 1e9})
        author.do(Commit(1, LAST, {"loss": 0.5, "accuracy": accuracy, "voxels": 1e9}))
        author.do(Finish())
        return author

    def test_the_mean_of_a_small_metric_beside_a_large_one_passes(
        self, planned: Planned, examined: Examined
    ) -> None:
        assert examined(self.evaluated(planned, 0.61)) == {}

    def test_a_forged_one_is_noticed(self, planned: Planned, examined: Examined) -> None:
        (problem,) = examined(self.evaluated(planned, 0.99))["results"]

        assert "accuracy is 0.61 by the accepted results, and 0.99 is committed" in problem


class TestStatementsLikeThoseOf01:
    @pytest.mark.parametrize("forgotten", [True, False], ids=["without the key", "null"])
    def test_an_outcome_without_a_record_of_the_sites_journal_exempts_nobody(
        self, planned: Planned, examined: Examined, forgotten: bool
    ) -> None:
        author = planned(rounds=1)
        trained(author, 1, {"athens": 5, "bremen": 5, "cork": 5, "delft": 5})
        author.do(Finish())

        def collude(lines: Lines) -> None:
            """Three sites had no examples, and one of them signs as 0.1 did."""
            for line in lines:
                body = line.get("body", {})
                if line.get("kind") == "UpdatesAggregated":
                    body["num_examples"] = 5
                elif line.get("kind") == "ExchangeClosed":
                    body["data"]["answered"] = 5
                if line.get("kind") != "UpdateAccepted" or body["site"] == "athens":
                    continue
                body["num_examples"] = 0
                said = body["statement"]["body"] | {"num_examples": 0}
                if body["site"] == "delft":
                    said["journal"] = None
                if body["site"] == "delft" and forgotten:
                    del said["journal"]
                statement = author.key(body["site"]).sign(TASK_RESULT, said)
                body["statement"] = statement.model_dump(mode="json")

        found = examined(author, collude)

        assert any("UpdatesAggregated of 'train' over 1 site" in problem for problem in found["limits"])
        assert "delft signed an outcome that says nothing of a record" in found["statements"][0]
