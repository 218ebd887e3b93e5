"""Sentences for people, made of messages: the wire and the journal carry facts alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hanse.core.values.wording import MOST_NAMED, format_time, named, percent
from hanse.wire.messages.runs import AwaitedSite, ExchangeAttendance, SuspendedSite
from hanse.wire.messages.sites import RunSuspension

HELD = (
    "the aggregator was restored from a backup and records nothing: put a later copy of its journal back, or "
    "run `hanse aggregator acknowledge --reason '...'`"
)
"""The state of an aggregator that waits for an operator, for people."""


def format_awaited(awaited: AwaitedSite) -> str:
    """Name a site that a run waits for, with what for, since when and until when."""
    what = "answer to the plan" if awaited.task is None else awaited.task
    since, until = format_time(awaited.since_ms), format_time(awaited.deadline_ms)
    away = "" if awaited.connected else ", not connected"
    return f"{awaited.site} ({what}, {awaited.state} since {since}, until {until}{away})"


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
    if not found.absent:
        return ""
    whys = {
        **dict.fromkeys(found.unanswered, "no answer in time"),
        **dict.fromkeys(found.idle, "silent"),
        **dict.fromkeys(found.failed, "failed"),
        **dict.fromkeys(found.suspended, "suspended"),
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
