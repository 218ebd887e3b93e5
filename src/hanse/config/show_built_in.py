"""Built-in workflows in words: which columns they use, what the numbers are, and who gets the results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hanse.core.plan.built_in import BUILT_IN
from hanse.core.plan.plan import Plan
from hanse.core.plan.tasks import Disclosure
from hanse.core.values.wording import named

_COLUMNS = (
    *("columns", "features", "rows", "outcome", "group", "exposure"),
    *("time", "event", "by", "ranges"),
)
"""Settings of algorithms on tables that name columns."""
_MOST_COLUMNS = 50


def columns_of(plan: Plan) -> list[str]:
    """The columns that an algorithm on tables uses, in a line; none of other plans."""
    settings = _settings(plan)
    found = dict.fromkeys(name for key in _COLUMNS for name in _columns(settings.get(key)))
    if not found:
        return []
    return [f"The workflow's statistics are of these columns: {named(list(found), _MOST_COLUMNS)}."]


def numbers_of(plan: Plan, disclosure: Disclosure) -> list[str]:
    """Meaning of the numbers in the groups that a task sends, a line each."""
    known = BUILT_IN.get(plan.workflow)
    if known is None:
        return []
    by = _settings(plan).get("by")
    each = "".join(f", for each category of {name}" for name in _columns(by))
    lines = []
    for group in disclosure.groups:
        if group in known.numbers:
            single = bool(each) or group in known.single
            small = "; some of them may be of a single person" if single else ""
            lines.append(f"(In {group} are {known.numbers[group]}{each}{small}.)")
    return lines


def results_of(plan: Plan) -> list[str]:
    """Recipients of what the workflow makes of groups."""
    if not plan.groups:
        return []
    return ["Its results go to the operators, who can export them and pass them on."]


def _settings(plan: Plan) -> Mapping[str, Any]:
    found = plan.options.get(plan.workflow)
    return found if plan.workflow in BUILT_IN and isinstance(found, Mapping) else {}


def _columns(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case {"column": str(name)}:
            yield name
        case Mapping():
            yield from map(str, value)
        case list() | tuple():
            for each in value:
                yield from _columns(each)
        case _:
            pass
