"""When a run looks at the clock again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from tests.thorough import examples
from tests.unit.core.run.commands import COHORT, HISTORIES, SITES
from tests.unit.core.run.runs import Driver

from hanse.aggregator.run import alarm as alarms
from hanse.aggregator.run.alarm import Alarm
from hanse.core.run.decide import Command
from hanse.core.run.tasks import StartTask
from hanse.core.run.timing import Tick, next_wakeup_ms
from hanse.errors import HanseError


@settings(max_examples=examples(200), deadline=None)
@given(HISTORIES)
def test_it_is_never_later_than_a_look_at_all_sites_says(history: list[tuple[Command, int]]) -> None:
    driver, alarm, progress = (
        Driver(SITES, cohort=COHORT, rounds=3).asked(),
        Alarm(),
        dict[tuple[int, str], int](),
    )
    for command, after_s in history:
        driver.now_ms += after_s * 1000
        if isinstance(command, StartTask):
            progress[command.exchange, command.site] = driver.now_ms
        try:
            driver.do(Tick(dict(progress)) if isinstance(command, Tick) else command)
        except HanseError:
            continue
        exact_ms = next_wakeup_ms(driver.state, Tick(progress))
        found_ms = alarm.next_ms(driver.state, Tick(progress), driver.now_ms)
        assert exact_ms is None or (found_ms is not None and found_ms <= exact_ms)


def test_a_round_of_many_answers_takes_one_look_at_all_sites(monkeypatch: pytest.MonkeyPatch) -> None:
    looks, look = [], next_wakeup_ms
    monkeypatch.setattr(alarms, "next_wakeup_ms", lambda run, tick: looks.append(run) or look(run, tick))
    sites = [f"site-{number:03}" for number in range(100)]
    driver, alarm = Driver(sites).asked(), Alarm()

    for site in sites[1:]:
        driver.accept(site)
        alarm.next_ms(driver.state, Tick(), driver.now_ms)

    assert len(looks) == 1


def test_a_grace_period_is_waited_for_to_the_millisecond() -> None:
    driver, alarm = Driver("ab", cohort=COHORT).asked(), Alarm()
    assert alarm.next_ms(driver.state, Tick(), 0) == 30_000  # the idle limit
    driver.now_ms = 2_000
    driver.accept("a")

    assert alarm.next_ms(driver.state, Tick(), 2_000) == 12_000


def test_what_a_site_shows_meanwhile_counts_once_the_time_is_reached() -> None:
    driver, alarm = Driver("ab").asked(), Alarm()
    assert alarm.next_ms(driver.state, Tick(), 0) == 30_000
    progress = {(1, "a"): 20_000, (1, "b"): 25_000}

    assert alarm.next_ms(driver.state, Tick(progress), 29_999) == 30_000
    assert alarm.next_ms(driver.state, Tick(progress), 30_000) == 50_000
