"""What the doctor finds of limits that settings ask for."""

from __future__ import annotations

import pytest

from hanse.config.settings import AggregatorSettings, Limits, Worker
from hanse.doctor.checks import Grade
from hanse.doctor.limits import check_connections, check_worker_limits, check_worker_settings
from hanse.sandbox.confine import Confined


@pytest.mark.parametrize(
    ("files", "grade", "detail"),
    [
        (1_024, Grade.WARN, "permits 2000 connections, and this process may open 1024 files"),
        (524_288, Grade.OK, "2000 at a time"),
    ],
)
def test_connections_are_held_against_the_files_that_may_be_open(
    files: int, grade: Grade, detail: str
) -> None:
    settings = AggregatorSettings(
        federation="north",
        url="https://localhost:8443",
        hosts=("localhost",),
        limits=Limits(connections=2_000),
    )

    (finding,) = check_connections(settings, files)

    assert finding.grade is grade
    assert detail in finding.detail
    assert ("LimitNOFILE=" in finding.mend) == (grade is Grade.WARN)


@pytest.mark.parametrize(("watched", "grade"), [((), Grade.OK), (("memory is watched",), Grade.WARN)])
def test_limits_that_are_only_watched_are_named(watched: tuple[str, ...], grade: Grade) -> None:
    confined = Confined(("cgroup",), files=True, network=True, processes=True, gaps=(), watched=watched)

    (finding,) = check_worker_limits(confined)

    assert finding.grade is grade
    assert all(limit in finding.detail for limit in watched)
    assert ("Delegate=memory pids" in finding.mend) == (grade is Grade.WARN)


@pytest.mark.parametrize(("memory", "grade"), [(None, Grade.WARN), (8 * 10**9, Grade.OK)])
def test_plan_code_without_a_limit_on_memory_is_named(memory: int | None, grade: Grade) -> None:
    (finding,) = check_worker_settings(Worker(memory=memory))

    assert finding.grade is grade
    assert ("8GB" in finding.detail) == (grade is Grade.OK)
