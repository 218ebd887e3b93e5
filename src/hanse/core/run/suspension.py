"""Suspension of sites that fail round after round, and their reinstatement."""

from __future__ import annotations

from dataclasses import dataclass

from hanse.core.plan.cohort import needed, rest_rounds, wanted
from hanse.core.plan.privacy.cohort import askable
from hanse.core.run.events import Event, Events
from hanse.core.run.evolve import evolve
from hanse.core.run.failure_streaks import FailureStreak
from hanse.core.run.round_events import RoundCommitted
from hanse.core.run.run import TERMINAL, Run
from hanse.core.run.site_events import SiteReinstated, SiteSuspended, SuspensionWaived
from hanse.core.values.schema import parse_duration
from hanse.core.values.wording import in_phase, named
from hanse.errors import RunError


@dataclass(frozen=True, slots=True)
class Reinstate:
    """Reinstate a suspended site at an operator's word."""

    site: str
    by: str


def suspend_failing(run: Run, committed: RoundCommitted, now_ms: int) -> Events:
    """Suspend sites once a round is committed, as long as enough are left for the rounds to come.

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
    active = set(active_sites(run))
    for site, streak in run.failure_record.streaks.items():
        if streak.rounds < limit or not _is_active(run, site):
            continue
        active.discard(site)
        left, why = askable(run.plan, active), _failed(streak)
        event: Event = SiteSuspended(site=site, round_number=committed.round_number, reason=why)
        if left < need:
            why += f"; without it {left} would be left to ask, and {need} are needed"
            event = SuspensionWaived(site=site, round_number=committed.round_number, reason=why)
            active.add(site)
        events.append(event)
    return tuple(events)


def reinstatements(run: Run, round_number: int, now_ms: int, *, stream: bool = False) -> Events:
    """Reinstate sites when a round begins: after their rest, or where too few would be left.

    Args:
        run: As it stands.
        round_number: The round that begins.
        now_ms: The time, milliseconds since 1970.
        stream: Whether it is a round of a stream, which has no quorum.
    """
    resting = [site for site in run.failure_record.suspensions if site in run.taking_part]
    resting.sort(key=lambda site: (run.failure_record.suspensions[site].since_ms, site))
    need, active = _need(run, stream=stream), set(run.taking_part) - set(resting)
    events: list[Event] = []
    for site in resting:
        if _has_rested(run, site, round_number, now_ms):
            events.append(SiteReinstated(site=site, reason=f"its rest of {run.plan.cohort.rest} is over"))
    over = {event.site for event in events if isinstance(event, SiteReinstated)}
    active |= over
    for site in resting:
        left = askable(run.plan, active)
        if site not in over and left < need:
            why = f"without it {left} would be left to ask, and {need} are needed"
            events.append(SiteReinstated(site=site, reason=why))
            active.add(site)
    return tuple(events)


def reinstate(run: Run, command: Reinstate) -> Events:
    """Reinstate a suspended site at an operator's word.

    Raises:
        RunError: The run is over, or the site is not suspended.
    """
    if run.phase in TERMINAL:
        raise RunError(
            f"run {run.run_id} {in_phase(run.phase)}; no site is asked any more",
            mend="Resume it first." if run.reason else "",
        )
    if command.site not in run.failure_record.suspensions:
        others = named(sorted(run.failure_record.suspensions)) or "no site"
        raise RunError(f"{command.site} is not suspended in run {run.run_id}; suspended: {others}")
    return (SiteReinstated(site=command.site, by=command.by, reason="reinstated by an operator"),)


def active_sites(run: Run) -> tuple[str, ...]:
    """Sites that take part and are not suspended, in site order."""
    suspensions = run.failure_record.suspensions
    if not suspensions:
        return run.population
    return tuple(site for site in run.population if site not in suspensions)


def reinstatement_round(run: Run, site: str) -> int | None:
    """The round from which a site that is suspended is asked again; None where its rest is a time."""
    rounds = rest_rounds(run.plan.cohort.rest)
    return None if rounds is None else run.failure_record.suspensions[site].round_number + rounds + 1


def reinstatement_ms(run: Run, site: str) -> int | None:
    """When the rest of a site that is suspended is over; None where it is a number of rounds."""
    rest = run.plan.cohort.rest
    if rest_rounds(rest) is not None:
        return None
    return run.failure_record.suspensions[site].since_ms + round(float(parse_duration(rest)) * 1000)


def _is_active(run: Run, site: str) -> bool:
    return site in run.taking_part and site not in run.failure_record.suspensions


def _has_rested(run: Run, site: str, round_number: int, now_ms: int) -> bool:
    time_ms, number = reinstatement_ms(run, site), reinstatement_round(run, site)
    return (time_ms is not None and now_ms >= time_ms) or (number is not None and round_number >= number)


def _need(run: Run, *, stream: bool) -> int:
    """Sites that have to be left to ask."""
    rules = run.plan.cohort
    return max(rules.minimum, 1 if stream else needed(rules, wanted(rules, len(run.taking_part))))


def _failed(streaks: FailureStreak) -> str:
    if streaks.rounds == 1:
        return f"it failed in {streaks.reason}"
    return f"it failed in {streaks.rounds} rounds in a row, at last in {streaks.reason}"
