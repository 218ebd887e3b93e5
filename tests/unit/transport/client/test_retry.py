from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.errors import CredentialError, HanseError, TransportError, VersionError
from hanse.transport.client.retry import Retry, retrying

Run = Callable[[Any], Any]


class Flaky:
    """Fails so many times, then gives its own number of calls."""

    def __init__(self, failures: int, error: type[HanseError] = TransportError) -> None:
        self.failures = failures
        self.error = error
        self.calls = 0

    async def __call__(self) -> int:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error(f"failure {self.calls}")
        return self.calls


def retry(waits: list[float], uniform: float = 1.0, **options: Any) -> Retry:
    async def sleep(delay_s: float) -> None:
        waits.append(delay_s)

    return Retry(sleep=sleep, uniform=lambda: uniform, **options)


def test_what_works_is_called_once(run: Run) -> None:
    waits: list[float] = []

    assert run(retrying(Flaky(0), retry(waits))) == 1
    assert waits == []


def test_the_longest_wait_doubles_up_to_a_limit(run: Run) -> None:
    waits: list[float] = []

    assert run(retrying(Flaky(6), retry(waits, first_s=1, longest_s=10))) == 7
    assert waits == [1, 2, 4, 8, 10, 10]


def test_an_upgrade_is_waited_for_where_that_is_wanted(run: Run) -> None:
    waits: list[float] = []
    flaky = Flaky(2, VersionError)

    assert run(retrying(flaky, retry(waits, uniform=0.5, upgrade_s=60.0))) == 3
    assert waits == [45.0, 45.0]


def test_an_upgrade_is_not_waited_for_where_it_is_not(run: Run) -> None:
    waits: list[float] = []

    with pytest.raises(VersionError, match="failure 1"):
        run(retrying(Flaky(2, VersionError), retry(waits)))

    assert waits == []


def test_the_wait_is_a_part_of_the_longest_left_to_chance(run: Run) -> None:
    waits: list[float] = []

    run(retrying(Flaky(3), retry(waits, uniform=0.25, first_s=1, longest_s=10)))

    assert waits == [0.25, 0.5, 1]


def test_the_last_of_the_tries_allowed_raises_what_it_met(run: Run) -> None:
    waits: list[float] = []

    with pytest.raises(TransportError, match="failure 3"):
        run(retrying(Flaky(9), retry(waits, attempts=3)))

    assert len(waits) == 2


def test_what_will_not_pass_is_not_tried_again(run: Run) -> None:
    flaky = Flaky(1, CredentialError)

    with pytest.raises(CredentialError):
        run(retrying(flaky, retry([])))

    assert flaky.calls == 1


def test_whoever_waits_is_told_why_and_for_how_long_before(run: Run) -> None:
    told: list[tuple[str, int, float]] = []
    waits: list[float] = []

    def on_retry(error: TransportError, attempt: int, delay_s: float) -> None:
        told.append((str(error), attempt, delay_s))
        assert len(waits) == attempt - 1

    run(retrying(Flaky(2), retry(waits, first_s=1, on_retry=on_retry)))

    assert told == [("failure 1", 1, 1), ("failure 2", 2, 2)]


@given(st.integers(1, 5_000))
def test_waits_stay_bounded_however_long_it_takes(failures: int) -> None:
    waits: list[float] = []
    flaky = Flaky(failures)
    calling = retrying(flaky, retry(waits, longest_s=30))

    with pytest.raises(StopIteration):  # nothing in it waits for real
        calling.send(None)

    assert flaky.calls == failures + 1
    assert max(waits) <= 30


def test_trying_ends_when_the_time_for_it_is_over(run: Run) -> None:
    waits: list[float] = []

    with pytest.raises(TransportError, match="failure 3"):
        run(retrying(Flaky(9), retry(waits, first_s=4, give_up_s=10, clock=lambda: sum(waits))))
    assert waits == [4, 6]  # and the last wait no longer than what is left


def test_time_that_worked_does_not_count_as_trying(run: Run) -> None:
    waits: list[float] = []

    assert run(retrying(Flaky(1), retry(waits, give_up_s=10, clock=lambda: 100.0))) == 2
