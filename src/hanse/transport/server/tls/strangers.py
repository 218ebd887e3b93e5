"""The budget of connections whose peers have shown no member's certificate, or none yet."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

GRACE_S = 0.5
"""Seconds for which a stranger that has sent something is left alone, if all networks have as few."""


@dataclass(slots=True, eq=False)
class Stranger:
    """A connection of a peer that has shown no member's certificate.

    Attributes:
        network: Where the connection comes from, as `network_of` names it.
        since: When the connection was taken in, by the budget's clock.
        give_up: Ends the connection at once.
        silent: Whether the peer has sent nothing yet.
    """

    network: str
    since: float
    give_up: Callable[[], object]
    silent: bool = True


class StrangerBudget:
    """Takes strangers in: few in all, and fewer from one network. Where there are too many, one is given up.

    A handshake that begins is a stranger's, also that of a member. The network with the most strangers
    gives up one first, so that a flood makes room at its own cost, and a network with a single stranger
    keeps it as long as any network has more. Within a network a stranger that has sent nothing goes
    first, then the oldest.

    Where every network has one stranger, each that has sent something is left alone for `GRACE_S`:
    members that all return at the same moment should not push each other out of their handshakes.

    Args:
        most: Strangers at a time.
        most_of_one: Strangers of one network at a time.
        clock: Seconds that pass, from any start.
    """

    def __init__(self, most: int, most_of_one: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._clock = clock
        self._networks: dict[str, dict[Stranger, None]] = {}
        """By network, the oldest first."""
        self._count = 0
        self.given_up = 0
        """Number of strangers that were given up so far."""

    def __len__(self) -> int:
        return self._count

    def has_room(self) -> bool:
        """Say whether one more may come, from a network that has none here."""
        return self._count < self._most or self._dispensable() is not None

    def take_in(self, network: str) -> Stranger | None:
        """Take a connection in, in the place of another where there are too many.

        Returns:
            The stranger, whose `give_up` the caller sets; None where there is no place.
        """
        own = self._networks.get(network, {})
        if len(own) >= self._most_of_one or self._count >= self._most:
            if (victim := self._in_the_way(own)) is None:
                return None
            self._give_up(victim)
        stranger = Stranger(network, self._clock(), _nothing)
        self._networks.setdefault(network, {})[stranger] = None
        self._count += 1
        return stranger

    def remove(self, stranger: Stranger) -> None:
        """Note that a connection ended, or that its peer is a member; to note it again changes nothing."""
        own = self._networks.get(stranger.network, {})
        if stranger in own:
            del own[stranger]
            self._count -= 1
            if not own:
                del self._networks[stranger.network]

    def _in_the_way(self, own: dict[Stranger, None]) -> Stranger | None:
        """Choose a stranger to give up for one more of a network; None where all have to be left alone."""
        if len(own) < self._most_of_one:
            victim = self._dispensable()
            if victim is None or len(self._networks[victim.network]) > len(own):
                return victim
        return self._dispensable_of(own)

    def _dispensable(self) -> Stranger | None:
        """Choose the stranger that goes first of all; None where all have to be left alone."""
        largest = max(self._networks.values(), key=len)
        if len(largest) > 1:
            return _first(largest)
        found = None
        for own in self._networks.values():  # one of each, and the oldest come first
            (victim,) = own
            if victim.silent:
                return victim
            found = found or self._dispensable_of(own)
        return found

    def _dispensable_of(self, own: Iterable[Stranger]) -> Stranger | None:
        """Choose the stranger of one network that goes first; None where it has to be left alone."""
        victim = _first(own)
        alone = not victim.silent and self._clock() - victim.since < GRACE_S
        return None if alone else victim

    def _give_up(self, victim: Stranger) -> None:
        self.remove(victim)
        self.given_up += 1
        victim.give_up()


def network_of(address: str) -> str:
    """The network that an address counts as: itself, or the 64 bits that one subscriber has of IPv6."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((found, 64), strict=False))


def _first(strangers: Iterable[Stranger]) -> Stranger:
    return min(strangers, key=lambda stranger: (not stranger.silent, stranger.since))


def _nothing() -> None:
    pass
