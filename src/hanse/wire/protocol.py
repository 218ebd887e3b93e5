"""Which versions of the protocol this Hanse speaks, and which of them it speaks with whom.

Every request and reply states the version that it is written in and all that its
sender speaks. Two ends speak the newest version that both know; where there is none,
the error says which end is the older one. See docs/decisions/0017-protocol-versions.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic.fields import FieldInfo

from hanse.core.values.schema import Strict
from hanse.errors import VersionError

PROTOCOL_HEADER = "Hanse-Protocol"
"""The version that a request or a reply is written in."""
RANGE_HEADER = "Hanse-Protocols"
"""All versions that its sender speaks, as in `1-3`; without it, only that one."""

_RANGE = re.compile(r"([0-9]{1,6})(?:-([0-9]{1,6}))?")
_SINCE = "since_protocol"


@dataclass(frozen=True, slots=True)
class Versions:
    """A range of versions.

    Attributes:
        oldest: Still spoken.
        newest: Spoken with whoever can.
    """

    oldest: int
    newest: int

    def __contains__(self, version: int) -> bool:
        """Whether a version is spoken."""
        return self.oldest <= version <= self.newest

    def __str__(self) -> str:
        """As in the header: `1-3`, or `2` for a single version."""
        return str(self.newest) if self.oldest == self.newest else f"{self.oldest}-{self.newest}"

    def common(self, other: Versions) -> int | None:
        """The newest version that both speak; None where there is none."""
        newest = min(self.newest, other.newest)
        return newest if newest >= max(self.oldest, other.oldest) else None


SPOKEN = Versions(3, 3)
"""What this Hanse speaks. The newest rises with every change to a message, see `since`.

Read at each use, so that tests can replace it by what an older or a newer Hanse speaks.
"""


def since(version: int) -> dict[str, Any]:
    """For a field that messages of older versions lack: `Field(0, json_schema_extra=since(2))`.

    It needs a default, which stands for what an older peer does not say.
    """
    return {_SINCE: version}


def headers(version: int, spoken: Versions) -> dict[str, str]:
    """What a request or reply states."""
    return {PROTOCOL_HEADER: str(version), RANGE_HEADER: str(spoken)}


def read_headers(stated: Mapping[str, str]) -> tuple[int, Versions] | None:
    """Read what the other end states: the version of its message, and all it speaks; None for nothing."""
    version = _RANGE.fullmatch(stated.get(PROTOCOL_HEADER, ""))
    spoken = _RANGE.fullmatch(stated.get(RANGE_HEADER, stated.get(PROTOCOL_HEADER, "")))
    if version is None or version[2] or spoken is None:
        return None
    return int(version[1]), Versions(int(spoken[1]), int(spoken[2] or spoken[1]))


def disagreement(ours: Versions, theirs: Versions, we: str, they: str) -> VersionError:
    """The error of two ends that have no version in common; says which of them has to be upgraded.

    Args:
        ours: What this end speaks.
        theirs: What the other end speaks.
        we: How the message names this end.
        they: How it names the other.
    """
    older, needed = (we, theirs.oldest) if ours.newest < theirs.oldest else (they, ours.oldest)
    mend = f"Upgrade Hanse at {older} to a version that speaks protocol {needed}."
    return VersionError(
        f"{they} speaks protocol {theirs}, and {we} {ours}", mend=f"{mend} Nothing is lost meanwhile."
    )


def written_in(message: Strict, version: int) -> dict[str, Any]:
    """A message as JSON, without the fields that an older version lacks."""
    written: dict[str, Any] = _without_newer(message, message.model_dump(mode="json"), version)
    return written


def _without_newer(value: Any, dumped: Any, version: int) -> Any:
    match value:
        case Strict():
            fields = type(value).model_fields
            return {
                name: _without_newer(getattr(value, name), dumped[name], version)
                for name in dumped
                if _since(fields[name]) <= version
            }
        case tuple() | list():
            return [_without_newer(*pair, version) for pair in zip(value, dumped, strict=True)]
        case dict():
            return {key: _without_newer(inner, dumped[key], version) for key, inner in value.items()}
        case _:
            return dumped


def _since(field: FieldInfo) -> int:
    extra = field.json_schema_extra
    found = extra.get(_SINCE, 0) if isinstance(extra, dict) else 0
    return found if isinstance(found, int) else 0
