"""Logs of firmware held against registers of a TPM, and against a log of the image that is expected."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest

from hanse.attestation.event_log import EV_NO_ACTION, SHA256, Event, EventLog
from hanse.attestation.tpm.ima import REGISTER as IMA
from hanse.attestation.tpm.quote import REGISTERS
from hanse.core.values.wording import bounded
from hanse.errors import EvidenceError

_SHOWN = 16
"""Hexadecimal digits of a digest that are shown in a note."""
_MOST_TEXT = 160


def check_log(log: EventLog, values: Mapping[int, bytes], what: str = "event log") -> None:
    """Hold that a log leads to the values of registers; PCR 10, which the kernel extends, apart.

    Args:
        log: The log.
        values: Values by register; others are not looked at.
        what: Which log it is, for messages.

    Raises:
        EvidenceError: It leads to others, or extends registers that there are not.
    """
    replayed = log.replay(SHA256)
    for register in replayed:
        if register >= REGISTERS:
            raise EvidenceError(f"{what}: it extends PCR {register}, and a TPM has 0 to {REGISTERS - 1}")
    for number, seen in values.items():
        start = b"\xff" * 32 if 17 <= number <= 22 else bytes(32)  # those of a dynamic launch begin with ones
        found = replayed.get(number, start)
        if number != IMA and found != seen:
            raise EvidenceError(
                f"{what}: its events lead to {found.hex()} in PCR {number}, not to {seen.hex()}",
                mend="Read log and quote in one start; where the system extends a register later, such as "
                "PCR 11 by systemd-pcrphase, leave the log out.",
            )


def first_difference(expected: EventLog, seen: EventLog, register: int) -> str:
    """Say in words which event of a register differs first between two logs; empty if none does."""
    pairs = zip_longest(_events(expected, register), _events(seen, register))
    for number, (theirs, ours) in enumerate(pairs, 1):
        if theirs is not None and ours is not None and theirs.digests[SHA256] == ours.digests[SHA256]:
            continue
        place = f"Event {number} of PCR {register} differs"
        if ours is None and theirs is not None:
            return f"{place}: the reference has {_named(theirs)}, and the machine's log ends before."
        if theirs is None and ours is not None:
            return f"{place}: the machine's log has {_named(ours)}, and the reference ends before."
        if theirs is not None and ours is not None:
            return f"{place}: expected {_named(theirs)}, seen {_named(ours)}."
    return ""


def _events(log: EventLog, register: int) -> list[Event]:
    return [event for event in log.events if event.register == register and event.kind != EV_NO_ACTION]


def _named(event: Event) -> str:
    named = f"{event.name} {event.digests[SHA256].hex()[:_SHOWN]}…"
    text = event.data.decode("ascii", "replace").rstrip("\0")
    # No other text counts: a machine could state any.
    if event.described and text.isascii() and text.isprintable() and text:
        named += f" ({bounded(text, _MOST_TEXT)!r})"
    return named
