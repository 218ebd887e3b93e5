"""Names that events and their fields had in journals of version 0.1.

Records are never rewritten, since the chain covers them: a record of 0.1 is read as the event
that has its meaning now. See docs/decisions/0022-protocol-2.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_KINDS: Mapping[str, str] = {
    "SiteSetAside": "SiteSuspended",
    "SiteKept": "SuspensionWaived",
    "SiteTakenBack": "SiteReinstated",
}
_FIELDS: Mapping[str, Mapping[str, str]] = {
    "RoundOpened": {"set_aside": "suspended"},
    "ExchangeClosed": {"set_aside": "suspended"},
}


def with_present_names(kind: str, body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The kind and body of a record, in the names of this version.

    Raises:
        ValueError: The body has a field by both of its names.
    """
    renamed = dict(body)
    for old, new in _FIELDS.get(kind, {}).items():
        if old in renamed:
            if new in renamed:
                raise ValueError(f"{kind} has both {old} and {new}")
            renamed[new] = renamed.pop(old)
    return _KINDS.get(kind, kind), renamed
