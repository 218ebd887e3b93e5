"""Clock, waits and sizes that services and clients are put together with, and that are not settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from hanse.storage.recycled_files import WORTH_BYTES
from hanse.transport.client.address import Patience
from hanse.transport.client.retry import Retry
from hanse.transport.server.transfer_threads import WORTH_LENDING


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Tuning:
    """Clock, waits and sizes; the defaults are those of the product.

    Users have no way to change these values. Tests that make services themselves pass them to
    constructors; tests that run commands replace `current` before the command begins.

    Attributes:
        clock: Tells the time, UTC.
        patience: How long an agent waits for its aggregator, and an operator for a new certificate.
        retry: How soon agents and operators try again; `attempts` and `on_retry` are the caller's.
        joining: How often `hanse join` asks an aggregator that does not answer yet.
        upgrade_s: How often an agent asks an aggregator that speaks no version of the protocol that
            the agent speaks, seconds.
        recycle_from: Size in bytes from which on a deleted blob's file is written over by a new one.
        worth_lending: Size in bytes from which on a thread moves the body of a request or reply.
        first_sign_s: When an agent tells first that a task has begun, seconds.
    """

    clock: Callable[[], datetime] = _utc_now
    patience: Patience = Patience()  # noqa: RUF009 - frozen
    retry: Retry = Retry()  # noqa: RUF009 - frozen
    joining: Retry = Retry(attempts=12, longest_s=2.0, uniform=lambda: 1.0)  # noqa: RUF009 - frozen; 20 s
    upgrade_s: float = 60.0
    recycle_from: int = WORTH_BYTES
    worth_lending: int = WORTH_LENDING
    first_sign_s: float = 1.0


current = Tuning()
"""What this process goes by; read at each use."""


def now() -> datetime:
    """The time, UTC."""
    return current.clock()
