"""The list of sites, asked for a part at a time, of an aggregator that need not be honest."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from hanse.errors import ProtocolError
from hanse.transport.client.peer_list import all_peers
from hanse.wire.messages.members import PeerKey, PeerKeys, PeersQuery


def test_a_list_in_several_parts_is_read_to_its_end() -> None:
    parts = {"": (("a", "b"), True), "b": (("c",), False)}

    async def ask(query: PeersQuery) -> PeerKeys:
        names, more = parts[query.after]
        return PeerKeys(peers=tuple(PeerKey(name=name) for name in names), more=more)

    assert [peer.name for peer in asyncio.run(all_peers(ask))] == ["a", "b", "c"]


@pytest.mark.parametrize("names", [("b", "a"), ("a", "a")])
def test_names_that_do_not_rise_are_refused(names: tuple[str, ...]) -> None:
    async def ask(query: PeersQuery) -> PeerKeys:
        return PeerKeys(peers=tuple(PeerKey(name=name) for name in names))

    with pytest.raises(ProtocolError, match="the aggregator lists"):
        asyncio.run(all_peers(ask))


def test_a_list_without_an_end_is_refused() -> None:
    numbers = itertools.count(1_000)

    async def ask(query: PeersQuery) -> PeerKeys:
        return PeerKeys(peers=(PeerKey(name=f"s{next(numbers)}"),), more=True)

    with pytest.raises(ProtocolError, match="more than 100 sites"):
        asyncio.run(all_peers(ask))
