"""One exchange of evidence with the aggregator of a run: three requests at most."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial

from hanse.attestation.policy.file import AppraisalPolicy
from hanse.attestation.tpm.activation import Challenge
from hanse.attestation.tpm.quote import Started
from hanse.collaborator.context import SiteContext
from hanse.control.appraisal.appraiser import Appraiser, Finding, Question, credential_of
from hanse.control.appraisal.nonces import Nonces
from hanse.control.appraisal.own_machine import OwnMachine
from hanse.control.appraisal.plan_policies import PlanPolicies
from hanse.control.appraisal.run_occasions import RunOccasions
from hanse.core.journal.attestation_records import AggregatorAppraised, EvidenceReleased
from hanse.core.plan.plan import Plan
from hanse.core.values.identity import Party, Role
from hanse.core.values.roster import check_place
from hanse.errors import CredentialError, EvidenceError
from hanse.pki.certificates import party_of, read_certificate
from hanse.pki.introductions import check_aggregator, introduce_site
from hanse.wire.messages.evidence import AttestReply, AttestRequest, Shown
from hanse.wire.messages.sites import EvidenceAsked, RunWork

AGGREGATOR = "the aggregator"
"""The party whose nonces a site gives out."""


@dataclass(frozen=True, slots=True)
class Given:
    """A nonce for the aggregator.

    Attributes:
        run_id: The run that it is for.
        nonce: The nonce.
        challenge: Activation of the keys of the aggregator's TPM; None for other devices.
    """

    run_id: str
    nonce: str
    challenge: Challenge | None


@dataclass(frozen=True, slots=True)
class Exchanged:
    """Result of an exchange.

    Attributes:
        aggregator: The aggregator's party and the fingerprint of its key.
        shown: The aggregator's instance.
        finding: What this site found of it; None where the plan asks for no evidence of the aggregator.
        asked: Where this site stands at the aggregator.
    """

    aggregator: tuple[Party, str]
    shown: Shown
    finding: Finding | None
    asked: EvidenceAsked


@dataclass(frozen=True, slots=True)
class Exchange:
    """An exchange about to begin.

    Attributes:
        context: The site.
        machine: Its own instance and device.
        appraiser: Appraises in the site's name.
        nonces: Nonces for the aggregator.
        run: The run, as the work states it.
        plan: Its plan.
        policies: The plan's policies.
        required: The policy that this site itself requires; None for none.
    """

    context: SiteContext
    machine: OwnMachine
    appraiser: Appraiser
    nonces: Nonces[Given]
    run: RunWork
    plan: Plan
    policies: PlanPolicies
    required: AppraisalPolicy | None

    async def carry_out(self, before: Finding | None) -> Exchanged:
        """Exchange evidence; the aggregator shows its own first.

        Args:
            before: What this site found of the aggregator last.

        Returns:
            What it came to. The verdict about the aggregator may be a refusal; then nothing of this site
            was shown.

        Raises:
            EvidenceError: What came is not genuine, or incomplete.
            HanseError: As `Upstream.attest`.
        """
        run_id, keys = self.run.run_id, None
        if self.policies.aggregator is not None:
            keys = (await self._step(AttestRequest(run_id=run_id))).device
        challenge = self.appraiser.challenge(keys)
        head = await asyncio.to_thread(self._head)
        given = self.nonces.issue(AGGREGATOR, head, lambda nonce: Given(run_id, nonce, challenge))
        own_keys = await self.machine.keys() if self.policies.collaborators is not None else None
        reply = await self._step(
            AttestRequest(
                run_id=run_id, device=own_keys, nonce=given.nonce, challenge=credential_of(challenge)
            )
        )
        given = self.nonces.take(AGGREGATOR, given.nonce)
        shown, roster, aggregator = self._introduced(reply, given)
        finding = await self._appraised(given, shown, roster, aggregator, before)
        asked = reply.evidence
        if self.policies.collaborators is not None and (finding is None or finding.accepted):
            asked = await self._show(reply, roster, aggregator[1])
        return Exchanged(aggregator, shown, finding, asked)

    def _introduced(self, reply: AttestReply, given: Given) -> tuple[Shown, str, tuple[Party, str]]:
        """Check who shows an instance, and that the roster of the run has this site's own key."""
        own, shown, roster = self.context.identity, reply.shown, reply.roster
        if reply.certified is None or shown is None or roster is None or reply.place is None:
            raise EvidenceError("the aggregator has not introduced its instance")
        try:
            party = party_of(read_certificate(reply.certified.certificate))
            expected = self._occasions(roster).introduction(
                Party(own.federation, Role.AGGREGATOR, party.name), given.nonce, shown
            )
            key = check_aggregator(reply.certified, expected, own.credentials.authority, self.context.clock())
        except CredentialError as error:  # not this site's own, which would end its agent
            raise EvidenceError(f"the aggregator's introduction: {error.message}", mend=error.mend) from None
        check_place(reply.place, roster, own.site, own.signing_key.fingerprint)
        return shown, roster, (Party(party.federation, Role.AGGREGATOR, party.name), key)

    def _occasions(self, roster: str) -> RunOccasions:
        return RunOccasions(self.run.run_id, self.run.plan_digest, roster)

    async def _appraised(
        self,
        given: Given,
        shown: Shown,
        roster: str,
        aggregator: tuple[Party, str],
        before: Finding | None,
    ) -> Finding | None:
        """Appraise the aggregator's instance; the verdict is in the journal when this returns."""
        section, policy = self.plan.attestation, self.policies.aggregator
        if policy is None or section is None:
            return None
        own = self.context.identity.signing_key.fingerprint
        occasion = self._occasions(roster).occasion(
            aggregator, own, given.nonce, policy.digest, rehearsal=section.rehearsal
        )
        policies = (policy,) if self.required is None else (policy, self.required)
        question = Question(occasion, given.challenge)
        appraise = partial(self.appraiser.appraise, question, shown, policies, section.valid_for)
        finding = await asyncio.to_thread(appraise, _counters(before, shown))
        for verdict in finding.verdicts:
            record = AggregatorAppraised(
                run_id=self.run.run_id,
                plan_digest=self.run.plan_digest,
                claims=finding.claims,
                verdict=verdict,
            )
            append = partial(asyncio.to_thread, self.context.journal.append, record)
            await self.context.retry_while_disk_full(append)
        return finding

    async def _show(self, reply: AttestReply, roster: str, verifier: str) -> EvidenceAsked:
        """Show this site's instance; that it leaves is in the journal before."""
        section, policy, own = self.plan.attestation, self.policies.collaborators, self.context.identity
        assert section is not None
        assert policy is not None
        if reply.nonce is None:
            raise EvidenceError("the aggregator gave no nonce, and the plan asks for evidence of this site")
        party, occasions = own.credentials.party, self._occasions(roster)
        occasion = occasions.occasion(
            (party, own.signing_key.fingerprint),
            *(verifier, reply.nonce, policy.digest),
            rehearsal=section.rehearsal,
        )
        shown, claims = await self.machine.show(occasion, reply.challenge)
        assert self.machine.attester is not None  # else nothing was shown
        record = EvidenceReleased(
            run_id=self.run.run_id,
            plan_digest=self.run.plan_digest,
            device=self.machine.attester.kind.value,
            claims=claims,
            evidence=shown.evidence_digest,
        )
        append = partial(asyncio.to_thread, self.context.journal.append, record)
        await self.context.retry_while_disk_full(append)
        introduction = occasions.introduction(party, reply.nonce, shown)
        request = AttestRequest(
            run_id=self.run.run_id,
            answered=reply.nonce,
            shown=shown,
            signed=introduce_site(own.signing_key, introduction),
        )
        return (await self._step(request)).evidence

    async def _step(self, request: AttestRequest) -> AttestReply:
        return await self.context.retry(partial(self.context.upstream.attest, request))

    def _head(self) -> str:
        head = self.context.journal.open().head
        return "" if head is None else head.digest


def _counters(before: Finding | None, shown: Shown) -> Started | None:
    """Counters of the TPM where this very instance was appraised before."""
    if before is None or (before.claims.seal, before.claims.speak) != (shown.seal, shown.speak):
        return None
    return before.started
