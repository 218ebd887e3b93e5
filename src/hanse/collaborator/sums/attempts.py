"""Attempts of one exchange: carries out what the state of a site's sum says, until its cell is complete."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from functools import partial

from hanse.collaborator.progress import always
from hanse.collaborator.receipts.keeper import ReceiptKeeper
from hanse.collaborator.sums.board import Board, first_of
from hanse.collaborator.sums.failure import SumFailedError
from hanse.collaborator.sums.files import SumFiles
from hanse.collaborator.sums.masked_vectors import MaskedVectors
from hanse.collaborator.sums.memory import OwnCell, SummedData, earlier_rosters, own_cell, sum_history
from hanse.collaborator.sums.questions import CellsQuestion, Questions
from hanse.collaborator.sums.records import ready_record, roster_record
from hanse.collaborator.sums.steps import note_step
from hanse.collaborator.task_run import TaskRun
from hanse.concurrency import in_thread
from hanse.config.layout import QUESTIONS
from hanse.core.journal.site_records import SiteRecord
from hanse.core.journal.sum_records import AgreedOverlap, SumPrepared
from hanse.core.plan.plan import Plan
from hanse.core.plan.privacy.parts import section_of
from hanse.core.values.statements import SignedStatement
from hanse.core.values.sums.ready import READY, ReadyBody
from hanse.errors import (
    AttemptError,
    ConfigError,
    HanseError,
    PolicyError,
    ProtocolError,
    RunError,
    TamperedError,
    TransportError,
    TrustError,
    UpdateError,
)
from hanse.pki.signing_key import verify_statement
from hanse.pki.statements import state as sign
from hanse.privacy.secagg.site import SiteSum, SumPlan, begin, step
from hanse.privacy.secagg.site_steps import (
    Asked,
    AskPerson,
    Event,
    Fail,
    FailureKind,
    FetchRoster,
    Instruction,
    RecordMasked,
    RecordReady,
    RecordRoster,
    RosterCame,
    SendMasked,
    SendReady,
    WriteMasked,
)
from hanse.wire.messages.sums import SumAsked, SumReadyRequest

logger = logging.getLogger(__name__)


class SumAttempts:
    """Sees one exchange through, of which the vector is kept.

    Args:
        task_run: The task.
        plan: The plan.
        cell: The site's.
        files: Of the exchange.
        board: Has what the aggregator waits for.
        receipts: Hands outcomes in.
        accepting: Held while a roster is compared with those before it and recorded; one for the site.
    """

    def __init__(
        self,
        task_run: TaskRun,
        plan: Plan,
        cell: OwnCell,
        files: SumFiles,
        board: Board,
        receipts: ReceiptKeeper,
        accepting: asyncio.Lock,
    ) -> None:
        self._task_run = task_run
        self._here = task_run.context
        self._key = task_run.run.run_id, task_run.assignment.exchange
        self._plan = plan
        self._cell = cell
        self._files = files
        self._board = board
        self._receipts = receipts
        self._accepting = accepting
        self._questions = Questions(self._here.directory / QUESTIONS)
        self._questions_asked: set[str] = set()
        self._asked: SumAsked | None = None

    async def run(self, prepared: SumPrepared) -> None:
        """Make attempts until the exchange is over for this site.

        Raises:
            SumFailedError: It failed here for good.
        """
        # While others are waited for, it is enough to be here.
        self._task_run.progress.sign = always()
        self._state = await in_thread(partial(self._begun, prepared))
        self._summed = SummedData(prepared.data, prepared.paths)
        self._vectors = MaskedVectors(self._task_run, self._plan, prepared, self._files, self._receipts)
        await self._wait_until_ready()
        while (asked := await self._board.next(self._key, self._asked)) is not None:
            self._asked = asked
            if asked.cell != self._cell.name:
                raise SumFailedError.of(
                    PolicyError(f"{self._task_run}: asked for cell {asked.cell}, and is in {self._cell.name}")
                )
            await self._take(Asked(asked.attempt, asked.rho))

    def _begun(self, prepared: SumPrepared) -> SiteSum:
        run, own = self._task_run.run, self._here.identity
        known = self._here.journal.history.sums.last(run.run_id, run.plan_digest)
        assert known is not None
        plan = SumPlan(
            federation=own.federation,
            run_id=run.run_id,
            exchange=prepared.exchange,
            cell=self._cell.name,
            members=self._cell.members,
            site=own.site,
            signer=own.signing_key.fingerprint,
            context=prepared.context,
            commitment=prepared.commitment,
            colluders=self._cell.colluders,
            pins=self._cell.pins,
        )
        try:
            return begin(plan, sum_history(known, self._files))
        except PolicyError as error:
            raise SumFailedError.of(error) from error

    async def _wait_until_ready(self) -> None:
        """READY leaves no sooner after the task began than the plan says: its time depends on the data.

        Not from the assignment on: until the inputs were here, others decide how long it takes.
        """
        if self._state.history.last:  # the first one kept to it, and says nothing any more
            return
        began_s = self._task_run.progress.begun_s
        # Performed by an agent before this one: of its time nothing shows, and the whole time is waited.
        passed_s = 0.0 if began_s is None else asyncio.get_running_loop().time() - began_s
        wait_s = (section_of(self._plan).ready_after or 0.0) - passed_s
        if wait_s > 0:
            await self._here.sleep(wait_s)

    async def _take(self, event: Event | None) -> None:
        while event is not None:
            instructions = await self._rostered(event) if isinstance(event, RosterCame) else self._step(event)
            event = None
            for instruction in instructions:
                event = await self._carry_out(instruction)

    def _step(self, event: Event) -> tuple[Instruction, ...]:
        here = self._here
        self._state, instructions = step(self._state, event, randomness=here.randomness, verify=_verify)
        return instructions

    async def _rostered(self, came: RosterCame) -> tuple[Instruction, ...]:
        """Compare a roster with all that was accepted before, and record it if it passes.

        No other roster is accepted in between, of any run: of two that overlap, and come at once, neither
        would be in what the other is compared with.

        Returns:
            What is left to do.
        """
        async with self._accepting:
            await in_thread(self._here.journal.catch_up)  # a person may have answered a question
            instructions = self._step(await in_thread(partial(self._with_memory, came)))
            for instruction in instructions:
                if isinstance(instruction, RecordRoster):
                    await self._carry_out(instruction)
        return tuple(each for each in instructions if not isinstance(each, RecordRoster))

    def _with_memory(self, came: RosterCame) -> RosterCame:
        """A roster with what is known now; keys that were first seen meanwhile count in its check too."""
        recorded, digest = self._here.journal.history.sums, self._task_run.run.plan_digest
        try:
            cell = own_cell(self._here, self._plan, digest)
        except HanseError as error:
            raise SumFailedError.of(error) from error
        plan = replace(self._state.plan, pins=cell.pins, colluders=cell.colluders)
        self._state = replace(self._state, plan=plan)
        # The data that the vector was computed from, wherever their paths lead by now.
        return replace(
            came,
            earlier=earlier_rosters(recorded, self._summed),
            agreed=recorded.agreed(self._summed.names, self._summed.paths),
        )

    async def _carry_out(self, instruction: Instruction) -> Event | None:
        """Carry an instruction out; the last of several may have an event follow."""
        match instruction:
            case RecordReady(body):
                await self._append(ready_record(body, self._task_run.run.plan_digest), "ready")
            case RecordRoster():
                await self._append(
                    roster_record(instruction, self._state.plan, self._task_run.run.plan_digest), "roster"
                )
            case SendReady(body):
                return await self._send_ready(body)
            case FetchRoster(rho):
                return await self._fetch(rho)
            case AskPerson():
                return await self._ask_person(instruction)
            case WriteMasked():
                # Of an earlier attempt nothing can be summed any more.
                self._state = replace(self._state, history=replace(self._state.history, masked={}))
                return await self._vectors.write(instruction)
            case RecordMasked(attempt, rho, masked):
                await self._vectors.record(attempt, rho, masked)
            case SendMasked(attempt, rho, masked):
                await self._vectors.send(attempt, rho, masked)
            case Fail(kind, reason):
                raise SumFailedError(kind, f"{self._task_run}: {reason}")
        return None

    async def _send_ready(self, body: ReadyBody) -> Event | None:
        # Ed25519: one body always has one signature.
        statement = sign(self._here.identity.signing_key, READY, body)
        request = SumReadyRequest(run_id=body.run_id, statement=statement)
        try:
            await self._here.retry_while_disk_full(partial(self._here.upstream.sum_ready, request))
        except AttemptError as error:
            logger.info("%s: attempt %d is used up: %s", self._task_run, body.attempt, error)
            # Its key is of no use any more; the next number is above every one that is used here.
            self._state = replace(self._state, live=None)
            return Asked(body.attempt)
        except RunError as error:
            logger.info("%s: READY is not wanted: %s", self._task_run, error, extra=self._task_run.facts)
        except (ConfigError, PolicyError, UpdateError) as error:
            raise SumFailedError.of(error) from error
        except TrustError as error:
            if type(error) is not TrustError:  # the site is not known any more
                raise
            raise SumFailedError(
                FailureKind.ROSTER, f"{self._task_run}: READY is refused: {error}"
            ) from error
        else:
            told = "%s: READY for attempt %d at the sum of cell %s"
            logger.info(told, self._task_run, body.attempt, body.cell, extra=self._task_run.facts)
        await in_thread(partial(note_step, "ready sent"))
        return None

    async def _fetch(self, rho: str) -> Event | None:
        try:
            fetch = partial(self._here.upstream.sum_roster, rho)
            roster = await self._here.retry_while_disk_full(fetch)
        except RunError as error:
            logger.info("%s: the roster is not to be had: %s", self._task_run, error)
            return None
        except (ProtocolError, TamperedError, TransportError, TrustError):
            raise
        except HanseError as error:
            raise SumFailedError.of(error) from error
        return RosterCame(roster.ready)

    async def _ask_person(self, wanted: AskPerson) -> Event | None:
        question = CellsQuestion(
            run_id=self._key[0],
            asked_ms=self._here.now_ms,
            plan_digest=self._task_run.run.plan_digest,
            cell=self._cell.name,
            signers=dict(wanted.signers),
            data=self._summed.names,
            paths=self._summed.paths,
            overlaps=tuple(
                AgreedOverlap(
                    plan_digest=each.earlier.plan_digest,
                    cell=each.earlier.cell,
                    signers=dict(each.earlier.signers),
                    disclosed=each.disclosed,
                )
                for each in wanted.overlaps
            ),
        )
        if question.id not in self._questions_asked or not self._questions.is_open(question.id):
            ask = partial(in_thread, partial(self._questions.ask, question))
            await self._here.retry_while_disk_full(ask)
            self._questions_asked.add(question.id)
            logger.warning(
                "%s waits for a person: %s See `hanse collaborator questions`, and answer with `hanse "
                "collaborator permit %s --reason ...`",
                *(self._task_run, question.text, question.id),
                extra=self._task_run.facts,
            )
        answered = self._questions.until_answered(question.id, self._here.sleep, self._here.look_s)
        changed = self._board.next(self._key, self._asked)
        await first_of([asyncio.create_task(answered), asyncio.create_task(changed)])
        asked = self._asked
        if self._questions.is_open(question.id) or asked is None or asked.rho is None:
            return None  # something else is waited for meanwhile
        return await self._fetch(asked.rho)

    async def _append(self, record: SiteRecord, what: str) -> None:
        append = partial(in_thread, partial(self._here.journal.append, record))
        await self._here.retry_while_disk_full(append)
        await in_thread(partial(note_step, what))


def _verify(statement: SignedStatement) -> str:
    return verify_statement(statement, READY)
