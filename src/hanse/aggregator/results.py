"""What a site sends, checked before any of it counts."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509

from hanse.core.answers import member_state
from hanse.core.commands import AcceptResult, AnswerPlan, Command, FailTask
from hanse.core.disclosure import check_examples, check_metrics, check_update, declared, disclosure_of
from hanse.core.events import SignedStatement
from hanse.core.exchange import Exchange, MemberState
from hanse.core.identity import Party
from hanse.core.plan import INITIALISE
from hanse.core.run import Run
from hanse.errors import DisclosureError, ProtocolError, RunError, TrustError, UpdateError
from hanse.pki.signatures import Signature, verify
from hanse.storage.base import BlobStore
from hanse.wire.messages import PLAN_ANSWER, TASK_RESULT, M, PlanAnswer, TaskOutcome, UpdateFile, decode_value
from hanse.wire.tensors import open_file, read_specs


class Verifier:
    """Checks signed statements against the federation's authority and the blobs that came with them."""

    def __init__(self, federation: str, authority: x509.Certificate, blobs: BlobStore) -> None:
        self._federation = federation
        self._authority = authority
        self._blobs = blobs

    def outcome(self, party: Party, statement: SignedStatement, now: datetime) -> TaskOutcome:
        """The outcome that a party signed.

        Raises:
            TrustError: Somebody else signed it, or it is about somebody else.
            ProtocolError: It is malformed.
        """
        return self._stated(TaskOutcome, TASK_RESULT, party, statement, now)

    def plan_answer(self, party: Party, run: Run, statement: SignedStatement, now: datetime) -> Command:
        """The command that a site's signed answer to the plan comes to."""
        answer = self._stated(PlanAnswer, PLAN_ANSWER, party, statement, now)
        if answer.plan_digest != run.plan_digest:
            raise ProtocolError(
                f"{party.name} answered plan {answer.plan_digest[:12]}, but run {run.run_id} is of plan "
                f"{run.plan_digest[:12]}",
                mend="The site must review the plan that the run names.",
            )
        return AnswerPlan(party.name, answer.accepted, answer.reasons, statement)

    def result(self, run: Run, outcome: TaskOutcome, statement: SignedStatement) -> Command:
        """The command that an outcome comes to, once everything in it has been checked.

        Reads the whole update; call it off the event loop.

        Raises:
            ProtocolError: The outcome names another plan, round, task or model than the exchange.
            LateResultError: The exchange is over.
            DisclosureError: It holds something that the plan does not declare.
            UpdateError: The update is unusable.
        """
        accept = AcceptResult(
            outcome.exchange,
            outcome.site,
            outcome.num_examples,
            outcome.metrics,
            None if outcome.update is None else outcome.update.sha256,
            statement,
        )
        if member_state(run, outcome.exchange, outcome.site) is MemberState.ANSWERED:
            return accept  # a repetition, which changes nothing
        exchange = run.exchanges[outcome.exchange]
        _check_belongs(outcome, run, exchange)
        if outcome.outcome == "failed":
            reason = outcome.reason or "no reason given"
            return FailTask(outcome.exchange, outcome.site, reason, outcome.log_tail, statement)
        self._check_disclosure(run, exchange, outcome)
        return accept

    def _check_disclosure(self, run: Run, exchange: Exchange, outcome: TaskOutcome) -> None:
        what = f"task {outcome.task} at {outcome.site}"
        check_examples(outcome.num_examples, what)
        disclosure = disclosure_of(run.plan, outcome.task)
        check_metrics(outcome.metrics, disclosure, what)
        if (outcome.update is None) != (disclosure.update == "none"):
            without = "no update" if outcome.update is None else "an update"
            raise DisclosureError(f"{what} sent {without}; the plan declares update: {disclosure.update}")
        if outcome.update is not None:
            self._check_update(run, exchange, outcome.update, what)

    def _stated(
        self, kind: type[M], purpose: str, party: Party, statement: SignedStatement, now: datetime
    ) -> M:
        signature = Signature(statement.certificate, statement.signature)
        signer = verify(signature, purpose, statement.body, self._authority, now)
        stated = decode_value(kind, statement.body)
        named: Any = stated
        if signer != party or named.site != party.name or named.federation != self._federation:
            raise TrustError(
                f"{party.name} sent a statement of {named.site} signed by {signer.name}",
                mend="A site can speak for itself only.",
            )
        return stated

    def _check_update(self, run: Run, exchange: Exchange, update: UpdateFile, what: str) -> None:
        if not self._blobs.has(update.sha256):
            raise UpdateError(f"the update of {what} is not here", mend="Upload the blob before its result.")
        path = self._blobs.path(update.sha256)
        delta = open_file(path)
        if exchange.task == INITIALISE:
            expected = read_specs(path)
        else:
            expected = declared(read_specs(self._model(exchange)), disclosure_of(run.plan, exchange.task))
        check_update(delta, expected, what)

    def _model(self, exchange: Exchange) -> Path:
        if exchange.model is None:
            raise RunError(f"exchange {exchange.number} has no model")
        return self._blobs.path(exchange.model)


def _check_belongs(outcome: TaskOutcome, run: Run, exchange: Exchange) -> None:
    stated = (outcome.plan_digest, outcome.round_number, outcome.task, outcome.model)
    if stated != (run.plan_digest, exchange.round_number, exchange.task, exchange.model):
        raise ProtocolError(
            f"{outcome.site} answered {outcome.task} of round {outcome.round_number}, but exchange "
            f"{exchange.number} of run {run.run_id} is {exchange.task} of round {exchange.round_number}",
            mend="The outcome belongs to another run, plan or model; it is not counted.",
        )
