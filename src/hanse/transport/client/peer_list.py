"""List of the sites of a federation with their signing keys, asked for a part at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from hanse.errors import ProtocolError
from hanse.wire.messages.members import PeerKey, PeerKeys, PeersQuery

_MOST_PARTS = 100


async def all_peers(ask: Callable[[PeersQuery], Awaitable[PeerKeys]]) -> tuple[PeerKey, ...]:
    """Ask for all sites of the federation.

    Args:
        ask: Asks for one part.

    Returns:
        The sites, in order of their names.

    Raises:
        ProtocolError: The names do not rise, or the list has no end.
    """
    found: list[PeerKey] = []
    for _ in range(_MOST_PARTS):
        part = await ask(PeersQuery(after=found[-1].name if found else ""))
        for peer in part.peers:
            if found and peer.name <= found[-1].name:
                raise ProtocolError(f"the aggregator lists {peer.name} after {found[-1].name}")
            found.append(peer)
        if not part.more or not part.peers:
            return tuple(found)
    raise ProtocolError(f"the aggregator lists more than {len(found)} sites")
