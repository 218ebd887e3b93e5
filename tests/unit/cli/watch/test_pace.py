"""How far a run is, and about how long the rest takes."""

from __future__ import annotations

import pytest

from hanse.cli.watch.pace import Pace, about
from hanse.core.plan.manifest import CodeFile, Manifest
from hanse.core.plan.plan import Plan
from hanse.core.run.round_events import ExchangeClosed, ExchangeOpened, RoundCommitted, UpdateAccepted
from hanse.core.run.run_events import RunStarted, RunSubmitted

DIGEST = "a" * 64
SITES = ("a", "b", "c", "d")


def started(rounds: int = 4, *, in_turn: bool = False) -> Pace:
    plan = Plan.model_validate(
        {
            "name": "p",
            "code": ["a.py"],
            "script": "a.py",
            "rounds": rounds,
            "tasks": {"train": {"discloses": {"update": "individual"}}},
        }
    )
    manifest = Manifest(plan=plan, files=(CodeFile(path="a.py", sha256="0" * 64, size=1),))
    pace = Pace(in_turn=in_turn)
    submitted = RunSubmitted(
        run_id="p-1", manifest=manifest, plan_digest=DIGEST, submitted_by="operator", invited=SITES
    )
    pace.take(submitted, 0)
    pace.take(RunStarted(population=SITES), 0)
    return pace


def opened(number: int) -> ExchangeOpened:
    return ExchangeOpened(
        exchange=number, round_number=number, index=0, task="train", model=DIGEST, cohort=SITES, needed=4
    )


def answered(number: int, site: str) -> UpdateAccepted:
    return UpdateAccepted(exchange=number, site=site, num_examples=1, metrics={}, update=None)


def closed(number: int) -> ExchangeClosed:
    return ExchangeClosed(exchange=number, cause="all", answered=SITES, failed=(), missing=())


def committed(number: int) -> RoundCommitted:
    return RoundCommitted(round_number=number, model=DIGEST, metrics={})


def test_the_open_round_counts_by_the_sites_that_have_answered() -> None:
    pace = started()
    pace.take(opened(1), 0)
    assert (pace.round, pace.describe(), pace.done(5)) == (1, "train: 0 of 4 sites", 0.0)

    pace.take(answered(1, "a"), 10)

    assert (pace.describe(), pace.done(10)) == ("train: 1 of 4 sites", 0.25)


def test_where_sites_work_in_turn_the_first_answer_says_how_long_the_run_takes() -> None:
    pace = started(in_turn=True)
    pace.take(opened(1), 0)
    pace.take(answered(1, "a"), 10)

    assert pace.left_s(10) == pytest.approx(4 * 40 - 10)
    assert pace.left_s(15) == pytest.approx(4 * 40 - 15)


def test_where_sites_work_at_the_same_time_the_first_round_does() -> None:
    pace = started()
    pace.take(opened(1), 0)
    pace.take(answered(1, "a"), 10)
    assert pace.left_s(10) is None

    pace.take(closed(1), 20)
    pace.take(committed(1), 20)

    assert pace.left_s(20) == pytest.approx(3 * 20)


def test_time_passes_within_a_round_that_has_no_answer_yet() -> None:
    pace = started()
    pace.take(opened(1), 0)
    pace.take(committed(1), 20)
    pace.take(opened(2), 20)

    assert pace.done(30) == pytest.approx(1.5)
    assert pace.left_s(30) == pytest.approx(50)
    assert pace.done(1000) < 2


def test_the_duration_of_a_round_is_that_of_recent_ones() -> None:
    pace = started(rounds=20)
    for number in range(1, 11):
        pace.take(opened(number), 0)
        pace.take(committed(number), 100 * number if number <= 5 else 500 + 10 * (number - 5))

    assert pace.left_s(550) == pytest.approx(10 * 10)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.2, "about 1 s"),
        (45, "about 45 s"),
        (720, "about 12 min"),
        (12_600, "about 3.5 h"),
        (400_000, "about 5 days"),
    ],
)
def test_a_duration_has_few_figures(seconds: float, told: str) -> None:
    assert about(seconds) == told
