"""Receipts as the agent deals with them: asked for, checked, kept, and heeded where they contradict."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NoReturn

from hanse.collaborator.context import SiteContext
from hanse.collaborator.receipts.notes import (
    CONTRADICTION,
    KNOWN,
    NOTICED,
    Contradiction,
    NotedRestore,
    contradiction,
    forget_note,
    noted_restore,
    write_note,
)
from hanse.collaborator.receipts.store import ReceiptStore
from hanse.collaborator.receipts.unheard import verify_restore
from hanse.collaborator.site_journal import ACKNOWLEDGE
from hanse.core.journal.chain import ChainHead
from hanse.core.journal.receipts import Receipt
from hanse.core.values.canonical import digest_of
from hanse.core.values.statements import CertifiedStatement, SignedStatement
from hanse.errors import (
    CredentialError,
    HanseError,
    ProtocolError,
    StorageError,
    TamperedError,
    TransportError,
    TrustError,
    VersionError,
)
from hanse.pki.receipts import verify_receipt
from hanse.wire.messages.sites import ReceiptsReply, ReceiptsRequest, ResultRequest, TaskOutcome

logger = logging.getLogger(__name__)

_REMEDY = (
    "A person decides: ask the federation's operator; then, with the agent stopped, acknowledge it by: "
    f"{ACKNOWLEDGE}"
)


class ReceiptKeeper:
    """Checks and keeps what the aggregator signs to this site; belongs to one event loop.

    Attributes:
        held: Set once a person has to act before the site serves again.
        reason: Then, why.
        say: Gives the signature of this agent's instance over an outcome; None for none.

    Args:
        context: The site.
    """

    def __init__(self, context: SiteContext) -> None:
        self._here = context
        self._store = ReceiptStore(context.directory)
        self._known: NotedRestore | None = None
        self._noticed: NotedRestore | None = None
        self._doubted: ChainHead | None = None
        self.held = asyncio.Event()
        self.reason: Contradiction | NotedRestore | None = None
        self.say: Callable[[TaskOutcome, SignedStatement], str | None] = lambda *_: None

    async def connect(self) -> None:
        """Show the last receipts to the aggregator, and take one of the membership.

        Does not return where a person of the site has to act first; see `held`. No refusal stops a site, and
        neither does a claim without a signature.

        Raises:
            HanseError: The site is not a member any more, or speaks another version.
        """
        here = self._here
        if not self.held.is_set() and (found := await asyncio.to_thread(self._noted)) is not None:
            await self._hold(found)
        try:
            shown = await asyncio.to_thread(self._store.shown)
            request = ReceiptsRequest(receipts=shown)
            reply = await here.retry_while_disk_full(partial(self._ask, request))
        except (VersionError, CredentialError):
            raise
        except HanseError as error:
            logger.warning("the aggregator does not give a receipt of its membership: %s", error)
            if self._noticed is not None:
                await self._hold(self._noticed)
            return
        try:
            await self._take(reply.receipt, reply)
        except (ProtocolError, TrustError) as error:
            logger.warning("the aggregator's receipt of its membership does not hold: %s", error)

    async def heed(self, restored: ChainHead | None) -> None:
        """Ask about a restore that the aggregator names and this site does not know; see `connect`."""
        if restored not in (self._known_record, self._doubted):
            await self.connect()

    async def submit(self, statement: SignedStatement, outcome: TaskOutcome) -> None:
        """Give an outcome to the aggregator, once, and keep the receipt.

        Raises:
            TransportError: What came is not a receipt of this outcome; the outcome is to be given again.
            HanseError: As `Upstream.result`.
        """
        run_id = outcome.run_id
        if self._store.remembers(run_id):
            shown = self._store.last(run_id)
        else:
            shown = await asyncio.to_thread(self._store.last, run_id)
        spoken = self.say(outcome, statement)
        request = ResultRequest(statement=statement, spoken=spoken, receipt=shown)
        reply = await self._here.upstream.result(request)
        try:
            receipt = await self._take(reply.receipt)
            _check_about(receipt, statement, outcome, shown)
        except (ProtocolError, TrustError) as error:
            raise TransportError(
                f"the receipt of exchange {outcome.exchange} of run {run_id} does not hold: {error.message}",
                mend="The outcome is sent again; if this lasts, the aggregator's operator has to explain it.",
            ) from error
        self._keep(reply.receipt, receipt)

    def forget(self, run_id: str) -> None:
        """Let go of what is remembered of a run that is over."""
        self._store.forget(run_id)

    @property
    def _known_record(self) -> ChainHead | None:
        return None if self._known is None else self._known.record

    def _noted(self) -> Contradiction | None:
        """Read what an earlier agent has noted; the contradiction that it has found, if there is one."""
        self._store.tidy_up()
        directory = self._here.directory
        self._known, self._noticed = noted_restore(directory, KNOWN), noted_restore(directory, NOTICED)
        return contradiction(directory)

    async def _ask(self, request: ReceiptsRequest) -> ReceiptsReply:
        try:
            return await self._here.upstream.receipts(request)
        except TamperedError as error:  # of its own disk, which does not concern this site
            raise ProtocolError(error.message, mend=error.mend) from error

    async def _take(self, statement: CertifiedStatement, reply: ReceiptsReply | None = None) -> Receipt:
        """Check who signed a receipt, and hold it against all that were signed before.

        Raises:
            ProtocolError: It is not a receipt.
            TrustError: The aggregator did not sign it.
        """
        credentials = self._here.identity.credentials
        receipt = verify_receipt(statement, credentials.authority)
        if reply is None:
            await self.heed(receipt.restored)
        elif receipt.restored != self._known_record:
            await self._judge_restore(receipt, reply.restored)
        elif self._noticed is not None:  # a later copy of the aggregator's journal was put back
            await asyncio.to_thread(forget_note, self._here.directory, NOTICED)
            self._noticed = None
        for (stream, sequence), earlier in self._store.conflicts(receipt):
            try:
                verify_receipt(earlier, credentials.authority)
            except HanseError as error:
                logger.warning("a receipt in %s is damaged: %s", self._here.directory, error)
                continue
            await self._hold(
                Contradiction(
                    stream=stream,
                    sequence=sequence,
                    receipts=(earlier, statement),
                    noticed_ms=self._here.now_ms,
                )
            )
        if reply is not None and (receipt.federation, receipt.site) == (
            credentials.party.federation,
            credentials.party.name,
        ):
            self._keep(statement, receipt)
        return receipt

    async def _judge_restore(self, receipt: Receipt, statement: CertifiedStatement | None) -> None:
        """Hold back where an operator's signature shows that the aggregator was restored; else only warn."""
        record = receipt.restored
        if record is None:
            return  # of before the restore that this site knows: its own receipts show that to the aggregator
        first = self._known is None and not await asyncio.to_thread(self._store.shown)
        try:
            verify_restore(statement, self._known, self._here.identity.credentials.authority)
        except (ProtocolError, TrustError) as error:
            if not first:
                logger.warning("the aggregator claims to be restored, and its proof does not hold: %s", error)
                self._doubted = record
                return
            statement = None
        restore = NotedRestore(record=record, statement=statement, noticed_ms=self._here.now_ms)
        if not first:
            await self._hold(restore)
        self._known = restore
        try:
            await asyncio.to_thread(write_note, self._here.directory, KNOWN, restore)
        except StorageError as error:  # it is learnt again at the next start
            logger.warning("a restore of the aggregator cannot be noted: %s", error)

    async def hold_back(self, renew: Callable[[], Awaitable[None]], remind_s: float) -> NoReturn:
        """Once `held` is set: note the reason for a person's command, and state it now and then.

        Args:
            renew: Renews the site's certificate where that is due.
            remind_s: Time between two reminders, seconds.
        """
        here, reason = self._here, self.reason
        assert reason is not None
        name = CONTRADICTION if isinstance(reason, Contradiction) else NOTICED
        write = partial(asyncio.to_thread, write_note, here.directory, name, reason)
        await here.retry_while_disk_full(write)
        while True:
            logger.error("nothing leaves this site any more: %s. %s", reason, _REMEDY)
            await renew()
            await asyncio.sleep(remind_s)

    async def _hold(self, reason: Contradiction | NotedRestore) -> NoReturn:
        """Have the agent serve nothing more; the caller waits until the agent ends it."""
        self.reason = self.reason or reason
        self.held.set()
        while True:
            await asyncio.sleep(3_600.0)

    def _keep(self, statement: CertifiedStatement, receipt: Receipt) -> None:
        try:
            self._store.add(statement, receipt)  # a line of text, and the disk is not waited for
        except StorageError as error:  # it would prove what the next one proves too
            logger.warning("a receipt cannot be kept: %s", error)


def _check_about(
    receipt: Receipt, statement: SignedStatement, outcome: TaskOutcome, shown: CertifiedStatement | None
) -> None:
    """Check that a receipt is about an outcome, and names the record that was shown.

    Raises:
        TrustError: It is about something else, or names no record that can be true.
    """
    received = receipt.received
    if received is None or (receipt.federation, receipt.site) != (outcome.federation, outcome.site):
        raise TrustError(f"it is not a receipt of an outcome of {outcome.site}")
    about = received.run_id, received.exchange, received.outcome
    if about != (outcome.run_id, outcome.exchange, digest_of(statement.body)):
        raise TrustError("it is about another outcome")
    known = None
    if shown is not None:
        last = Receipt.model_validate(shown.body).received
        known = last.journal if last is not None and last.run_id == outcome.run_id else None
    if received.known != known:
        raise TrustError("it does not name the record that the last receipt of this site named")
    if known is not None and (
        received.journal.sequence < known.sequence
        or (received.journal.sequence == known.sequence and received.journal != known)
    ):
        raise TrustError("it names an earlier record than the receipt before it")
