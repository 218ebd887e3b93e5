"""What the doctor finds of limits that settings ask for."""

from __future__ import annotations

import pytest

from hanse.config.settings import AggregatorSettings, Limits
from hanse.doctor.checks import Grade
from hanse.doctor.limits import check_connections


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
