"""Sentences for people, made of messages: the wire and the journal carry facts alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hanse.core.values.wording import MOST_NAMED, counted, format_time, named, percent
from hanse.wire.messages.sites import RunSuspension

if TYPE_CHECKING:  # an agent has no use for these, and 7 MB of memory for each is much where there are many
    from hanse.wire.messages.runs import (
        AwaitedSite,
        CellStatus,
        ExchangeAttendance,
        RunStatus,
        StartWait,
        SuspendedSite,
    )

HELD = (
    "the aggregator was restored from a backup and records nothing: put a later copy of its journal back, or "
    "run `hanse aggregator acknowledge --reason '...'`"
)
"""The state of an aggregator that waits for an operator, for people."""


_STATES = {"assigned": "asked", "started": "at work", "idle": "silent", "ready": "ready"}


def format_awaited(awaited: AwaitedSite) -> str:
    """Name a site that a run waits for, with what for, since when and until when."""
    what = "answer to the plan" if awaited.task is None else awaited.task
    since, until = format_time(awaited.since_ms), format_time(awaited.deadline_ms)
    told = [f"{what}, {_STATES.get(awaited.state, awaited.state)} since {since}"]
    if awaited.state != "idle":
        told.append(f"until {until}")
    elif awaited.cell is not None:
        told.append(f"and its cell {awaited.cell} has no sum without it: waited for until {until}")
    elif awaited.needed:
        told.append(f"and too few can answer without it: the round waits until {until}, and fails then")
    else:
        told.append("no longer waited for")
    if not awaited.connected:
        told.append("not connected")
    if awaited.evidence:
        told.append(f"waits for evidence: {awaited.evidence}")
    return f"{awaited.site} ({', '.join(told)})"


def format_start(start: StartWait) -> str:
    """Say what a run waits for before it starts: `2 more sites: 3 accepted, 5 needed, until ...`."""
    counts = f"{start.accepted} accepted, {start.needed} needed"
    until, absent = format_time(start.until_ms), named(start.absent, MOST_NAMED, start.absent_count)
    if (missing := start.needed - start.accepted) > 0:
        enrolled = f"; only {start.asked} asked" if start.asked < start.needed else ""
        return f"{counted(missing, 'more site')}: {counts}, until {until}{enrolled}"
    has = "has" if start.absent_count == 1 else "have"
    gone = f"{absent}, which {has} not been connected since the submission, until "
    gone += format_time(min(start.absent_until_ms, start.until_ms))
    if start.absent_count == start.unanswered:
        return f"{gone}: {counts}"
    answers = "the answer of 1 site" if start.unanswered == 1 else f"the answers of {start.unanswered} sites"
    also = f"; for {gone}" if start.absent_count else ""
    return f"{answers} until {until}: {counts}{also}"


def submission_warnings(status: RunStatus) -> tuple[str, ...]:
    """Name what may delay a run that was just submitted: too few sites, or sites that are not connected."""
    start = status.start
    if start is None:
        return ()
    needed, until = counted(start.needed, "site"), format_time(start.until_ms)
    if start.asked < start.needed:
        are = "site is" if start.asked == 1 else "sites are"
        return (
            f"{start.asked} {are} asked, and the plan needs {needed}: the run waits for "
            f"{start.needed - start.asked} more to join, until {until}, and fails then",
        )
    away = [found.site for found in status.awaited if found.task is None and not found.connected]
    if not away:
        return ()
    if start.asked - len(away) < start.needed:
        return (
            f"not connected: {named(away)}. The run waits until {needed} have accepted the plan, and "
            f"fails at {until} if they have not",
        )
    latest = format_time(min(start.absent_until_ms, start.until_ms))
    return (
        f"not connected: {named(away)}. Once {needed} have accepted the plan, the run waits for the others "
        f"until {latest}, unless they connect before; after that they may join it",
    )


def format_waits(status: RunStatus) -> list[str]:
    """List what a run waits for: missing answers to its plan, or sites with their tasks."""
    start = [] if status.start is None else [format_start(status.start)]
    return start + [format_awaited(awaited) for awaited in status.awaited if awaited.needed]


def format_cell(found: CellStatus) -> str:
    """Say where a cell of a masked sum stands: whom it waits for, for what, and in which attempt."""
    place = f"{found.cell} (round {found.round_number}, {found.task})"
    if found.left_out:
        return f"{place}: left out, {found.left_out}"
    if found.phase == "not asked":
        return f"{place}: not asked, since {found.reason}"
    if found.phase == "complete":
        return f"{place}: complete"
    parts = []
    if found.awaited:
        what = "the READY" if found.phase == "ready" else "the masked vector"
        parts.append(f"waits for {what} of {named(found.awaited)}")
    if found.failed:
        parts.append(f"lacks {named(found.failed)}")
    if found.reason:
        parts.append(f"attempt {found.attempt}, since {found.reason}")
    return f"{place}: {'; '.join(parts)}"


def format_suspension(suspended: SuspendedSite | RunSuspension) -> str:
    """Say why a site is suspended, and until when."""
    if suspended.reinstatement_ms is not None:
        when = f"the first round after {format_time(suspended.reinstatement_ms)}"
    elif suspended.reinstatement_round is not None:
        when = f"round {suspended.reinstatement_round}"
    else:
        return f"{suspended.reason}; it is asked again when it is reinstated"
    return f"{suspended.reason}; it is asked again from {when} on, or when it is reinstated"


def format_absent(found: ExchangeAttendance) -> str:
    """Name the sites that an exchange went without, and how much data that is; empty where all took part."""
    if not found.absent and not found.not_asked:
        return ""
    whys = {
        **dict.fromkeys(found.unanswered, "no answer in time"),
        **dict.fromkeys(found.idle, "silent"),
        **dict.fromkeys(found.failed, "failed"),
        **dict.fromkeys(found.suspended, "suspended"),
        **found.lost_with_cell,
    }
    known, count = sorted(whys.keys() - {*found.unknown}), found.absent - found.unknown_count
    parts = []
    if count > 0:
        share = (
            ""
            if found.missing_share is None
            else f", {percent(found.missing_share)} of the data known so far,"
        )
        parts.append(f"{_list(known, whys, count)}{share} {_are(count)} not in it")
    if found.unknown_count:
        has, it, has_it = (
            ("has", "it", "it has") if found.unknown_count == 1 else ("have", "they", "they have")
        )
        also = " either" if parts else ""
        parts.append(
            f"{_list(found.unknown, whys, found.unknown_count)} {_are(found.unknown_count)} not in it{also}, "
            f"and how much data {it} {has} is not known: {has_it} never answered {found.task}"
        )
    parts += [f"cell {cell} left out: {reason}" for cell, reason in found.left_out.items()]
    parts += [f"cell {cell} not asked, since {why}" for cell, why in found.not_asked.items()]
    if found.too_little and found.tolerated is not None:
        parts.append(f"the plan tolerates {percent(found.tolerated)}")
    return f"round {found.round_number}, {found.task}: {'; '.join(parts)}"


def format_late(found: ExchangeAttendance) -> str:
    """Name the sites that answered after the close; empty for none."""
    if not found.late:
        return ""
    late = ", ".join(f"{site} ({examples} examples)" for site, examples in found.late.items())
    return f"round {found.round_number}, {found.task}: {late}; not counted"


def format_short_rounds(count: int) -> str:
    """Say in how many rounds too little data was; empty for none."""
    return f"too little data in {count} round{'s' if count != 1 else ''}" if count else ""


def _list(sites: Sequence[str], whys: Mapping[str, str], count: int) -> str:
    """Sites, each with why it is absent."""
    each = [f"{site} ({whys[site]})" if site in whys else site for site in sites]
    return named(each, min(MOST_NAMED, len(each)), count)


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
