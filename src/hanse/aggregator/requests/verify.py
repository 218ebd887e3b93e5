"""What a site sends, checked before any of it counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hanse.aggregator.evidence.desk import AttestationDesk
from hanse.aggregator.members.member_registry import MemberRegistry
from hanse.aggregator.sealed.blobs import expect_update, forget_content
from hanse.aggregator.sums.cells import is_masked
from hanse.aggregator.sums.results import MaskedResults, check_failure, check_unmasked
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
from hanse.core.values.statements import SignedStatement
from hanse.errors import (
    CredentialError,
    DisclosureError,
    HanseError,
    ProtocolError,
    RunError,
    SealError,
    UpdateError,
)
from hanse.pki.statements import S, check_signed
from hanse.storage.base import BlobStore
from hanse.updates.incoming import check_update_blob
from hanse.wire.messages.basics import encode
from hanse.wire.messages.sites import PLAN_ANSWER, TASK_RESULT, PlanAnswer, TaskOutcome, UpdateFile

_LONGEST_STATEMENT = 65_536
"""Bytes of what a site states; it goes into the journal, and the journal into messages."""


class StatementVerifier:
    """Checks signed statements against the signing keys of the sites and the blobs that came with them."""

    def __init__(
        self,
        registry: MemberRegistry,
        blobs_of: Callable[[Run], BlobStore],
        masked: MaskedResults,
        evidence: AttestationDesk,
        instance: str | None = None,
    ) -> None:
        """Check for one federation.

        Args:
            registry: Knows the signing key of each site.
            blobs_of: What sites have brought for a run.
            masked: Checks results that are masked.
            evidence: Knows which instances of sites are accepted.
            instance: Name of the aggregator's instance, which opens the updates of sealed runs.
        """
        self._registry = registry
        self._blobs_of = blobs_of
        self._instance = instance
        self._masked = masked
        self._evidence = evidence

    def plan_answer(self, peer: Peer, run: Run, statement: SignedStatement) -> Command:
        """The command that a site's signed answer to a plan comes to.

        Raises:
            CredentialError: The site has stated no signing key.
            TrustError: Somebody else signed it, or it is about somebody else.
            ProtocolError: It is malformed, about another plan, or covers another key than it is signed with.
        """
        key = self._recorded_key(peer)
        answer = self._check_stated(PlanAnswer, PLAN_ANSWER, peer, statement, key)
        _check_text(peer.party.name, *answer.reasons)
        if answer.signer != key:
            raise ProtocolError(
                f"{peer.party.name} answered plan {answer.plan_digest[:12]} with key {key[:16]}, and its "
                f"answer names the key {(answer.signer or 'none')[:16]}"
            )
        if answer.plan_digest != run.plan_digest:
            raise ProtocolError(
                f"{peer.party.name} answered plan {answer.plan_digest[:12]}, but run {run.run_id} is of plan "
                f"{run.plan_digest[:12]}",
                mend="The site must review the plan that the run names.",
            )
        return AnswerPlan(peer.party.name, answer.accepted, answer.reasons, statement, key)

    def result(
        self,
        peer: Peer,
        run: Run,
        outcome: TaskOutcome,
        statement: SignedStatement,
        *,
        spoken: str | None = None,
    ) -> Command:
        """The command that an outcome comes to, once everything in it has been checked.

        Reads the whole update; call it off the event loop.

        Args:
            peer: Who sent it.
            run: The run that it is about.
            outcome: What the statement says.
            statement: The statement.
            spoken: Signature of the site's instance, where the plan asks for evidence.

        Raises:
            TrustError: Somebody else signed it, or it is about somebody else.
            RunError: No instance of the site is accepted, or another one made the outcome.
            ProtocolError: The outcome names another plan, round, task, model or roster than the exchange.
            LateResultError: The exchange is over.
            DisclosureError: It holds something that the plan does not declare.
            UpdateError: The update is unusable.
        """
        # Of a run, the key with which the site agreed counts; who does not take part has the one recorded.
        key = run.roster.get(peer.party.name) or self._recorded_key(peer)
        self._check_stated(TaskOutcome, TASK_RESULT, peer, statement, key)
        if outcome.journal is None:
            raise ProtocolError(
                f"{outcome.site} stated an outcome without its record in the site's journal",
                mend="Upgrade Hanse at that site.",
            )
        accept = _accept(outcome, statement)
        if member_state(run, outcome.exchange, outcome.site) is MemberState.ANSWERED:
            return accept  # a repetition, which changes nothing
        said = self._evidence.check_result(run, outcome, statement, spoken)
        accept = replace(accept, spoken=said)
        exchange = run.exchanges[outcome.exchange]
        _check_belongs(outcome, run, exchange)
        if outcome.outcome == "failed":
            _check_text(outcome.site, outcome.reason, outcome.log_tail)
            if is_masked(run, exchange):
                check_failure(outcome)
            reason = outcome.reason or "no reason given"
            return FailTask(outcome.exchange, outcome.site, reason, outcome.log_tail, statement, said)
        if is_masked(run, exchange):
            # Before anything else of it is looked at: what is not masked is not read either.
            update = self._masked.check_place(run, exchange, outcome)
            self._check_update(run, exchange, outcome.site, update)
            return accept
        check_unmasked(outcome)
        self._check_sealed(run, outcome)
        check_result(outcome, run.plan, outcome.task, f"task {outcome.task} at {outcome.site}")
        if outcome.update is not None:
            self._check_update(run, exchange, outcome.site, outcome.update)
        return accept

    def _recorded_key(self, peer: Peer) -> str:
        party = peer.party
        key = self._registry.membership.member(party.name, party.role).signing_key
        if key is None:
            raise CredentialError(
                f"{party.name} has stated no signing key", mend="Restart its agent, which states the key."
            )
        return key

    def _check_stated(
        self, kind: type[S], purpose: str, peer: Peer, statement: SignedStatement, key: str
    ) -> S:
        party, length = peer.party, len(encode(statement))
        if length > _LONGEST_STATEMENT:
            raise ProtocolError(
                f"{party.name} made a statement of {length} bytes; at most {_LONGEST_STATEMENT} are kept"
            )
        return check_signed(statement, kind, purpose, by=party, keys=(key,))

    def _check_sealed(self, run: Run, outcome: TaskOutcome) -> None:
        """Refuse an update that is not sealed to this instance, and in a plain run one that is sealed."""
        expected = self._instance if run.plan.sealed is not None and outcome.update is not None else None
        if outcome.sealed_to != expected:
            # The site then discards the result and reports no failure: it is asked again.
            raise RunError(
                f"the update of task {outcome.task} at {outcome.site} is sealed to the instance "
                f"{(outcome.sealed_to or 'none')[:12]} of the aggregator, and should be to "
                f"{(expected or 'none')[:12]}",
                mend="If the aggregator was started again meanwhile, the site is asked again.",
            )

    def _check_update(self, run: Run, exchange: Exchange, site: str, update: UpdateFile) -> None:
        algorithm, agreed = algorithm_of(update.digest), run.plan.digests
        if algorithm != agreed:
            raise UpdateError(
                f"the update of task {exchange.task} at {site} is named by {algorithm}; "
                f"the plan says {agreed}",
                mend="Upgrade Hanse at that site.",
            )
        blobs = self._blobs_of(run)
        if not blobs.has(update.digest):
            raise UpdateError(
                f"the update of task {exchange.task} at {site} is not here",
                mend="Upload the blob before its result.",
            )
        expect_update(blobs, update.digest, exchange.number, site)
        try:
            check_update_blob(blobs, run, exchange, site, update.digest)
        except HanseError as error:
            forget_content(blobs, update.digest)
            if isinstance(error, SealError):  # of what the site sent, and no reason for it to end
                raise UpdateError(f"the update of task {exchange.task} at {site}: {error.message}") from error
            raise


def _accept(outcome: TaskOutcome, statement: SignedStatement) -> AcceptResult:
    return AcceptResult(
        outcome.exchange,
        outcome.site,
        outcome.num_examples,
        outcome.metrics,
        None if outcome.update is None else outcome.update.digest,
        statement,
        outcome.secure_sum,
    )


def _check_text(site: str, *texts: str) -> None:
    """Refuse text that is not printable: it goes into the journal, and from there to terminals."""
    if not all(map(is_safe, texts)):
        raise DisclosureError(f"{site} states text that is not printable", mend="Upgrade Hanse at that site.")


def _check_belongs(outcome: TaskOutcome, run: Run, exchange: Exchange) -> None:
    roster = None if exchange.roster is None else exchange.roster.digest
    refused = outcome.outcome == "failed" and outcome.roster is None  # the site says so in its reason
    if outcome.roster != roster and not refused:
        raise ProtocolError(
            f"{outcome.site} answered exchange {exchange.number} of run {run.run_id} with roster "
            f"{(outcome.roster or 'none')[:12]}, and the roster of the exchange is {(roster or 'none')[:12]}"
        )
    stated = (outcome.plan_digest, outcome.round_number, outcome.task, outcome.model, outcome.inputs)
    expected = (run.plan_digest, exchange.round_number, exchange.task, exchange.model, exchange.inputs)
    if stated != expected:
        raise ProtocolError(
            f"{outcome.site} answered {outcome.task} of round {outcome.round_number}, but exchange "
            f"{exchange.number} of run {run.run_id} is {exchange.task} of round {exchange.round_number}",
            mend="The outcome belongs to another run, plan, model or groups; it is not counted.",
        )
