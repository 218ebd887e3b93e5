"""Every request of the API, once: what the server dispatches, the client sends and OpenAPI describes."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hanse.core.values.digests import DIGEST_PATTERN
from hanse.transport.api.common_routes import BLOB, BLOB_HEAD, HELLO, OPENAPI, UPLOAD, UPLOAD_STATE
from hanse.transport.api.member_routes import (
    ACKNOWLEDGE,
    AUTHORITY,
    ENROL,
    INVITE,
    MEMBERS,
    PEERS,
    RECORD_SIGNING_KEY,
    REMOVE,
    RENEW,
    RESTORE,
    SIGN,
    SIGNING_KEY,
)
from hanse.transport.api.route import AnyRoute
from hanse.transport.api.run_routes import ADMIT, EVENTS, EXPORT, REINSTATE, RESUME, RUN, RUNS, STOP, SUBMIT
from hanse.transport.api.site_routes import (
    ANSWER,
    ATTEST,
    JOURNAL_HEAD,
    NEXT,
    PROGRESS,
    RECEIPTS,
    RESULT,
    ROSTER,
    SUM_READY,
    SUM_ROSTER,
)

ROUTES: tuple[AnyRoute, ...] = (
    *(HELLO, AUTHORITY, OPENAPI, ENROL, RENEW),
    *(SIGNING_KEY, RECORD_SIGNING_KEY, PEERS),
    *(NEXT, ANSWER, RESULT, PROGRESS, ATTEST, ROSTER, SUM_READY, SUM_ROSTER, JOURNAL_HEAD, RECEIPTS),
    *(BLOB, BLOB_HEAD, UPLOAD, UPLOAD_STATE),
    *(RUNS, SUBMIT, RUN, EVENTS, STOP, RESUME, REINSTATE, ADMIT, EXPORT),
    *(MEMBERS, SIGN, REMOVE, INVITE, RESTORE, ACKNOWLEDGE),
)

PATTERNS = {
    "digest": DIGEST_PATTERN,
    "run_id": "[a-z0-9][a-z0-9._-]{0,99}",
    "name": "[a-z0-9._-]{1,63}",
}
"""What a path's parameters look like."""


def find(path: str) -> tuple[Mapping[str, AnyRoute], dict[str, str]]:
    """Look up a path.

    Returns:
        Its routes by method, none where there is no such path, and its parameters.
    """
    for pattern, routes in _PATHS.items():
        if match := pattern.fullmatch(path):
            return routes, match.groupdict()
    return {}, {}


def _pattern(path: str) -> re.Pattern[str]:
    # Every second part is the name of a parameter.
    parts = re.split(r"\{(\w+)\}", path)
    return re.compile(
        "".join(
            f"(?P<{part}>{PATTERNS[part]})" if index % 2 else re.escape(part)
            for index, part in enumerate(parts)
        )
    )


_PATHS = {
    _pattern(path): {route.method: route for route in ROUTES if route.path == path}
    for path in dict.fromkeys(route.path for route in ROUTES)
}
