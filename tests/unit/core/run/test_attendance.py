"""Who took part in each exchange, and with how much data."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.replays import replay
from tests.unit.core.run.runs import MODEL, UPDATE, Driver

from hanse.core.run.attendance import MOST_KEPT
from hanse.core.run.events import Event, event_body, read_event
from hanse.core.run.lifecycle import Invite, Leave, Stop
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound, OpenStream
from hanse.core.run.round_events import Data, ExchangeClosed, ResultRefused
from hanse.core.run.tasks import AcceptResult, FailTask, RefuseResult
from hanse.core.run.timing import Tick

HALF = {"deadline": 100, "idle_limit": 1000, "quorum": 0.5}


def accept(driver: Driver, exchange: int, **examples: int) -> None:
    for site, count in examples.items():
        driver.do(AcceptResult(exchange, site, count, {}, UPDATE))


def first_round(
    sites: str = "abc", cohort: dict[str, Any] | None = None, exchanges: int = 1, **examples: int
) -> Driver:
    """A run whose first round is committed, in which each of these sites has so many examples."""
    train = {"exchanges": exchanges, "discloses": {"update": "individual"}}
    rules = HALF | (cohort or {})
    driver = Driver(sites, cohort=rules, rounds=100, tasks={"train": train, "evaluate": {}}).asked()
    accept(driver, 1, **examples)
    if driver.state.open_exchanges():
        driver.do(Tick(), after_s=100)
    driver.do(Commit(1, MODEL))
    return driver


def ask(driver: Driver, number: int) -> int:
    driver.do(OpenRound(number))
    driver.do(OpenExchange(number, 0, "train", MODEL))
    return driver.state.last_exchange


def closed(driver: Driver) -> ExchangeClosed:
    """The exchange that closed last."""
    return [event for event, _ in driver.history if isinstance(event, ExchangeClosed)][-1]


def late(site: str, exchange: int = 1, examples: int | None = 40) -> RefuseResult:
    return RefuseResult(exchange, site, "late", "exchange 1 is over", examples)


class TestClose:
    def test_it_says_how_much_data_answered(self) -> None:
        driver = first_round(a=10, b=20, c=30)

        assert closed(driver).data == Data(answered=60, missing=0, unknown=(), tolerated=0.5)

    def test_it_says_who_had_fallen_silent(self) -> None:
        driver = Driver("abc", cohort=HALF | {"idle_limit": 30}).asked()
        driver.accept("a")
        driver.accept("b")
        driver.do(Tick(), after_s=30)

        assert (closed(driver).missing, closed(driver).idle) == (("c",), ("c",))

    def test_what_is_missing_is_what_the_sites_said_when_they_last_answered(self) -> None:
        driver = first_round(cohort={"quorum": 0.3}, a=10, b=20, c=30)
        exchange = ask(driver, 2)
        driver.do(FailTask(exchange, "b", "out of memory"))
        accept(driver, exchange, a=10)
        driver.do(Tick(), after_s=100)

        assert closed(driver).data == Data(answered=10, missing=50, unknown=(), tolerated=0.7)

    def test_what_a_site_has_is_not_invented_before_it_has_answered(self) -> None:
        driver = first_round(a=10, b=20)

        assert closed(driver).data == Data(answered=30, missing=0, unknown=("c",), tolerated=0.5)

    def test_another_task_tells_nothing_of_this_one(self) -> None:
        driver = Driver("ab", cohort=HALF).asked()
        accept(driver, 1, a=10, b=20)
        driver.do(OpenExchange(1, 1, "evaluate", MODEL))
        accept(driver, 2, a=3)
        driver.do(Tick(), after_s=100)

        assert closed(driver).data == Data(answered=3, missing=0, unknown=("b",), tolerated=0.5)

    def test_a_site_that_comes_back_with_another_key_has_to_say_anew_what_it_has(self) -> None:
        driver = first_round(a=10, b=20, c=30)
        driver.do(Leave("c", "removed"))
        driver.do(Invite("c"))

        assert driver.state.attendance.known == {"train": {"a": 10, "b": 20}}

    @pytest.mark.parametrize(
        ("rules", "tolerated"),
        [({"quorum": 0.8}, 0.2), ({"quorum": 0.8, "tolerated_missing": 0.05}, 0.05), ({"quorum": 1.0}, 0.0)],
    )
    def test_the_plan_tolerates_what_it_says_or_what_its_quorum_leaves_out(
        self, rules: dict[str, float], tolerated: float
    ) -> None:
        data = closed(first_round(cohort=rules, a=1, b=1, c=1)).data

        assert data is not None
        assert data.tolerated == tolerated

    def test_a_stream_has_no_cohort_of_which_something_could_be_missing(self) -> None:
        driver = Driver("ab", cohort=HALF).in_round()
        driver.do(Commit(1, MODEL))
        driver.do(OpenStream("train", MODEL))
        driver.do(FailTask(1, "a", "no"))

        data = closed(driver).data
        assert data is not None
        assert (data.tolerated, data.too_little) == (None, False)

    @given(st.lists(st.integers(0, 10**12), min_size=4, max_size=4), st.sets(st.sampled_from("abcd")))
    def test_what_answers_and_what_is_missing_are_together_what_is_known(
        self, examples: list[int], absent: set[str]
    ) -> None:
        sizes = dict(zip("abcd", examples, strict=True))
        driver = first_round("abcd", cohort={"quorum": 0.01}, **sizes)
        exchange = ask(driver, 2)
        for site in absent:
            driver.do(FailTask(exchange, site, "no"))
        if absent != set("abcd"):
            accept(driver, exchange, **{site: sizes[site] for site in sizes if site not in absent})

            data = closed(driver).data
            assert data is not None
            assert data.answered + data.missing == sum(examples)
            assert 0 <= data.share <= 1


class TestWarning:
    def test_more_than_the_plan_tolerates_is_too_little(self) -> None:
        driver = first_round(cohort={"tolerated_missing": 0.3}, a=10, b=58, c=32)
        exchange = ask(driver, 2)
        driver.do(FailTask(exchange, "c", "no"))
        accept(driver, exchange, a=10, b=58)

        assert driver.state.attendance.closed[exchange].too_little
        assert driver.state.attendance.short_rounds == 1

    def test_as_much_as_the_plan_tolerates_is_no_warning(self) -> None:
        driver = first_round(cohort={"quorum": 0.6, "tolerated_missing": 0.3}, a=10, b=60, c=30)
        exchange = ask(driver, 2)
        driver.do(FailTask(exchange, "c", "no"))
        accept(driver, exchange, a=10, b=60)

        assert not driver.state.attendance.closed[exchange].too_little
        assert driver.state.attendance.short_rounds == 0

    def test_a_round_with_two_such_exchanges_counts_once(self) -> None:
        driver = first_round(cohort={"tolerated_missing": 0.1}, exchanges=2, a=10, b=10, c=10)
        for index in range(2):
            driver.do(OpenRound(2))
            driver.do(OpenExchange(2, index, "train", MODEL))
            driver.do(FailTask(2 + index, "c", "no"))
            accept(driver, 2 + index, a=10, b=10)

        assert driver.state.attendance.short_rounds == 1


class TestLate:
    def test_an_answer_after_the_close_counts_to_its_round_and_site(self) -> None:
        driver = first_round(a=10, b=20)

        driver.do(late("c"))

        event = driver.history[-1][0]
        assert isinstance(event, ResultRefused)
        assert (event.round_number, event.site, event.num_examples) == (1, "c", 40)
        assert driver.state.attendance.closed[1].late == {"c": 40}
        assert driver.state.attendance.closed[1].data == Data(
            answered=30, missing=0, unknown=("c",), tolerated=0.5
        )

    def test_it_tells_how_much_data_the_site_has(self) -> None:
        driver = first_round(a=10, b=20)
        driver.do(late("c"))

        assert driver.state.attendance.known["train"]["c"] == 40

    @pytest.mark.parametrize(
        "refused",
        [
            late("a"),
            late("z"),
            late("c", exchange=7),
            late("c", examples=None),
            late("c", examples=-1),
        ],
    )
    def test_any_other_result_that_is_refused_is_none(self, refused: RefuseResult) -> None:
        driver = first_round(a=10, b=20)
        before = driver.state.attendance

        driver.do(refused)

        assert driver.state.attendance == before

    def test_the_same_answer_again_does_not_count_again(self) -> None:
        driver = first_round(a=10, b=20)
        driver.do(late("c"))
        driver.do(late("c", examples=99))

        assert driver.state.attendance.closed[1].late == {"c": 40}

    def test_a_run_that_is_over_still_notes_it(self) -> None:
        driver = first_round(a=10, b=20)
        driver.do(Stop("operator"))

        assert driver.do(late("c")) == ["ResultRefused"]
        assert driver.state.attendance.closed[1].late == {"c": 40}

    def test_a_run_remembers_the_last_exchanges_only(self) -> None:
        driver = first_round(a=10, b=20, c=30)
        for number in range(2, MOST_KEPT + 3):
            exchange = ask(driver, number)
            accept(driver, exchange, a=10, b=20, c=30)
            driver.do(Commit(number, MODEL))

        assert sorted(driver.state.attendance.closed) == list(range(3, MOST_KEPT + 3))


class TestOldJournals:
    def test_a_journal_from_before_replays_without_the_figures(self) -> None:
        driver = first_round(a=10, b=20)
        driver.do(late("c"))

        run = replay([(_as_before(event), time_ms) for event, time_ms in driver.history])

        assert run is not None
        found = run.attendance.closed[1]
        assert (found.answered, found.unanswered, found.data, found.late) == (("a", "b"), ("c",), None, {})
        assert run.attendance.known == {"train": {"a": 10, "b": 20}}


def _as_before(event: Event) -> Event:
    """An event with what earlier versions knew of it."""
    new = {"idle", "suspended", "data", "round_number", "num_examples"}
    kept = event_body(event)
    if isinstance(event, ExchangeClosed | ResultRefused) or event.kind == "RoundOpened":
        kept = {name: value for name, value in kept.items() if name not in new or name == "round_number"}
    if isinstance(event, ResultRefused):
        del kept["round_number"]
    return read_event(event.kind, kept)
