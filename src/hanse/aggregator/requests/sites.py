"""Requests of collaborators: what there is to do, and what came of it."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from hanse.aggregator.evidence.desk import AttestationDesk
from hanse.aggregator.members.member_registry import MemberRegistry
from hanse.aggregator.receipts.desk import ReceiptDesk
from hanse.aggregator.requests.readies import ReadyDesk
from hanse.aggregator.requests.verify import StatementVerifier
from hanse.aggregator.run.controller import RunController
from hanse.aggregator.run.site_work import WorkList, assignments, concerns
from hanse.aggregator.run_registry import RunRegistry
from hanse.core.plan.privacy.cells import masks
from hanse.core.run.tasks import RefuseResult, StartTask
from hanse.core.values.peer import Peer
from hanse.core.values.roster import RosterProof
from hanse.core.values.safe_text import outgoing_line
from hanse.errors import HanseError, LateResultError, ProtocolError, RunError, StorageError, TrustError
from hanse.wire.messages.basics import Empty, decode_value
from hanse.wire.messages.evidence import AttestReply, AttestRequest
from hanse.wire.messages.sites import (
    AnswerRequest,
    JournalHeadReply,
    JournalHeadRequest,
    NextRequest,
    ProgressRequest,
    ReceiptsReply,
    ReceiptsRequest,
    ResultReply,
    ResultRequest,
    TaskOutcome,
    Work,
)
from hanse.wire.messages.sums import SumReadyRequest, SumRoster

logger = logging.getLogger(__name__)

_LONGEST_REASON = 1_000


class SiteRequests:
    """Serves the requests of `hanse.transport.service.SiteHandler`."""

    def __init__(
        self,
        registry: MemberRegistry,
        run_registry: RunRegistry,
        verifier: StatementVerifier,
        receipts: ReceiptDesk,
        work_list: WorkList,
        readies: ReadyDesk,
        evidence: AttestationDesk,
    ) -> None:
        self._evidence = evidence
        self._registry = registry
        self._run_registry = run_registry
        self._verifier = verifier
        self._receipts = receipts
        self._work_list = work_list
        self._readies = readies

    async def next(self, peer: Peer, request: NextRequest) -> Work:
        """Wait for the site's work to change."""

        def look() -> Work | None:
            # It may be removed while it waits.
            self._registry.membership.member(peer.party.name, peer.party.role)
            self._receipts.check()
            work = self._work(peer)
            return None if work.version == request.known else work

        found = await self._run_registry.signals.until([peer.party.name], look, request.wait_s)
        return found or self._work(peer)

    async def answer(self, peer: Peer, request: AnswerRequest) -> Empty:
        """Take a site's answer to a plan."""
        self._receipts.check()
        controller = self._find(peer, request.run_id)
        await controller.execute(self._verifier.plan_answer(peer, controller.run, request.statement))
        return Empty()

    async def result(self, peer: Peer, request: ResultRequest) -> ResultReply:
        """Take an outcome; durable when this returns."""
        self._receipts.check()
        stated, shown = request.statement, request.receipt
        outcome = decode_value(TaskOutcome, stated.body)
        controller = self._find(peer, outcome.run_id)
        claim = self._receipts.judge(peer, shown)
        await self._receipts.heed(peer, shown, claim)
        try:
            # On a thread: the whole update is read.
            check = partial(self._verifier.result, spoken=request.spoken)
            command = await asyncio.to_thread(check, peer, controller.run, outcome, stated)
            events = await controller.execute(command)
            if not events:
                await asyncio.to_thread(
                    self._run_registry.recorded_outcomes.check_repeated,
                    *(outcome.run_id, outcome.site, outcome.exchange, stated.body),
                )
        except StorageError:
            raise  # our fault, not the site's: it tries again
        except HanseError as error:
            await _refuse(controller, peer, outcome, error)
            raise
        receipt = self._receipts.issue(outcome, stated, controller, claim)
        return ResultReply(duplicate=not events, receipt=receipt)

    async def progress(self, peer: Peer, request: ProgressRequest) -> Empty:
        """Note that a task is under way."""
        self._receipts.check()
        controller = self._find(peer, request.run_id)
        if controller.note_progress(request.exchange, peer.party.name):
            await controller.execute(StartTask(request.exchange, peer.party.name))
        return Empty()

    async def roster(self, peer: Peer, digest: str) -> RosterProof:
        """Give a site's place in the roster of an exchange that asks it.

        Raises:
            RunError: No exchange with this roster asks the site.
        """
        site = peer.party.name
        for run in self._run_registry.states():
            asked = concerns(run, site) and self._evidence.may_work(run, site)
            for exchange in assignments(run, site) if asked else ():
                roster = exchange.roster
                if roster is not None and site in roster and roster.digest == digest:
                    return roster.proof(site)
        raise RunError(f"no exchange that asks {site} has the roster {digest[:12]}; it may have closed")

    async def attest(self, peer: Peer, request: AttestRequest) -> AttestReply:
        """Take a step of an exchange of evidence; a verdict is durable when this returns."""
        self._receipts.check()
        controller = self._find(peer, request.run_id)
        return await self._evidence.exchange(peer.party.name, controller, request)

    async def sum_ready(self, peer: Peer, request: SumReadyRequest) -> Empty:
        """Take a site's READY for a masked sum; durable when this returns."""
        self._receipts.check()
        controller = self._find(peer, request.run_id)
        try:
            await self._readies.take(peer, controller, request.statement)
        except (TrustError, ProtocolError) as error:
            logger.warning("run %s: a READY of %s was refused: %s", request.run_id, peer.party.name, error)
            raise
        return Empty()

    async def sum_roster(self, peer: Peer, digest: str) -> SumRoster:
        """Give the READYs of a cell to a member of it."""
        return self._readies.roster(peer.party.name, digest, self._run_registry.states())

    async def journal_head(self, peer: Peer, request: JournalHeadRequest) -> JournalHeadReply:
        """Say which record of the site's journal was heard of last."""
        heads = self._run_registry.journal_heads
        heard = await asyncio.to_thread(heads.latest, peer.party.name)
        if heard is None:
            return JournalHeadReply()
        stated = request.head
        if stated is not None and heard.head.place > stated.place and not request.proof:
            logger.warning(
                "%s states record %d of its journal as the last, and record %d was heard of: the journal was "
                "restored from a backup, or two copies of the site run",
                *(peer.party.name, stated.sequence, heard.head.sequence),
            )
        statement = await asyncio.to_thread(heads.statement, heard) if request.proof else None
        return JournalHeadReply(heard=heard.head, statement=statement)

    async def receipts(self, peer: Peer, request: ReceiptsRequest) -> ReceiptsReply:
        """Hold the receipts that a site holds against the journals."""
        restored = self._registry.restored
        return await self._receipts.exchange(peer, request, None if restored is None else restored[1])

    def _work(self, peer: Peer) -> Work:
        restored = self._registry.restored
        return self._work_list.of(
            peer.party.name, self._run_registry.states(), None if restored is None else restored[0]
        )

    def _find(self, peer: Peer, run_id: str) -> RunController:
        controller = self._run_registry.find(run_id)
        if peer.party.name not in controller.run.invited:
            raise RunError(f"{peer.party.name} was not asked to take part in run {run_id}")
        return controller


async def _refuse(controller: RunController, peer: Peer, outcome: TaskOutcome, error: HanseError) -> None:
    """Record a result that does not count, under the name of who sent it."""
    log = logger.info if isinstance(error, LateResultError) else logger.warning
    log("run %s: a result of %s was refused: %s", outcome.run_id, peer.party.name, error)
    # Of a late answer alone it has been checked by now who signed it.
    late = isinstance(error, LateResultError) and outcome.outcome == "done"
    # Of a masked task the journal names no number of one site, whatever an agent says.
    late = late and outcome.secure_sum is None and not masks(controller.run.plan, outcome.task)
    examples = outcome.num_examples if late else None
    await controller.execute(
        RefuseResult(
            outcome.exchange,
            peer.party.name,
            error.code,
            outgoing_line(error.message, _LONGEST_REASON),
            examples,
        )
    )
