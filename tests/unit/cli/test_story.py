"""A run told line by line."""

from __future__ import annotations

import pytest

from hanse.cli.story import MOST_SITES, Story, figure
from hanse.core.events import (
    Event,
    ExchangeOpened,
    PlanAnswered,
    RoundCommitted,
    RunFinished,
    SiteIdle,
    TaskFailed,
    UpdateAccepted,
)

MODEL = "a" * 64


def opened(exchange: int, task: str, sites: tuple[str, ...] = ("a", "b"), round_number: int = 1) -> Event:
    return ExchangeOpened(
        exchange=exchange,
        round_number=round_number,
        index=0,
        task=task,
        model=MODEL,
        cohort=sites,
        needed=1,
    )


def answered(exchange: int, site: str, **metrics: float) -> Event:
    return UpdateAccepted(exchange=exchange, site=site, num_examples=1, metrics=metrics, update=None)


def committed(round_number: int = 1, best: bool = False, **metrics: float) -> Event:
    return RoundCommitted(round_number=round_number, model=MODEL, metrics=metrics, best=best)


def lines(*events: Event) -> list[str]:
    story = Story()
    story.rounds = 9
    return [line for event in events for line in story.take(event)]


def test_a_round_is_a_row_with_the_means_and_each_sites_figures() -> None:
    told = lines(
        opened(1, "train"),
        answered(1, "a", loss=0.5, accuracy=0.75),
        answered(1, "b", loss=0.25),
        committed(loss=0.375, accuracy=0.75),
    )

    assert told == [
        "Means over the sites, and of each site loss/accuracy:",
        "round   loss  accuracy          a          b",
        "  1/9  0.375     0.750  0.50/0.75     0.25/-",
    ]


def test_what_is_measured_later_in_a_round_stands_before_what_was_measured_earlier() -> None:
    told = lines(
        opened(1, "train"),
        answered(1, "a", loss=0.5),
        opened(2, "evaluate"),
        answered(2, "a", loss=0.4),
        committed(loss=0.4),
    )

    assert told[-1] == "  1/9  0.400  0.40"


def test_the_heads_come_once() -> None:
    one_round = (opened(1, "train"), answered(1, "a", loss=0.5), committed(loss=0.5))

    assert len(lines(*one_round, *one_round)) == 4


def test_a_site_that_was_not_in_the_round_has_a_dash() -> None:
    story = lines(
        opened(1, "train"),
        answered(1, "a", loss=0.5),
        answered(1, "b", loss=0.5),
        committed(loss=0.5),
        opened(2, "train"),
        answered(2, "b", loss=0.5),
        committed(2, loss=0.5),
    )

    assert story[-1] == "  2/9  0.500     -  0.50"


def test_of_many_sites_only_the_range_is_told() -> None:
    sites = [f"site-{number}" for number in range(MOST_SITES + 1)]
    answers = (answered(1, site, loss=float(number)) for number, site in enumerate(sites))

    assert lines(opened(1, "train"), *answers, committed(loss=4.0)) == [
        "round   loss  loss of 9 sites",
        "  1/9  4.000   0.000 to 8.000",
    ]


def test_the_first_model_is_no_round() -> None:
    assert lines(committed(0)) == []


def test_the_best_round_so_far_is_marked() -> None:
    assert lines(committed(best=True, loss=1.0))[-1] == "  1/9  1.000  best so far"


def test_a_failed_task_tells_its_reason_and_the_end_of_its_log() -> None:
    failed = TaskFailed(exchange=1, site="a", reason="out of memory", log_tail="one\ntwo")

    assert lines(opened(1, "train"), failed) == [
        "round 1, train: a failed: out of memory",
        "  | one",
        "  | two",
    ]


def test_a_site_that_is_silent_is_named() -> None:
    idle = SiteIdle(exchange=1, site="a", silent_s=300.0)

    assert lines(opened(1, "train"), idle) == [
        "round 1, train: no sign of a for 300 s; it is no longer waited for"
    ]


def test_a_refusal_tells_its_reasons() -> None:
    refused = PlanAnswered(site="a", accepted=False, reasons=("no data", "too long"))

    assert lines(refused) == ["a refuses: no data; too long"]


def test_the_history_is_kept_as_json() -> None:
    story = Story()
    for event in (opened(1, "train"), answered(1, "a", loss=0.5), committed(loss=0.5)):
        story.take(event)

    assert story.history == [
        {"round": 1, "metrics": {"loss": 0.5}, "sites": {"a": {"loss": 0.5}}, "exchanges": []}
    ]


def test_a_run_that_is_watched_from_its_middle_is_told_as_far_as_it_is_known() -> None:
    assert lines(TaskFailed(exchange=7, site="a", reason="no")) == ["exchange 7: a failed: no"]
    assert lines(RunFinished(rounds=3, model=MODEL, best_round=2)) == [
        "finished after 3 rounds; the best was round 2"
    ]


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0.000"), (0.12345, "0.123"), (12345.6, "1.23e+04"), (1e-7, "1e-07")]
)
def test_figures_are_short(value: float, text: str) -> None:
    assert figure(value) == text
