"""How long and how fast a task trains."""

from typing import Any

import pytest

from hanse.core.values.update import Task
from hanse.errors import PlanError
from hanse.learners.schedule import LastBatch, Schedule, batch_sizes


def task(**settings: Any) -> Task:
    return Task("train", 1, 0, settings)


def test_without_settings_it_is_one_pass() -> None:
    assert Schedule.of(task()) == Schedule(epochs=1)


def test_epochs_are_whole_passes() -> None:
    assert list(Schedule(epochs=3).repeat(lambda: "ab")) == list("ababab")


def test_batches_cycle_over_the_data_and_stop_amid_a_pass() -> None:
    assert list(Schedule(batches=5).repeat(lambda: "ab")) == list("ababa")


def test_no_more_is_read_than_is_asked() -> None:
    source = iter("abc")

    assert list(Schedule(batches=3).repeat(lambda: source)) == list("abc")


@pytest.mark.parametrize("schedule", [Schedule(batches=5), Schedule(epochs=5)])
def test_data_without_a_batch_end_at_once(schedule: Schedule) -> None:
    assert list(schedule.repeat(lambda: [])) == []


@pytest.mark.parametrize(
    ("count", "last", "sizes"),
    [
        (9, "keep", [4, 4, 1]),
        (9, "drop", [4, 4]),
        (9, "merge", [4, 5]),
        (8, "merge", [4, 4]),
        (3, "drop", [3]),
        (0, "merge", []),
    ],
)
def test_the_last_batch_of_a_pass_is_kept_dropped_or_merged(
    count: int, last: LastBatch, sizes: list[int]
) -> None:
    assert batch_sizes(count, 4, last) == sizes


def test_an_unknown_setting_is_named_with_the_one_that_may_be_meant() -> None:
    with pytest.raises(PlanError, match=r"'epoch' .*did you mean 'epochs'\?\)\. It knows: epochs, lr\."):
        Schedule.of(task(epoch=3), known=("epochs", "lr"))


@pytest.mark.parametrize(
    "settings",
    [
        {"epochs": 0},
        {"epochs": 1.5},
        {"batches": True},
        {"batch_size": "8"},
        {"lr": 0},
        {"lr": float("nan")},
        {"last_batch": "skip"},
    ],
)
def test_a_setting_out_of_its_range_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(PlanError, match=f"task train: {next(iter(settings))} must be"):
        Schedule.of(task(**settings))
