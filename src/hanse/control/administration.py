"""Who belongs to a federation, administered by its operators."""

from __future__ import annotations

from typing import Protocol

from hanse.core.values.statements import CertifiedStatement
from hanse.transport.api.member_routes import ACKNOWLEDGE, INVITE, MEMBERS, PEERS, REMOVE, RESTORE, SIGN
from hanse.transport.api.route import A, Q, Route
from hanse.wire.messages.basics import Empty
from hanse.wire.messages.members import (
    AcknowledgeRequest,
    Certificates,
    InviteReply,
    InviteRequest,
    Members,
    PeerKeys,
    PeersQuery,
    RemoveRequest,
    RestoreReply,
    SignRequest,
)


class Ask(Protocol):
    """Puts an operator's request to an aggregator's service, over the network or beside it."""

    async def __call__(self, route: Route[Q, A], message: Q, **params: str) -> A:
        """Ask; `params` stand in the route's path."""
        ...


class Administration:
    """Invites, enrols and removes the members of a federation."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def members(self) -> Members:
        """List the parties that ever joined."""
        return await self._ask(MEMBERS, Empty())

    async def peers(self, query: PeersQuery) -> PeerKeys:
        """List the sites with their signing keys, a part at a time, as the sites see each other."""
        return await self._ask(PEERS, query)

    async def invite(self, request: InviteRequest) -> InviteReply:
        """Make a one-time token."""
        return await self._ask(INVITE, request)

    async def sign(self, request: SignRequest) -> Certificates:
        """Enrol a party from a request that was carried by hand."""
        return await self._ask(SIGN, request)

    async def remove(self, name: str, *, force: bool = False, invited: bool = False) -> Members:
        """Take a party off the allow list, at once, and void its invitations.

        Args:
            name: The party.
            force: Remove the last operator too.
            invited: Void the invitations of a name of which no party was ever enrolled too.
        """
        return await self._ask(REMOVE, RemoveRequest(force=force, invited=invited), name=name)

    async def restore(self) -> RestoreReply:
        """A restore from a backup that waits to be acknowledged, if there is one."""
        return await self._ask(RESTORE, Empty())

    async def acknowledge(self, statement: CertifiedStatement) -> None:
        """Acknowledge a restore; the runs then continue."""
        await self._ask(ACKNOWLEDGE, AcknowledgeRequest(statement=statement))
