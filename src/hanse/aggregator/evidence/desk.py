"""Exchange of evidence with the sites of runs, and what follows from it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from pathlib import Path

from hanse.aggregator.evidence.occasions import Parties, check_introduced
from hanse.aggregator.evidence.plans import PlanReader
from hanse.aggregator.evidence.standings import Standings, is_due
from hanse.aggregator.run.controller import RunController
from hanse.attestation.instance import check_said
from hanse.attestation.tpm.quote import Started
from hanse.control.appraisal.appraiser import Appraiser, Finding, Question
from hanse.control.appraisal.deny_list import DenyOwner
from hanse.control.appraisal.nonces import Nonces
from hanse.control.appraisal.options import EvidenceOptions
from hanse.control.appraisal.own_machine import OwnMachine
from hanse.core.run.evidence.commands import RecordAppraisal, StartInstance
from hanse.core.run.run import Run
from hanse.core.values.safe_text import outgoing_line
from hanse.core.values.statements import SignedStatement
from hanse.core.values.wording import shortened
from hanse.errors import (
    ConfigError,
    EvidenceError,
    PolicyError,
    RunError,
    SealError,
    StorageError,
    TrustError,
)
from hanse.pki.credentials import Credentials
from hanse.pki.deny_lists import check_aggregator_list
from hanse.pki.introductions import introduce_aggregator
from hanse.storage.base import BlobStore
from hanse.wire.messages.evidence import (
    OUTCOME_SAID,
    AttestReply,
    AttestRequest,
    Shown,
)
from hanse.wire.messages.runs import AwaitedSite
from hanse.wire.messages.sites import EvidenceAsked, TaskOutcome

logger = logging.getLogger(__name__)

_APPRAISALS_AT_ONCE = 2
_LONGEST_REASON = 4_000


class AttestationDesk:
    """Appraises the sites of runs, and shows the aggregator's own instance; belongs to one event loop.

    Args:
        machine: The aggregator's own instance and device.
        appraiser: Appraises in the aggregator's name.
        credentials: The aggregator's.
        blobs: Have the files of plans.

    Attributes:
        machine: The aggregator's own instance and device.
        credentials: The aggregator's, as last renewed.
        plans: Reads what plans ask for.
        alive: Runs that are not over.
        owner_signature: Signature of the model's owner over the instance for a run, base64; empty for none.
    """

    def __init__(
        self,
        machine: OwnMachine,
        appraiser: Appraiser,
        credentials: Credentials,
        blobs: BlobStore,
    ) -> None:
        def clock_ms() -> int:
            return int(appraiser.clock().timestamp() * 1000)

        self.machine = machine
        self.credentials = credentials
        self.alive: Callable[[], Iterable[RunController]] = tuple
        self.owner_signature: Callable[[Run], str] = lambda _: ""
        self.plans = PlanReader(machine, blobs)
        self._appraiser = appraiser
        self._nonces: Nonces[Question] = Nonces(clock_ms, appraiser.randomness)
        self._standings = Standings(clock_ms)
        self._troubles: dict[str, str] = {}
        self._busy: set[str] = set()
        self._appraising = asyncio.Semaphore(_APPRAISALS_AT_ONCE)

    @staticmethod
    def open(
        options: EvidenceOptions,
        directory: Path,
        credentials: Credentials,
        blobs: BlobStore,
        clock: Callable[[], datetime],
    ) -> AttestationDesk:
        """The desk of an aggregator.

        Args:
            options: What its settings come to.
            directory: The federation's folder.
            credentials: The aggregator's.
            blobs: Have the files of plans.
            clock: The time, with its zone.
        """
        party, authority = credentials.party, credentials.authority
        verify = partial(check_aggregator_list, authority=authority)
        owner = DenyOwner(party.federation, "aggregator", party.name, verify)
        appraiser = options.appraiser(directory, owner, clock)
        return AttestationDesk(options.machine(), appraiser, credentials, blobs)

    def asked(self, run: Run, site: str) -> EvidenceAsked | None:
        """Where a site stands, for its list of work; None where the plan asks for no evidence."""
        if run.plan.attestation is None:
            return None
        return self._standings.asked(
            run, site, self.machine.instance.name, self._troubles.get(run.run_id, "")
        )

    def annotated(self, run: Run, awaited: tuple[AwaitedSite, ...]) -> tuple[AwaitedSite, ...]:
        """Sites that a run waits for, with what their evidence lacks."""
        if run.plan.attestation is None:
            return awaited
        found = {each.site: self.asked(run, each.site) for each in awaited}
        lacking = {site: shortened(asked.reason) for site, asked in found.items() if asked is not None}
        return tuple(each.model_copy(update={"evidence": lacking.get(each.site, "")}) for each in awaited)

    def may_work(self, run: Run, site: str) -> bool:
        """Decide if a site may be asked tasks: its instance is accepted, or none has to be."""
        asked = self.asked(run, site)
        return run.plan.attestation is None or (asked is not None and asked.accepted)

    def accepted(self, run: Run, site: str) -> Finding:
        """The appraisal of a site's present instance, against the deny list as it stands; reads a file.

        Raises:
            PolicyError: The site's instance is not accepted; says why.
        """
        found = self._standings.accepted(run.run_id, site)
        if found is None or found.appraisal is None:
            asked = self.asked(run, site)
            why = asked.reason if asked else "the run has not begun"
            raise PolicyError(f"no instance of {site} is accepted in run {run.run_id}: {why}")
        if denied := self._appraiser.denied(found.appraisal):
            raise PolicyError(f"the instance of {site} is denied in run {run.run_id}: {denied}")
        return found

    def check_result(
        self, run: Run, outcome: TaskOutcome, statement: SignedStatement, spoken: str | None
    ) -> str | None:
        """Check that the site's accepted instance made an outcome; reads a file.

        Returns:
            Signature of the instance, for the run's journal; None where the plan asks for no evidence.

        Raises:
            RunError: The site has no accepted instance now, or the outcome is another's.
            TrustError: The instance did not say it.
        """
        section = run.plan.attestation
        if section is None or section.collaborators is None:
            return None
        try:
            found = self.accepted(run, outcome.site)
        except PolicyError as error:
            raise RunError(error.message) from None
        if outcome.instance != found.claims.instance:
            raise RunError(
                f"{outcome.site} answered exchange {outcome.exchange} of run {run.run_id} as instance "
                f"{(outcome.instance or 'none')[:12]}, and the instance that was accepted is "
                f"{found.claims.instance[:12]}"
            )
        if spoken is None:
            raise TrustError(f"the instance of {outcome.site} has not signed its outcome")
        check_said(found.claims.speak, OUTCOME_SAID, statement.body, spoken)
        return spoken

    async def take_up(self, controller: RunController) -> None:
        """Begin to serve a run with this instance, whose name goes into the run's journal.

        What this machine lacks for it is logged, and stated to the sites.
        """
        run = controller.run
        if run.plan.attestation is None:
            return
        self._standings.keep({each.run.run_id for each in self.alive()} | {run.run_id})
        self._troubles.pop(run.run_id, None)
        try:
            await asyncio.to_thread(self.plans.check, run.manifest)
            instance = self.machine.instance
        except (ConfigError, SealError, StorageError) as error:
            self._troubles[run.run_id] = outgoing_line(error.message, _LONGEST_REASON)
            logger.error("run %s: no evidence can be exchanged: %s", run.run_id, error)
            return
        await controller.execute(
            StartInstance(
                instance=instance.name,
                seal=instance.seal_public,
                speak=instance.speak_public,
                owner=self.owner_signature(run),
            )
        )

    async def exchange(self, site: str, controller: RunController, request: AttestRequest) -> AttestReply:
        """Take a step of an exchange with a site.

        Raises:
            RunError: The run asks for no evidence, has not begun with the site, or a step is under way.
            ConfigError: This aggregator lacks what the plan asks for.
            EvidenceError: What the site shows is not evidence, or not for a nonce that it has.
            TrustError: Somebody else signed it.
        """
        run = controller.run
        if run.plan.attestation is None:
            raise RunError(f"the plan of run {run.run_id} asks for no evidence")
        if not is_due(run, site):
            raise RunError(f"run {run.run_id} has not begun with {site}, or its roster is not complete")
        if site in self._busy:
            raise RunError(f"a step of an exchange of evidence with {site} is under way")
        self._busy.add(site)
        try:
            if request.shown is not None:
                await self._take(site, controller, request, request.shown)
                return AttestReply(evidence=self._asked(controller.run, site))
            if request.nonce is None:
                asks = run.plan.attestation.aggregator is not None
                keys = await self.machine.keys() if asks else None
                return AttestReply(device=keys, evidence=self._asked(run, site))
            return await self._answer(site, controller, request, request.nonce)
        finally:
            self._busy.discard(site)

    def _asked(self, run: Run, site: str) -> EvidenceAsked:
        asked = self.asked(run, site)
        return asked or EvidenceAsked(aggregator=self.machine.instance.name, reason="the run is over")

    async def _answer(
        self, site: str, controller: RunController, request: AttestRequest, nonce: str
    ) -> AttestReply:
        """Show the aggregator's instance for the site's nonce, and ask for that of the site."""
        run = controller.run
        section, digest = run.plan.attestation, run.stated_roster
        assert section is not None
        assert digest is not None
        if section.collaborators is not None:
            self._standings.check_pace(site)
        policies = await asyncio.to_thread(self.plans.policies, run.manifest)
        parties = Parties(run, site, self.credentials, digest)
        shown = self.machine.bare()
        if policies.aggregator is not None:
            occasion = parties.of_aggregator(nonce, policies.aggregator.digest)
            shown, _ = await self.machine.show(occasion, request.challenge)
        shown = shown.model_copy(update={"owner": self.owner_signature(run)})
        question = None
        if policies.collaborators is not None:
            policy = policies.collaborators.digest

            def ask(fresh: str) -> Question:
                return self._appraiser.question(parties.of_site(fresh, policy), request.device)

            question = self._nonces.issue(site, controller.head.digest, ask)
        return AttestReply(
            certified=introduce_aggregator(self.credentials, parties.introduction(nonce, shown)),
            shown=shown,
            roster=digest,
            place=run.roster.proof(site),
            nonce=None if question is None else question.occasion.nonce,
            challenge="" if question is None else question.credential,
            evidence=self._asked(run, site),
        )

    async def _take(self, site: str, controller: RunController, request: AttestRequest, shown: Shown) -> None:
        """Appraise what a site shows; the verdict is durable before it counts."""
        run = controller.run
        section = run.plan.attestation
        assert section is not None
        self._standings.check_pace(site)
        try:
            question = self._nonces.take(site, request.answered or "")
            check_introduced(run, site, question.occasion, request, shown)
            policy = (await asyncio.to_thread(self.plans.policies, run.manifest)).collaborators
            assert policy is not None  # else no nonce was given
            before = self._standings.last(run.run_id, site)
            async with self._appraising:
                appraise = partial(self._appraiser.appraise, question, shown, (policy,), section.valid_for)
                finding = await asyncio.to_thread(appraise, _counters(before, shown))
        except (EvidenceError, TrustError) as error:
            self._standings.note_refusal(site)
            logger.warning("run %s: evidence of %s is refused: %s", run.run_id, site, error)
            raise
        (verdict,) = finding.verdicts
        if not finding.accepted:
            logger.warning("run %s: evidence of %s is refused: %s", run.run_id, site, finding.reason)
            reason = outgoing_line(verdict.reason, _LONGEST_REASON)
            finding = Finding(finding.claims, (verdict.model_copy(update={"reason": reason}),))
        await controller.execute(RecordAppraisal(site, finding.claims, finding.verdicts[0]))
        self._standings.note(run.run_id, site, finding)
        # A long poll that the event itself has woken did not find the standing yet.
        controller.signals.notify([site])


def _counters(before: Finding | None, shown: Shown) -> Started | None:
    """Counters of the TPM where this very instance was appraised before."""
    if before is None or (before.claims.seal, before.claims.speak) != (shown.seal, shown.speak):
        return None
    return before.started
