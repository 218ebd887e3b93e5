"""What a site sends, checked before any of it counts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from hanse.core.plan.disclosure import check_result
from hanse.core.run.decide import Command
from hanse.core.run.exchange import Exchange
from hanse.core.run.exchange_protocol import MemberState
from hanse.core.run.lifecycle import AnswerPlan
from hanse.core.run.run import Run
from hanse.core.run.tasks import AcceptResult, FailTask, member_state
from hanse.core.values.digests import algorithm_of
from hanse.core.values.peer import Peer
from hanse.core.values.safe_text import is_safe
from hanse.core.values.statements import CertifiedStatement
from hanse.errors import DisclosureError, ProtocolError, UpdateError
from hanse.pki.credentials import Credentials
from hanse.pki.statements import S, check_statement
from hanse.storage.base import BlobStore
from hanse.updates.incoming import check_update_blob
from hanse.wire.messages.basics import encode
from hanse.wire.messages.sites import PLAN_ANSWER, TASK_RESULT, PlanAnswer, TaskOutcome, UpdateFile

_LONGEST_STATEMENT = 65_536
"""Bytes of what a site states; it goes into the journal, and the journal into messages."""


class StatementVerifier:
    """Checks signed statements against the federation's authority and the blobs that came with them."""

    def __init__(self, credentials: Credentials, blobs: BlobStore, clock: Callable[[], datetime]) -> None:
        """Check for the aggregator's federation.

        Args:
            credentials: The aggregator's.
            blobs: What sites have brought.
            clock: The time, with its zone.
        """
        self._authority = credentials.authority
        self._blobs = blobs
        self._clock = clock

    def plan_answer(self, peer: Peer, run: Run, statement: CertifiedStatement) -> Command:
        """The command that a site's signed answer to a plan comes to.

        Raises:
            TrustError: Somebody else signed it, or it is about somebody else.
            ProtocolError: It is malformed, or about another plan.
        """
        answer = self._check_stated(PlanAnswer, PLAN_ANSWER, peer, statement)
        _check_text(peer.party.name, *answer.reasons)
        if answer.plan_digest != run.plan_digest:
            raise ProtocolError(
                f"{peer.party.name} answered plan {answer.plan_digest[:12]}, but run {run.run_id} is of plan "
                f"{run.plan_digest[:12]}",
                mend="The site must review the plan that the run names.",
            )
        return AnswerPlan(peer.party.name, answer.accepted, answer.reasons, statement)

    def result(self, peer: Peer, run: Run, outcome: TaskOutcome, statement: CertifiedStatement) -> Command:
        """The command that an outcome comes to, once everything in it has been checked.

        Reads the whole update; call it off the event loop.

        Args:
            peer: Who sent it.
            run: The run that it is about.
            outcome: What the statement says.
            statement: The statement.

        Raises:
            TrustError: Somebody else signed it, or it is about somebody else.
            ProtocolError: The outcome names another plan, round, task or model than the exchange.
            LateResultError: The exchange is over.
            DisclosureError: It holds something that the plan does not declare.
            UpdateError: The update is unusable.
        """
        self._check_stated(TaskOutcome, TASK_RESULT, peer, statement)
        if outcome.journal is None:
            raise ProtocolError(
                f"{outcome.site} stated an outcome without its record in the site's journal",
                mend="Upgrade Hanse at that site.",
            )
        accept = AcceptResult(
            outcome.exchange,
            outcome.site,
            outcome.num_examples,
            outcome.metrics,
            None if outcome.update is None else outcome.update.digest,
            statement,
        )
        if member_state(run, outcome.exchange, outcome.site) is MemberState.ANSWERED:
            return accept  # a repetition, which changes nothing
        exchange = run.exchanges[outcome.exchange]
        _check_belongs(outcome, run, exchange)
        if outcome.outcome == "failed":
            _check_text(outcome.site, outcome.reason, outcome.log_tail)
            reason = outcome.reason or "no reason given"
            return FailTask(outcome.exchange, outcome.site, reason, outcome.log_tail, statement)
        check_result(outcome, run.plan, outcome.task, f"task {outcome.task} at {outcome.site}")
        if outcome.update is not None:
            self._check_update(run, exchange, outcome.site, outcome.update)
        return accept

    def _check_stated(self, kind: type[S], purpose: str, peer: Peer, statement: CertifiedStatement) -> S:
        party, length = peer.party, len(encode(statement))
        if length > _LONGEST_STATEMENT:
            raise ProtocolError(
                f"{party.name} made a statement of {length} bytes; at most {_LONGEST_STATEMENT} are kept"
            )
        return check_statement(
            statement, kind, purpose, by=party, authority=self._authority, at=self._clock()
        )

    def _check_update(self, run: Run, exchange: Exchange, site: str, update: UpdateFile) -> None:
        algorithm, agreed = algorithm_of(update.digest), run.plan.digests
        if algorithm != agreed:
            raise UpdateError(
                f"the update of task {exchange.task} at {site} is named by {algorithm}; "
                f"the plan says {agreed}",
                mend="Upgrade Hanse at that site.",
            )
        if not self._blobs.has(update.digest):
            raise UpdateError(
                f"the update of task {exchange.task} at {site} is not here",
                mend="Upload the blob before its result.",
            )
        check_update_blob(self._blobs, run, exchange, site, update.digest)


def _check_text(site: str, *texts: str) -> None:
    """Refuse text that is not printable: it goes into the journal, and from there to terminals."""
    if not all(map(is_safe, texts)):
        raise DisclosureError(f"{site} states text that is not printable", mend="Upgrade Hanse at that site.")


def _check_belongs(outcome: TaskOutcome, run: Run, exchange: Exchange) -> None:
    stated = (outcome.plan_digest, outcome.round_number, outcome.task, outcome.model)
    if stated != (run.plan_digest, exchange.round_number, exchange.task, exchange.model):
        raise ProtocolError(
            f"{outcome.site} answered {outcome.task} of round {outcome.round_number}, but exchange "
            f"{exchange.number} of run {run.run_id} is {exchange.task} of round {exchange.round_number}",
            mend="The outcome belongs to another run, plan or model; it is not counted.",
        )
