"""What each kind of fault does to a federation, and how it passes."""

from __future__ import annotations

import random
import resource
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tests.faults.hostile import Hostile
from tests.faults.proxy import NetworkCondition, Proxy
from tests.faults.schedule import MEGABYTE, Fault
from tests.faults.small_federation import SmallFederation

from hanse.config.layout import JOURNAL
from hanse.errors import HanseError

Undo = Callable[[], None]


@dataclass(frozen=True)
class Passing:
    """A fault that lasts.

    Attributes:
        seconds: How long.
        undo: Ends it.
    """

    seconds: float
    undo: Undo


ApplyFault = Callable[[SmallFederation, Fault], Passing | None]

_STORAGE = 7
"""What a command ends with that the disk does not let work."""
_LONGEST_S = 3.0
_LONGEST_LOCK_S = 8.0
"""Longer than a writer waits for a lock."""
_LONGEST_AWAY_S = 6.0
_AHEAD_S = 200.0
"""Less than the validity of certificates is dated back, and than exchanges wait."""


def _kill(small_federation: SmallFederation, fault: Fault) -> None:
    small_federation.kill(fault.who)


def _kill_everybody(small_federation: SmallFederation, fault: Fault) -> None:
    """As a power failure does."""
    parties = ("aggregator", *small_federation.federation.sites)
    for who in parties:
        small_federation.party(who).send(signal.SIGKILL)
    for who in parties:
        small_federation.party(who).must_be_gone()
        small_federation.restart(who)


def _kill_worker(small_federation: SmallFederation, fault: Fault) -> None:
    small_federation.kill_worker(fault.who)


def _kill_guard(small_federation: SmallFederation, fault: Fault) -> None:
    small_federation.kill_guard(fault.who)


def _freeze(small_federation: SmallFederation, fault: Fault) -> Passing:
    party = small_federation.party(fault.who)
    party.send(signal.SIGSTOP)
    return Passing(fault.part * _LONGEST_S, lambda: party.send(signal.SIGCONT))


def _freeze_worker(small_federation: SmallFederation, fault: Fault) -> Passing:
    workers = small_federation.party(fault.who).workers()
    for worker in workers:
        worker.send(signal.SIGSTOP)

    def go_on() -> None:
        for worker in workers:
            worker.send(signal.SIGCONT)

    return Passing(fault.part * _LONGEST_S, go_on)


def _away(small_federation: SmallFederation, fault: Fault) -> Passing:
    """A site is gone, and returns with what it knew."""
    party = small_federation.party(fault.who)
    party.end(signal.SIGKILL)
    party.must_be_gone()
    return Passing(fault.part * _LONGEST_AWAY_S, lambda: small_federation.restart(fault.who))


def _clock(small_federation: SmallFederation, fault: Fault) -> Passing:
    small_federation.set_clock(fault.who, (2 * fault.part - 1) * _AHEAD_S)
    return Passing(_LONGEST_S, lambda: small_federation.set_clock(fault.who, 0.0))


def _disk_full(small_federation: SmallFederation, fault: Fault) -> Passing | None:
    """No file grows beyond a few bytes."""
    party = small_federation.party(fault.who)
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)  # not the party's own: its disk may be full already
    resource.prlimit(party.pid, resource.RLIMIT_FSIZE, (int(fault.part * 4_096), usual[1]))

    def empty() -> None:
        if party.runs:
            for pid in (party.pid, *(worker.pid for worker in party.workers())):
                with suppress(ProcessLookupError):
                    _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)  # a worker's own is lower
                    resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))
        elif small_federation.party(fault.who) is party and party.ended() == _STORAGE:
            small_federation.restart(
                fault.who
            )  # it had just been started, and on a full disk it does not begin

    return Passing(_LONGEST_S, empty)


def _read_only(small_federation: SmallFederation, fault: Fault) -> Passing | None:
    """Nothing can be brought, as on a disk that the kernel has made read-only; takes the superuser."""
    uploads = small_federation.federation.directory / "uploads"
    if not _mounts("--bind", uploads, uploads):
        return None
    _mounts("-o", "remount,bind,ro", uploads)
    return Passing(fault.part * _LONGEST_S, lambda: _unmount(uploads))


def _mounts(*arguments: object) -> bool:
    try:
        mounted = subprocess.run(("mount", *map(str, arguments)), capture_output=True, check=False)
    except FileNotFoundError:
        return False
    return mounted.returncode == 0


def _unmount(place: Path) -> None:
    subprocess.run(("umount", "-l", place), check=True)


def _journal_locked(small_federation: SmallFederation, fault: Fault) -> Passing | None:
    """Another process has the journal's database to itself."""
    database = sqlite3.connect(small_federation.federation.directory / JOURNAL, isolation_level=None)
    try:
        database.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError:  # whoever writes to it just now is frozen
        database.close()
        return None
    return Passing(fault.part * _LONGEST_LOCK_S, database.close)


def _garbage(small_federation: SmallFederation, fault: Fault) -> Passing:
    """A site that is enrolled sends what nobody asked it for."""
    assert small_federation.mallory is not None
    hostile, chance = Hostile(small_federation.mallory), random.Random(fault.part)

    def send() -> None:
        with suppress(OSError, HanseError):  # the aggregator may be away, or stand at a gate
            for path in ("/v1/next", "/v1/results", "/v1/answers", "/v1/progress"):
                hostile.post(path, chance.randbytes(1_000))
            hostile.cut_off(chance.randbytes(10_000), 5_000)
            hostile.bring(chance.randbytes(100))

    sending = threading.Thread(target=send, daemon=True)
    sending.start()
    return Passing(float("inf"), sending.join)


def _blob_damaged(small_federation: SmallFederation, fault: Fault) -> Passing | None:
    """One bit of a blob is another one than was written, until somebody puts back a copy."""
    blobs = sorted(small_federation.federation.directory.glob("blobs/*/*"))
    if not blobs:
        return None
    blob = blobs[int(fault.part * len(blobs))]
    try:
        whole = blob.read_bytes()
    except FileNotFoundError:  # it has had its use
        return None
    flip(blob, len(whole) // 2)

    def put_back() -> None:
        if blob.exists():
            flip(blob, len(whole) // 2)

    return Passing(float("inf"), put_back)


def flip(path: Path, place: int) -> None:
    """Change a bit of a file in place, whatever its mode."""
    mode = path.stat().st_mode
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(place)
        (byte,) = file.read(1)
        file.seek(place)
        file.write(bytes([byte ^ 1]))
    path.chmod(mode)


# --------------------------------------------------------------------- the network


def _cut(direction: str, *, reset: bool = False) -> ApplyFault:
    def apply(small_federation: SmallFederation, fault: Fault) -> None:
        most = 30 * MEGABYTE if small_federation.large else 5_000
        small_federation.on_way_of(
            fault.who, lambda proxy: proxy.cut(direction, int(fault.part * most), reset=reset)
        )

    return apply


def _lose_reply(small_federation: SmallFederation, fault: Fault) -> None:
    small_federation.on_way_of(fault.who, lambda proxy: proxy.cut("down", 0))


def _cut_all(*, reset: bool) -> ApplyFault:
    return lambda small_federation, fault: small_federation.on_way_of(
        fault.who, lambda proxy: proxy.cut_all(reset=reset)
    )


def _condition(condition: Callable[[float], NetworkCondition], seconds: float) -> ApplyFault:
    def apply(small_federation: SmallFederation, fault: Fault) -> Passing:
        present = condition(fault.part)
        small_federation.on_way_of(fault.who, lambda proxy: setattr(proxy, "condition", present))
        return Passing(
            seconds,
            lambda: small_federation.on_way_of(
                fault.who, lambda proxy: setattr(proxy, "condition", NetworkCondition())
            ),
        )

    return apply


def _hole(small_federation: SmallFederation, fault: Fault) -> Passing:
    small_federation.on_way_of(
        fault.who, lambda proxy: setattr(proxy, "condition", NetworkCondition(hole=True))
    )

    def climb_out() -> None:
        def both(proxy: Proxy) -> None:
            proxy.cut_all(reset=True)
            proxy.condition = NetworkCondition()

        small_federation.on_way_of(fault.who, both)

    return Passing(fault.part * _LONGEST_S, climb_out)


def _repeat(small_federation: SmallFederation, fault: Fault) -> None:
    def both(proxy: Proxy) -> None:
        proxy.repeat_next()
        proxy.cut_all()

    small_federation.on_way_of(fault.who, both)


def _reorder(small_federation: SmallFederation, fault: Fault) -> None:
    def both(proxy: Proxy) -> None:
        proxy.hold_next()
        proxy.cut_all()

    small_federation.on_way_of(fault.who, both)


FAULTS: MappingProxyType[str, ApplyFault] = MappingProxyType(
    {
        "kill": _kill,
        "kill everybody": _kill_everybody,
        "kill worker": _kill_worker,
        "kill guard": _kill_guard,
        "freeze": _freeze,
        "freeze worker": _freeze_worker,
        "away": _away,
        "clock": _clock,
        "disk full": _disk_full,
        "read-only": _read_only,
        "journal locked": _journal_locked,
        "garbage": _garbage,
        "blob damaged": _blob_damaged,
        "cut up": _cut("up"),
        "cut down": _cut("down"),
        "reset up": _cut("up", reset=True),
        "reset down": _cut("down", reset=True),
        "lose reply": _lose_reply,
        "cut all": _cut_all(reset=False),
        "reset all": _cut_all(reset=True),
        "hole": _hole,
        "slow": _condition(lambda part: NetworkCondition(rate=20_000 + part * 20 * MEGABYTE), _LONGEST_S),
        "delay": _condition(lambda part: NetworkCondition(delay_s=part * 0.3), _LONGEST_S),
        "repeat": _repeat,
        "reorder": _reorder,
    }
)
