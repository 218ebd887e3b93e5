"""Requests about who belongs to the federation."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from hanse.aggregator.members.member_registry import MemberRegistry
from hanse.aggregator.receipts.restores import Restores
from hanse.aggregator.run_registry import REMOVED, RunRegistry
from hanse.core.run.lifecycle import Invite, Leave
from hanse.core.values.identity import Party, Role
from hanse.core.values.peer import Peer
from hanse.errors import RunError
from hanse.pki.key_words import words_of
from hanse.wire.messages.basics import Empty
from hanse.wire.messages.members import (
    MOST_PEERS,
    AcknowledgeRequest,
    Certificates,
    EnrolRequest,
    InviteReply,
    InviteRequest,
    Member,
    Members,
    PeerKey,
    PeerKeys,
    PeersQuery,
    RemoveRequest,
    RenewRequest,
    RestoreReply,
    SigningKeyReply,
    SigningKeyRequest,
    SignRequest,
)

logger = logging.getLogger(__name__)


class MemberRequests:
    """Serves the requests of `hanse.transport.service.MemberHandler`."""

    def __init__(
        self,
        registry: MemberRegistry,
        run_registry: RunRegistry,
        restores: Restores,
        url: str,
        token_id: Callable[[], str],
    ) -> None:
        self._registry = registry
        self._run_registry = run_registry
        self._restores = restores
        self._url = url
        self._token_id = token_id

    async def enrol(self, request: EnrolRequest) -> Certificates:
        """Trade a token for a certificate."""
        party, certificates = await asyncio.to_thread(
            self._registry.enrol, request.token, request.csr, request.enrolment
        )
        await self._welcome(party)
        return certificates

    async def sign(self, peer: Peer, request: SignRequest) -> Certificates:
        """Enrol a party from a request carried by hand."""
        new, certificates = await asyncio.to_thread(
            self._registry.sign, request.name, request.role, request.csr, request.enrolment
        )
        await self._welcome(new)
        return certificates

    async def renew(self, peer: Peer, request: RenewRequest) -> Certificates:
        """Give a party its next certificate."""
        return await asyncio.to_thread(self._registry.renew, peer, request.csr)

    async def signing_key(self, peer: Peer) -> SigningKeyReply:
        """Say which signing key is recorded for a party."""
        return SigningKeyReply(fingerprint=self._recorded_key(peer))

    async def record_signing_key(self, peer: Peer, request: SigningKeyRequest) -> SigningKeyReply:
        """Record a party's signing key, at any time but while the party takes part in a run.

        Raises:
            RunError: The party takes part in a run; its key cannot change within a plan.
        """
        name, before = peer.party.name, self._recorded_key(peer)
        if request.rotation is not None and before != request.enrolment.claimed_signer:
            for controller in self._run_registry.alive():
                if name in controller.run.taking_part:
                    raise RunError(
                        f"{name} takes part in run {controller.run.run_id}, and no site's signing key "
                        "changes within a run",
                        mend="Rotate the key when the run is over.",
                    )
        key = await asyncio.to_thread(
            self._registry.record_signing_key, peer.party, request.enrolment, request.rotation
        )
        if before is None:
            logger.warning(
                "%s, of before 0.2, has stated its signing key: %s, in words: %s. Compare the words with %s",
                *(name, key, words_of(key), name),
            )
        for controller in self._run_registry.alive():  # it may have agreed with the old key meanwhile
            if controller.run.roster.get(name, key) != key:
                await controller.execute(Invite(name, key))
        return SigningKeyReply(fingerprint=key)

    def _recorded_key(self, peer: Peer) -> str | None:
        return self._registry.membership.member(peer.party.name, peer.party.role).signing_key

    async def invite(self, peer: Peer, request: InviteRequest) -> InviteReply:
        """Make a one-time token."""
        self._restores.check()
        token = self._registry.invite(
            request.name,
            request.role,
            url=self._url,
            token_id=self._token_id(),
            lifetime=timedelta(seconds=request.lifetime_s),
        )
        return InviteReply(token=token)

    async def remove(self, peer: Peer, name: str, request: RemoveRequest) -> Members:
        """Take a party off the allow list; its open requests end at once."""
        by, registry = peer.party.name, self._registry
        remove = partial(registry.remove, name, by, force=request.force, invited=request.invited)
        await asyncio.to_thread(remove)
        self._run_registry.signals.notify([name])
        await self._run_registry.tell_alive(Leave(name, REMOVED))
        return await self.members(peer)

    async def restore(self, peer: Peer) -> RestoreReply:
        """State a restore from a backup that waits to be acknowledged, if there is one."""
        sites = self._registry.membership.names(Role.COLLABORATOR)
        heard = self._restores.heard & set(sites)
        return RestoreReply(notice=self._restores.notice, sites=len(sites), sites_heard=len(heard))

    async def acknowledge(self, peer: Peer, request: AcknowledgeRequest) -> Empty:
        """Take an operator's acknowledgement of a restore; the runs then continue."""
        await self._restores.acknowledge(peer, request.statement)
        return Empty()

    async def peers(self, peer: Peer, query: PeersQuery) -> PeerKeys:
        """List the sites with their signing keys: members of one federation know each other."""
        membership = self._registry.membership
        names = [name for name in membership.names(Role.COLLABORATOR) if name > query.after]
        return PeerKeys(
            peers=tuple(
                PeerKey(name=name, signing_key=membership.parties[name].signing_key)
                for name in names[:MOST_PEERS]
            ),
            more=len(names) > MOST_PEERS,
        )

    async def members(self, peer: Peer) -> Members:
        """List the parties."""
        return Members(
            members=tuple(
                Member(
                    name=member.name,
                    role=member.role,
                    removed=member.removed,
                    seen_ms=self._registry.seen_ms.get(member.name),
                    not_after_ms=member.not_after_ms,
                    signing_key=member.signing_key,
                    key_at_enrolment=member.key_at_enrolment,
                )
                for _, member in sorted(self._registry.membership.parties.items())
            )
        )

    async def _welcome(self, party: Party) -> None:
        """Ask a new site for its answers to the plans of the runs under way."""
        if party.role is Role.COLLABORATOR:
            # Whatever comes of it: its token is used up, so it must get its certificate.
            await self._run_registry.tell_alive(Invite(party.name))
