"""Counts of the exchanges of which a site has released something."""

from __future__ import annotations

from dataclasses import replace

from hanse.core.journal.exchange_counts import AskedExchange, ExchangeCounts
from hanse.core.journal.site_history import asked_by
from hanse.core.journal.site_records import ResultReleased

FIRST = AskedExchange("demo-1", "1" * 64, exchange=1, round_number=1, task="train", model="a" * 64)


def counted(*asked: AskedExchange) -> ExchangeCounts:
    counts = ExchangeCounts()
    for each in asked:
        counts.add(each)
    return counts


def test_nothing_is_counted_before_something_is_released() -> None:
    counts = counted()

    assert (counts.before_in_round(FIRST), counts.before_in_run(FIRST)) == (0, 0)
    assert not counts.has("demo-1", "1" * 64, 1)


def test_an_exchange_counts_once_however_often_something_is_released() -> None:
    second = replace(FIRST, exchange=2)
    counts = counted(FIRST, FIRST, FIRST)

    assert (counts.before_in_round(second), counts.before_in_run(second)) == (1, 1)


def test_an_exchange_that_was_counted_has_the_place_that_it_had() -> None:
    second = replace(FIRST, exchange=2)
    counts = counted(FIRST, second)

    assert (counts.before_in_round(FIRST), counts.before_in_run(FIRST)) == (0, 0)
    assert (counts.before_in_round(second), counts.before_in_run(second)) == (1, 1)


def test_rounds_tasks_plans_and_runs_count_by_themselves() -> None:
    counts = counted(FIRST)

    later = replace(FIRST, exchange=2, round_number=2)
    assert (counts.before_in_round(later), counts.before_in_run(later)) == (0, 1)
    for other in (
        replace(FIRST, exchange=2, task="evaluate"),
        replace(FIRST, exchange=2, plan_digest="2" * 64),
        replace(FIRST, exchange=2, run_id="demo-2"),
    ):
        assert (counts.before_in_round(other), counts.before_in_run(other)) == (0, 0)


def test_an_exchange_that_asks_for_something_else_is_another() -> None:
    counts = counted(FIRST)

    assert not counts.is_another(FIRST)
    for other in (
        replace(FIRST, model="b" * 64),
        replace(FIRST, model=None),
        replace(FIRST, task="evaluate"),
        replace(FIRST, round_number=2),
    ):
        assert counts.is_another(other)
    assert not counts.is_another(replace(FIRST, exchange=2, task="evaluate"))


def test_an_exchange_with_other_groups_or_settings_asks_something_else() -> None:
    record = ResultReleased(
        run_id="demo-1",
        plan_digest="0" * 64,
        exchange=3,
        round_number=1,
        task="train",
        model=None,
        num_examples=1,
        groups={"control": "a" * 64},
        settings={"lr": 0.5},
        cells=("north",),
    )
    counts = ExchangeCounts()
    counts.add(asked_by(record))

    assert not counts.is_another(asked_by(record))
    for changes in ({"groups": {}}, {"settings": {"lr": 0.4}}, {"cells": None}):
        assert counts.is_another(asked_by(record.model_copy(update=changes)))
