"""A run told line by line."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.core.plan.plans import manifest

from hanse.control.timeline import MOST_SITES, Timeline, figure
from hanse.core.run.events import Event
from hanse.core.run.round_events import (
    Data,
    ExchangeClosed,
    ExchangeOpened,
    ResultRefused,
    RoundCommitted,
    SiteIdle,
    TaskFailed,
    UpdateAccepted,
)
from hanse.core.run.run_events import PlanAnswered, RunFinished, RunStarted, RunSubmitted
from hanse.core.run.site_events import SiteReinstated, SiteSuspended, SuspensionWaived
from hanse.core.values.model_ref import ModelRef

MODEL = ModelRef("a" * 64)


def opened(
    exchange: int, task: str, sites: tuple[str, ...] = ("a", "b"), round_number: int = 1, needed: int = 1
) -> Event:
    return ExchangeOpened(
        exchange=exchange,
        round_number=round_number,
        index=0,
        task=task,
        model=MODEL,
        cohort=sites,
        needed=needed,
    )


def answered(exchange: int, site: str, **metrics: float) -> Event:
    return UpdateAccepted(exchange=exchange, site=site, num_examples=1, metrics=metrics, update=None)


def committed(round_number: int = 1, best: bool = False, **metrics: float) -> Event:
    return RoundCommitted(round_number=round_number, model=MODEL, metrics=metrics, best=best)


def lines(*events: Event) -> list[str]:
    story = Timeline()
    story.rounds = 9
    return [line for event in events for line in story.lines_for(event)]


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


@pytest.mark.parametrize(
    ("workflow", "line"),
    [
        ("fedavg", ["(loss: of each site's own model, as trained and before averaging)"]),
        ("model:own", []),  # what a plan's own workflow does between two tasks is not known
    ],
)
def test_metrics_of_models_before_averaging_are_told_apart(workflow: str, line: list[str]) -> None:
    submitted = RunSubmitted(
        run_id="chest-xray-1",
        manifest=manifest(workflow=workflow),
        plan_digest="d" * 64,
        submitted_by="ann",
        invited=("a",),
    )
    told = lines(
        submitted,
        opened(1, "train"),
        answered(1, "a", loss=0.5, accuracy=0.7),
        opened(2, "evaluate"),
        answered(2, "a", accuracy=0.8),
        committed(loss=0.5, accuracy=0.8),
    )

    assert [said for said in told if "before averaging" in said] == line


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


def failed(exchange: int, site: str) -> TaskFailed:
    log = "Traceback\nline 3\nValueError: no"
    return TaskFailed(exchange=exchange, site=site, reason="train failed: ValueError: no", log_tail=log)


def test_a_failure_that_several_sites_have_is_told_once() -> None:
    told = lines(opened(1, "train"), failed(1, "a"), failed(1, "b"))

    assert told == [
        "round 1, train: a failed: train failed: ValueError: no",
        "  | Traceback",
        "  | line 3",
        "round 1, train: b failed in the same way",
    ]


def test_a_failure_of_an_earlier_round_is_told_without_its_trace() -> None:
    told = lines(opened(1, "train"), failed(1, "a"), opened(2, "train", round_number=2), failed(2, "a"))

    assert told[3:] == ["round 2, train: a failed: train failed: ValueError: no"]


def test_a_site_that_is_silent_is_named() -> None:
    idle = SiteIdle(exchange=1, site="a", silent_s=300.0)

    assert lines(opened(1, "train"), idle) == [
        "round 1, train: no sign of a for 300 s; the round waits for the others only"
    ]


def test_a_silent_site_whose_answer_is_needed_says_what_will_happen() -> None:
    told = lines(
        opened(1, "train", ("a", "b", "c"), needed=2),
        SiteIdle(exchange=1, site="a", silent_s=300.0),
        answered(1, "b"),
        SiteIdle(exchange=1, site="c", silent_s=300.0),
    )

    assert told == [
        "round 1, train: no sign of a for 300 s; the round waits for the others only",
        "round 1, train: no sign of c for 300 s; too few can answer without the silent sites: the round "
        "waits for them until its deadline, and fails then",
    ]


def test_a_site_that_was_silent_in_the_round_before_is_not_counted_on() -> None:
    told = lines(
        opened(1, "train"),
        SiteIdle(exchange=1, site="a", silent_s=300.0),
        answered(1, "b"),
        opened(2, "train", needed=2),
        SiteIdle(exchange=2, site="b", silent_s=300.0),
    )

    assert told[-1].endswith("fails then")


def test_a_run_that_begins_without_absent_sites_names_them() -> None:
    assert lines(RunStarted(population=("a", "b"), absent=("c",))) == [
        "the run begins with a, b; c, which has not been connected, may join later"
    ]


def test_a_refusal_tells_its_reasons() -> None:
    refused = PlanAnswered(site="a", accepted=False, reasons=("no data", "too long"))

    assert lines(refused) == ["a refuses: no data; too long"]


def test_the_history_is_kept_as_json() -> None:
    story = Timeline()
    for event in (opened(1, "train"), answered(1, "a", loss=0.5), committed(loss=0.5)):
        story.lines_for(event)

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


def closed(exchange: int, data: Data | None, **changes: Any) -> Event:
    told: dict[str, Any] = {"answered": ("a",), "failed": (), "missing": ("b",), "idle": ("b",)}
    return ExchangeClosed(exchange=exchange, cause="idle", data=data, **(told | changes))


LITTLE = Data(answered=60, missing=40, tolerated=0.2)
ENOUGH = Data(answered=60, missing=40, tolerated=0.5)


def test_too_little_data_is_a_warning() -> None:
    assert lines(opened(1, "train"), closed(1, LITTLE)) == [
        "warning: round 1, train: b (silent), 40 % of the data known so far, is not in it; the plan "
        "tolerates 20 %"
    ]


def test_whoever_is_missing_is_told_though_the_plan_tolerates_it() -> None:
    assert lines(opened(1, "train"), closed(1, ENOUGH)) == [
        "round 1, train: b (silent), 40 % of the data known so far, is not in it"
    ]


@pytest.mark.parametrize(
    "quiet",
    [
        closed(1, ENOUGH, missing=(), idle=(), suspended=("b",)),
        closed(1, Data(answered=60, missing=0, tolerated=0.5), missing=(), idle=()),
        closed(1, None),
    ],
)
def test_of_what_is_known_already_or_cannot_be_known_nothing_is_told(quiet: Event) -> None:
    assert lines(opened(1, "train"), quiet) == []


def test_the_history_has_who_took_part_and_who_was_late_after_all() -> None:
    story = Timeline()
    late = ResultRefused(exchange=1, site="b", error="late", reason="over", round_number=1, num_examples=40)
    for event in (opened(1, "train"), answered(1, "a"), closed(1, LITTLE), committed(), late):
        story.lines_for(event)

    (told,) = story.history[0]["exchanges"]
    assert (told["asked"], told["answered"], told["idle"]) == (["a", "b"], ["a"], ["b"])
    assert told["late"] == {"b": 40}


def test_a_late_answer_is_told_under_its_round() -> None:
    late = ResultRefused(exchange=1, site="b", error="late", reason="over", round_number=1, num_examples=40)

    assert lines(opened(1, "train"), late) == [
        "round 1, train: b answered after the close; its 40 examples are not in it"
    ]


def test_the_end_says_in_which_rounds_too_little_data_was() -> None:
    story = lines(
        opened(1, "train"),
        closed(1, LITTLE),
        opened(2, "evaluate"),
        closed(2, LITTLE),
        opened(3, "train", round_number=2),
        closed(3, LITTLE),
        RunFinished(rounds=3, model=MODEL),
    )

    assert story[-1] == "warning: in rounds 1 and 2, more data was missing than the plan tolerates"


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (
            SiteSuspended(site="b", round_number=3, reason="it failed in 3 rounds"),
            "warning: b is suspended: it failed in 3 rounds",
        ),
        (
            SuspensionWaived(site="b", round_number=3, reason="it failed; without it 1 would be left"),
            "warning: b is asked on: it failed; without it 1 would be left",
        ),
        (SiteReinstated(site="b", reason="its rest is over"), "b is reinstated: its rest is over"),
        (
            SiteReinstated(site="b", by="ada", reason="reinstated by an operator"),
            "b is reinstated by ada; it is asked from the next round on",
        ),
    ],
)
def test_sites_that_are_set_aside_and_taken_back_are_named(event: Event, told: str) -> None:
    assert lines(event) == [told]


FINISHED = RunFinished(rounds=3, model=MODEL)


def test_rounds_that_asked_nothing_are_told_in_one_line() -> None:
    told = lines(opened(1, "fit"), committed(1), committed(2), committed(3), FINISHED)

    assert told == ["round", "  1/9", "rounds 2 to 3 asked nothing", "finished after 3 rounds"]


def test_a_round_that_asked_and_has_no_metric_is_a_row() -> None:
    assert lines(opened(1, "fit"), committed(1), opened(2, "fit"), committed(2))[1:] == ["  1/9", "  2/9"]
