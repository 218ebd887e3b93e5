"""Named points of the protocol, at which tests of faults watch, hold or end a process.

Each step of a run, such as an append to a journal or a request that is served, has a point
before it, after it, or both. A process that reaches a point says so to the observer of this
module. Production has no observer, and a point then costs the reading of one attribute.

The module is for the tests of faults alone and is not a plug-in API: points come and go with
the code around them, and no setting, command, environment variable, plan or message of a peer
sets the observer. The code of a plan runs in a process of its own, so that an observer set there
hears nothing of the service or the agent.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

Facts = Mapping[str, object]
"""Plain values that tell one step from another; see `FaultPoint`."""


class FaultPoint(StrEnum):
    """Where a process stands, with the names of the facts that it states.

    Append: `stream`, `entries` (pairs of a kind and a body).
    Copy: `most` (bytes that it may have). The copy is whole, and not in its place yet.
    Request: `method`, `path` (of the route, with its placeholders), `party`.
    Call (of a run's worker): `call`, and where the call has them `round_number`, `task`.
    Key (of a party, to sign with): `step` (`made`, `noted`, `recorded`, `in place`).
    Sum (a site's part in a masked one): `step` (`vector` and `facts` on the disk, `prepared`, `ready` and
        `roster` recorded, `ready sent`, `masked` on the disk, `masked recorded`, `masked sent`).
    Order (to a task worker) and its report: `task`, `round_number`.
    """

    BEFORE_APPEND = "before append"
    AFTER_APPEND = "after append"
    AFTER_COPY = "after copy"
    BEFORE_REQUEST = "before request"
    AFTER_REQUEST = "after request"
    BEFORE_CALL = "before call"
    AFTER_CALL = "after call"
    BEFORE_ORDER = "before order"
    AFTER_ORDER = "after order"
    AFTER_REPORT = "after report"
    AFTER_KEY = "after key"
    AFTER_SUM = "after sum"


class Observer(Protocol):
    """Told of each point that this process reaches.

    What an observer raises leaves the step as an error of the step would. A `BaseException` that
    is not an `Exception` passes every handler, as if the process were killed there.
    """

    def reached(self, point: FaultPoint, facts: Facts) -> None:
        """Hear of a point in synchronous code, on any thread; the step waits for the return."""
        ...

    async def reached_async(self, point: FaultPoint, facts: Facts) -> None:
        """Hear of a point on the event loop; the step waits, and all else goes on meanwhile."""
        ...


observer: Observer | None = None
"""Told of the points of this process; None but in tests, which set it before anything runs."""


def reach(point: FaultPoint, **facts: object) -> None:
    """Tell the observer, if there is one; on the event loop, use `reach_async`."""
    if observer is not None:
        observer.reached(point, facts)


async def reach_async(point: FaultPoint, **facts: object) -> None:
    """Tell the observer, if there is one, from the event loop."""
    if observer is not None:
        await observer.reached_async(point, facts)
