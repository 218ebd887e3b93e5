"""Standing of a site and its aggregator in each run whose plan asks for evidence."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from hanse.attestation.instance import Instance
from hanse.collaborator.context import SiteContext
from hanse.collaborator.evidence.demands import plan_policies, required_policy
from hanse.collaborator.evidence.exchange import Exchange, Exchanged, Given
from hanse.concurrency import Signals
from hanse.control.appraisal.deny_list import DenyOwner, Signed
from hanse.control.appraisal.nonces import Nonces
from hanse.core.plan.manifest import Manifest
from hanse.core.plan.plan import Plan
from hanse.core.values.statements import SignedStatement
from hanse.errors import (
    ConfigError,
    CredentialError,
    EvidenceError,
    PolicyError,
    RunError,
    StorageError,
    TrustError,
)
from hanse.pki.deny_lists import check_own_list
from hanse.wire.messages.evidence import OUTCOME_SAID, Shown
from hanse.wire.messages.sites import EvidenceAsked, RunWork, TaskOutcome, Work

logger = logging.getLogger(__name__)

REFUSED_S = 600.0
"""Wait after a refusal; another instance of the aggregator is asked at once."""
SOON_S = 30.0
"""Wait where the aggregator is not ready for an exchange."""
_RENEW_PART = 0.25
_RENEW_MOST_MS = 3_600_000


class Plans(Protocol):
    """The plans that this site takes part in; see `hanse.collaborator.review.Reviewer`."""

    async def agreed(self, run: RunWork) -> Manifest:
        """The plan of a run that this site takes part in."""
        ...

    async def bring_code(self, manifest: Manifest) -> None:
        """Have the code of a plan in its place."""
        ...


@dataclass(frozen=True, slots=True)
class _Standing:
    """Standing of both parties in a run.

    Attributes:
        instance: Name of the aggregator's instance that this is about.
        exchanged: The last exchange with it; None where none came to its end.
        refused: Why it, or this site, is refused; empty where both are accepted.
        again_ms: When to exchange again.
    """

    instance: str
    exchanged: Exchanged | None
    refused: str
    again_ms: int


class SiteEvidence:
    """Exchanges evidence for the runs of a site, and says in which of them it may work.

    Args:
        context: The site.
        plans: The plans that the site takes part in.
    """

    def __init__(self, context: SiteContext, plans: Plans) -> None:
        self._here = context
        self._plans = plans
        own = context.identity
        owner = DenyOwner(own.federation, "collaborator", own.site, self._check_list)
        self._machine = context.evidence.machine()
        self._appraiser = context.evidence.appraiser(context.directory, owner, context.clock)
        self._nonces: Nonces[Given] = Nonces(lambda: context.now_ms, context.evidence.randomness)
        self._asked: dict[str, RunWork] = {}
        self._standings: dict[str, _Standing] = {}
        self._signals = Signals()
        self._one = asyncio.Lock()

    @property
    def instance(self) -> Instance:
        """The instance of this agent.

        Raises:
            SealError: OpenSSL here cannot seal.
        """
        return self._machine.instance

    def instance_in(self, plan: Plan | None) -> str | None:
        """Name of this agent's instance, as outcomes state it; None where the plan asks for none."""
        return self.instance.name if asks_sites(plan) else None

    def say(self, outcome: TaskOutcome, statement: SignedStatement) -> str | None:
        """Signature of the instance over an outcome of its own; None for other outcomes."""
        if outcome.instance is None or outcome.instance != self.instance.name:
            return None
        return self.instance.say(OUTCOME_SAID, statement.body)

    def aggregator(self, plan: Plan, run_id: str) -> Shown:
        """The aggregator's instance, as this site has accepted it.

        Raises:
            PolicyError: None is accepted now.
        """
        self.check(plan, run_id)
        exchanged = self._standings[run_id].exchanged if run_id in self._standings else None
        if exchanged is None:
            raise PolicyError(f"no instance of the aggregator is known in run {run_id}")
        return exchanged.shown

    def close(self) -> None:
        """Give the device back."""
        self._machine.close()

    def post(self, work: Work) -> None:
        """Take a new list of work in."""
        changed = {run.run_id: run for run in work.runs if run.evidence is not None}
        runs = [run_id for run_id in changed if self._asked.get(run_id) != changed[run_id]]
        for run_id in runs:
            if (stands := changed[run_id].evidence) is not None and stands.accepted and stands.reason:
                logger.warning("run %s: this site gets no keys: %s", run_id, stands.reason)
        self._asked = changed
        self._standings = {run: found for run, found in self._standings.items() if run in changed}
        self._signals.notify(runs)

    def missing(self, plan: Plan, run_id: str) -> str:
        """Reason for which no task of a run may be performed now, by its plan; empty where tasks may be.

        Decided by the plan, and not by what the aggregator says that it asks for.
        """
        section = plan.attestation
        if section is None:
            return ""
        standing, run = self._standings.get(run_id), self._asked.get(run_id)
        if standing is None or run is None or run.evidence is None:
            return "no evidence was exchanged yet"
        if standing.instance != run.evidence.aggregator:
            return "the aggregator has another instance now"
        exchanged = standing.exchanged
        if standing.refused or exchanged is None:
            return standing.refused or "no evidence was exchanged yet"
        if section.aggregator is not None:
            finding = exchanged.finding
            if finding is None or not finding.accepted:
                return "the aggregator's evidence was not accepted"
            if finding.expires_ms <= self._here.now_ms:
                return "the verdict about the aggregator has ended"
        if section.collaborators is not None:
            own = run.evidence
            if not own.accepted or own.instance != self.instance.name:
                return f"the aggregator does not accept this site's instance: {own.reason or 'another is'}"
        return ""

    def check(self, plan: Plan, run_id: str) -> None:
        """Refuse to work in a run without evidence that its plan asks for.

        Raises:
            PolicyError: Evidence is missing, refused or too old.
        """
        if missing := self.missing(plan, run_id):
            raise PolicyError(f"run {run_id} waits for evidence: {missing}")

    async def stands(self, plan: Plan, run_id: str) -> None:
        """Wait until tasks of a run may be performed; at once where its plan asks for no evidence."""

        def look() -> bool | None:
            return not self.missing(plan, run_id) or None

        if plan.attestation is not None:
            await self._signals.until([run_id], look)

    async def keep(self, run_id: str) -> None:
        """Exchange evidence in a run, and again when a verdict ends, until this is cancelled.

        Raises:
            CredentialError: The site was removed from the federation.
            TamperedError: The site's journal is damaged.
        """
        while True:
            run = self._asked.get(run_id)
            if run is not None and run.evidence is not None and self._due(run, run.evidence):
                async with self._one:  # the aggregator takes one exchange of a site at a time
                    await self._exchange(run, run.evidence)
            await self._signals.until([run_id], partial(self._changed, run), self._wait_s(run_id))

    def _changed(self, run: RunWork | None) -> bool | None:
        return (self._asked.get(run.run_id) is not run or None) if run is not None else True

    def _due(self, run: RunWork, asked: EvidenceAsked) -> bool:
        standing = self._standings.get(run.run_id)
        if standing is None or standing.instance != asked.aggregator:
            return True
        if standing.again_ms <= self._here.now_ms:
            return True
        # The aggregator has forgotten, or another copy of this site is accepted there.
        exchanged = standing.exchanged
        return not standing.refused and exchanged is not None and exchanged.asked.accepted > asked.accepted

    def _wait_s(self, run_id: str) -> float | None:
        standing = self._standings.get(run_id)
        if standing is None:
            return None
        return max(standing.again_ms - self._here.now_ms, 0) / 1000

    async def _exchange(self, run: RunWork, asked: EvidenceAsked) -> None:
        last = self._standings.get(run.run_id)
        before = None if last is None or last.exchanged is None else last.exchanged.finding
        try:
            exchanged = await (await self._begun(run)).carry_out(before)
        except CredentialError:  # this site was removed
            raise
        except RunError as error:
            self._refuse(run, asked, str(error), SOON_S)
        except (ConfigError, EvidenceError, PolicyError, TrustError) as error:
            self._refuse(run, asked, str(error), REFUSED_S)
        else:
            self._take(run, asked, exchanged)
        self._signals.notify([run.run_id])

    async def _begun(self, run: RunWork) -> Exchange:
        manifest = await self._plans.agreed(run)
        try:
            await self._here.retry_while_disk_full(partial(self._plans.bring_code, manifest))
            bundle = self._here.plans.bundle(manifest.digest)
            policies = await asyncio.to_thread(plan_policies, manifest, bundle)
            required = await asyncio.to_thread(required_policy, self._here.settings)
        except StorageError as error:
            raise EvidenceError(f"the policies of the plan: {error.message}", mend=error.mend) from error
        return Exchange(
            *(self._here, self._machine, self._appraiser, self._nonces),
            *(run, manifest.plan, policies, required),
        )

    def _take(self, run: RunWork, asked: EvidenceAsked, exchanged: Exchanged) -> None:
        """Note what an exchange came to; where the aggregator's state is newer, the next work states it."""
        finding, own, now_ms = exchanged.finding, exchanged.asked, self._here.now_ms
        # What the exchange itself has shown counts: another instance than the work names is looked at again.
        self._asked[run.run_id] = run.model_copy(update={"evidence": own})
        if finding is not None and not finding.accepted:
            return self._refuse(run, own, f"evidence of the aggregator: {finding.reason}", REFUSED_S)
        if not own.accepted:
            return self._refuse(run, own, f"evidence of this site: {own.reason}", REFUSED_S)
        of_aggregator = None if finding is None else finding.expires_ms
        ends = [end for end in (own.expires_ms, of_aggregator) if end is not None]
        again_ms = min((_renewal_ms(now_ms, end) for end in ends), default=2**53)
        self._standings[run.run_id] = _Standing(own.aggregator, exchanged, "", again_ms)
        logger.info("run %s: evidence was exchanged, and is accepted", run.run_id)

    def _refuse(self, run: RunWork, asked: EvidenceAsked, reason: str, wait_s: float) -> None:
        before = self._standings.get(run.run_id)
        if before is None or before.refused != reason:
            logger.warning("run %s waits for evidence: %s; tried again in %.0f s", run.run_id, reason, wait_s)
        again_ms = self._here.now_ms + round(wait_s * 1000)
        self._standings[run.run_id] = _Standing(asked.aggregator, None, reason, again_ms)

    def _check_list(self, statement: Signed) -> None:
        check_own_list(statement, self._here.identity.own_keys)


def asks_sites(plan: Plan | None) -> bool:
    """Decide if a plan asks for evidence of the sites."""
    return plan is not None and plan.attestation is not None and plan.attestation.collaborators is not None


def _renewal_ms(now_ms: int, end_ms: int) -> int:
    """Time of the next exchange: well before a verdict ends."""
    return end_ms - min(round((end_ms - now_ms) * _RENEW_PART), _RENEW_MOST_MS)
