import resource
import subprocess
import sys
from typing import Any

import pytest

from hanse.transport.server.open_files import most_files, raise_limit, room_under, too_few_files

RAISE = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({0}, {1}))
from hanse.transport.server.open_files import raise_limit
print(raise_limit(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def raised(soft: int, hard: int) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", RAISE.format(soft, hard)], capture_output=True, text=True, check=True
    )
    return ran.stdout.strip()


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    assert raised(256, 900) == "900 900"


def test_a_limit_that_cannot_be_raised_stays() -> None:
    assert raised(700, 700) == "700 700"


def test_where_there_is_no_hard_limit_as_much_as_the_system_takes_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def setrlimit(_: int, limits: tuple[int, int]) -> None:
        asked.append(limits[0])
        if limits[0] > 10_240:
            raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", setrlimit)

    assert raise_limit() == 10_240
    assert asked == [1 << 20, 1 << 16, 10_240]
    assert most_files() == 1 << 20


def test_no_limit_at_all_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def setrlimit(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", setrlimit)

    assert raise_limit() == 1 << 20


@pytest.mark.parametrize("files", [74, 256, 1_024, 4_096, 1 << 20])
def test_what_a_limit_leaves_room_for_fits_under_it(files: int) -> None:
    room = room_under(files)

    assert room.connections > 0
    assert room.strangers > 0
    assert room.connections + room.strangers <= files - 64


def test_a_limit_too_low_to_serve_leaves_room_for_nobody() -> None:
    assert room_under(64).connections == 0


def test_the_usual_limits_have_room_for_members() -> None:
    assert room_under(1_024).connections == 768
    assert room_under(524_288).connections > 500_000


def test_too_few_files_are_told_with_both_numbers() -> None:
    told = too_few_files(2_000, room_under(1_024))

    assert "2000 connections" in told
    assert "1024 files" in told
    assert "room for 768" in told
