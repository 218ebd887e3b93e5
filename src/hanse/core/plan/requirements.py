"""Packages that a plan requires at a site: `torch>=2.4`, held against the version that is installed.

A small part of how Python writes requirements (PEP 440 and 508): one name, and final versions.
"""

from __future__ import annotations

import re
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field

INTERPRETER = "python"
"""The name that stands for Python itself."""

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_BOUND = r"(==|!=|>=|<=|~=|>|<)([0-9]{1,9}(?:\.[0-9]{1,9}){0,9})"
_REQUIREMENT = re.compile(rf"({_NAME})((?:{_BOUND}(?:,|$))*)")
_BOUNDS = re.compile(_BOUND)
_VERSION = re.compile(
    r"v?(?:(?P<epoch>[0-9]{1,9})!)?(?P<release>[0-9]{1,9}(?:\.[0-9]{1,9}){0,9})"
    r"(?P<pre>[-_.]?(?:alpha|a|beta|b|preview|pre|c|rc)[-_.]?[0-9]*)?"
    r"(?P<post>-[0-9]+|[-_.]?(?:post|rev|r)[-_.]?[0-9]*)?"
    r"(?P<dev>[-_.]?dev[-_.]?[0-9]*)?"
    r"(?:\+[a-z0-9]+(?:[-_.][a-z0-9]+)*)?",
    re.IGNORECASE,
)


class _Version(NamedTuple):
    """A version that is installed.

    Attributes:
        release: Its epoch and its numbers, without zeros at the end.
        stage: -1 before the final release of these numbers, 0 the final one, 1 after it.
    """

    release: tuple[int, ...]
    stage: int


def _requirement(text: str) -> str:
    written = re.sub(r"\s*([=!<>~]+|,)\s*", r"\1", text).strip()
    match = _REQUIREMENT.fullmatch(written)
    if match is None or written.endswith(","):
        raise ValueError(
            f"{text[:80]!r} is not a package with its versions: write for example torch>=2.4, or in quotes "
            '"torch>=2.4,<3"'
        )
    if any(operator == "~=" and "." not in version for operator, version in _BOUNDS.findall(match[2])):
        raise ValueError(f"{text[:80]!r}: `~=` needs two numbers at least, as in ~=2.4")
    return written


Requirement = Annotated[
    str,
    Field(max_length=200, json_schema_extra={"format": "package, as in `torch>=2.4`"}),
    AfterValidator(_requirement),
]


def package_of(requirement: str) -> str:
    """The name of the package that a requirement is for."""
    match = _REQUIREMENT.fullmatch(requirement)
    return match[1] if match else requirement


def satisfies(version: str, requirement: str) -> bool:
    """Check that a requirement permits an installed version; one that cannot be read is not permitted.

    Args:
        version: As the package states it, such as `2.4.1+cpu`. What stands after `+` does not count.
        requirement: An entry of a plan's `requires`.
    """
    match, found = _REQUIREMENT.fullmatch(requirement), _parse(version)
    if match is None or found is None:
        return False
    return all(_holds(found, operator, wanted) for operator, wanted in _BOUNDS.findall(match[2]))


def _parse(version: str) -> _Version | None:
    match = _VERSION.fullmatch(version.strip())
    if match is None:
        return None
    stage = 1 if match["post"] else 0
    stage = -1 if match["pre"] or (match["dev"] and not stage) else stage
    return _Version((int(match["epoch"] or 0), *_numbers(match["release"])), stage)


def _numbers(release: str) -> tuple[int, ...]:
    """The numbers of a release, without zeros at the end: 2.4.0 is 2.4."""
    return tuple(map(int, re.sub(r"(\.0+)+$", "", release).split(".")))


def _holds(found: _Version, operator: str, wanted: str) -> bool:
    """Hold a version against one bound; `>` and `<` leave out what comes before or after the same release."""
    release = (0, *_numbers(wanted))
    match operator:
        case ">":
            return found.release > release
        case "<":
            return found.release < release
        case ">=":
            return (found.release, found.stage) >= (release, 0)
        case "<=":
            return (found.release, found.stage) <= (release, 0)
        case "~=":
            series = (0, *map(int, wanted.split(".")[:-1]))
            padded = found.release + (0,) * len(series)
            return (found.release, found.stage) >= (release, 0) and padded[: len(series)] == series
        case _:
            return (found == (release, 0)) == (operator == "==")
