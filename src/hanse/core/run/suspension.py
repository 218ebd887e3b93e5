"""Which sites are set aside for failing again and again, and when they are asked again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from hanse.core.plan.cohort import needed, rest_rounds, wanted
from hanse.core.run.events import Event, Events
from hanse.core.run.evolve import evolve
from hanse.core.run.failure_streaks import Strikes
from hanse.core.run.round_events import RoundCommitted
from hanse.core.run.run import TERMINAL, Run
from hanse.core.run.site_events import SiteKept, SiteSetAside, SiteTakenBack
from hanse.core.values.schema import parse_duration
from hanse.core.values.wording import named
from hanse.errors import RunError


@dataclass(frozen=True, slots=True)
class TakeBack:
    """An operator has a site asked again that was set aside."""

    site: str
    by: str


def set_aside(run: Run, committed: RoundCommitted, now_ms: int) -> Events:
    """Who is set aside once a round is committed; as few as leave enough for the rounds to come.

    Args:
        run: As it stands before the commit.
        committed: The commit.
        now_ms: The time, milliseconds since 1970.
    """
    limit, need = run.plan.cohort.set_aside_after, _need(run, stream=run.round_open is None)
    run = evolve(run, committed, now_ms)
    if not limit or run.complete:
        return ()
    events: list[Event] = []
    for site in askable(run):
        strikes = run.conduct.strikes.get(site)
        if strikes is None or strikes.rounds < limit:
            continue
        left, why = len(askable(run)) - 1, _failed(strikes)
        event: Event = SiteSetAside(site=site, round_number=committed.round_number, reason=why)
        if left < need:
            why += f"; without it {left} would be left to ask, and {need} are needed"
            event = SiteKept(site=site, round_number=committed.round_number, reason=why)
        run = evolve(run, event, now_ms)
        events.append(event)
    return tuple(events)


def returns(run: Run, round_number: int, now_ms: int, *, stream: bool = False) -> Events:
    """Who is taken back when a round begins: sites that have rested, and those without whom too few are left.

    Args:
        run: As it stands.
        round_number: The round that begins.
        now_ms: The time, milliseconds since 1970.
        stream: Whether it is a round of a stream, which has no quorum.
    """
    resting = [site for site in run.population if site in run.conduct.aside]
    resting.sort(key=lambda site: (run.conduct.aside[site].since_ms, site))
    need, left = _need(run, stream=stream), len(askable(run))
    events: list[Event] = []
    for site in resting:
        if _has_rested(run, site, round_number, now_ms):
            events.append(SiteTakenBack(site=site, reason=f"its rest of {run.plan.cohort.rest} is over"))
    left += len(events)
    over = {event.site for event in events if isinstance(event, SiteTakenBack)}
    for site in resting:
        if site not in over and left < need:
            why = f"without it {left} would be left to ask, and {need} are needed"
            events.append(SiteTakenBack(site=site, reason=why))
            left += 1
    return tuple(events)


def take_back(run: Run, command: TakeBack) -> Events:
    """Take a site back at an operator's word.

    Raises:
        RunError: The run is over, or the site is not set aside.
    """
    if run.phase in TERMINAL:
        raise RunError(
            f"run {run.run_id} is {run.phase}; nobody is asked any more",
            mend="Resume it first." if run.reason else "",
        )
    if command.site not in run.conduct.aside:
        others = named(sorted(run.conduct.aside)) or "nobody"
        raise RunError(f"{command.site} is not set aside in run {run.run_id}; set aside: {others}")
    return (SiteTakenBack(site=command.site, by=command.by, reason="taken back by an operator"),)


def askable(run: Run) -> tuple[str, ...]:
    """Sites that take part and are not set aside, in site order."""
    return tuple(site for site in run.population if site not in run.conduct.aside)


def back_round(run: Run, site: str) -> int | None:
    """The round from which a site that is set aside is asked again; None where its rest is a time."""
    rounds = rest_rounds(run.plan.cohort.rest)
    return None if rounds is None else run.conduct.aside[site].round_number + rounds + 1


def back_ms(run: Run, site: str) -> int | None:
    """When the rest of a site that is set aside is over; None where it is a number of rounds."""
    rest = run.plan.cohort.rest
    if rest_rounds(rest) is not None:
        return None
    return run.conduct.aside[site].since_ms + round(float(parse_duration(rest)) * 1000)


def told_aside(run: Run, site: str) -> str:
    """Why a site is set aside and until when, as a sentence."""
    time_ms, number = back_ms(run, site), back_round(run, site)
    if time_ms is None:
        when = f"round {number}"
    else:
        moment = datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="seconds")
        when = f"the first round after {moment.replace('+00:00', 'Z')}"
    return f"{run.conduct.aside[site].reason}; it is asked again from {when} on, or when it is taken back"


def _has_rested(run: Run, site: str, round_number: int, now_ms: int) -> bool:
    time_ms, number = back_ms(run, site), back_round(run, site)
    return (time_ms is not None and now_ms >= time_ms) or (number is not None and round_number >= number)


def _need(run: Run, *, stream: bool) -> int:
    """Sites that have to be left to ask."""
    rules = run.plan.cohort
    return max(rules.minimum, 1 if stream else needed(rules, wanted(rules, len(run.population))))


def _failed(strikes: Strikes) -> str:
    if strikes.rounds == 1:
        return f"it failed in {strikes.reason}"
    return f"it failed in {strikes.rounds} rounds in a row, at last in {strikes.reason}"
