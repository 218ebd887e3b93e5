"""Whether this site takes part in a plan: by its policy's rules, or by a person's word."""

from __future__ import annotations

import asyncio
import logging
import shutil
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Literal

from hanse.collaborator.context import SiteContext
from hanse.collaborator.evidence.demands import evidence_refusals, plan_policies
from hanse.collaborator.outgoing_text import OutgoingText
from hanse.collaborator.own_statements import check_own
from hanse.collaborator.peers.cell import cell_refusal
from hanse.collaborator.plan_store import PlanStore, StoredAnswer
from hanse.collaborator.releases import answer_release, other_run
from hanse.collaborator.sealed.refusals import sealed_refusals
from hanse.config.bundle import write_bundle
from hanse.config.layout import IDENTITY, PLANS
from hanse.config.settings import SiteSettings, load_site
from hanse.core.plan.manifest import Manifest
from hanse.core.plan.policy import Decision, Verdict, decide
from hanse.core.values.canonical import sha256
from hanse.core.values.identity import Party
from hanse.core.values.statements import SignedStatement
from hanse.errors import (
    PlanError,
    PolicyError,
    RunError,
    StorageError,
    TamperedError,
    TrustError,
    UpdateError,
)
from hanse.files.errors import file_errors
from hanse.learners.installed import unmet
from hanse.pki.credentials import Credentials
from hanse.pki.signing_key import SigningKey
from hanse.pki.statements import state
from hanse.wire.messages.sites import PLAN_ANSWER, AnswerRequest, PlanAnswer, RunWork, purpose_of_answer

logger = logging.getLogger(__name__)

_MOST_REASONS = 100


def judge(settings: SiteSettings, manifest: Manifest, digest: str, earlier: int = 0) -> Decision:
    """Hold a plan against the site's policy, the data and packages that are really there, and its peers.

    Args:
        settings: Of the site.
        manifest: The plan.
        digest: Its digest.
        earlier: See `hanse.collaborator.peers.cell.own_cell`.

    Raises:
        ConfigError: A peer in `site.yaml` has no key; an agent with such a file does not start.
    """
    decision = decide(settings.policy, manifest, digest, frozenset(settings.data))
    missing = (
        *_absent_data(settings, manifest),
        *_absent_packages(manifest),
        *_of_own_cell(settings, manifest, earlier),
        *evidence_refusals(settings, manifest.plan),
        *_of_sealing(settings, manifest),
    )
    return Decision(Verdict.REFUSE, (*_refusals(decision), *missing)) if missing else decision


def _absent_data(settings: SiteSettings, manifest: Manifest) -> Iterator[str]:
    for name in manifest.plan.data:
        if name in settings.data and not settings.data[name].exists():
            # The reasons leave the site, and paths do not.
            logger.warning("the data source %r of site.yaml, %s, does not exist", name, settings.data[name])
            yield f"the plan needs the data source {name!r}, and nothing is at its path in site.yaml"


def _of_own_cell(settings: SiteSettings, manifest: Manifest, earlier: int) -> Iterator[str]:
    if (refusal := cell_refusal(settings, manifest.plan, earlier)) is not None:
        logger.warning("%s. %s", refusal.reason, refusal.mend)
        yield refusal.reason


def _of_sealing(settings: SiteSettings, manifest: Manifest) -> Iterator[str]:
    for reason in sealed_refusals(settings, manifest.plan):
        logger.warning("%s", reason)
        yield reason


def _absent_packages(manifest: Manifest) -> Iterator[str]:
    for each in unmet(manifest.plan.requires):
        logger.warning(
            "the plan requires %s; installed in %s: %s. Install it there and restart the agent",
            *(each.requirement, sys.prefix, each.installed or "none"),
        )
        yield f"{each} at this site"


def decide_plan(
    directory: Path, prefix: str, *, approve: bool, reason: str, now: datetime
) -> tuple[StoredAnswer, dict[str, int | None]]:
    """Sign a person's decision on a plan, and keep it where the agent finds it.

    The agent need not be stopped. It is not told either: whoever calls this gives
    the answers to the aggregator; what does not get there, the agent sends when it
    is asked again.

    Args:
        directory: The site's folder.
        prefix: The plan's digest, or its beginning.
        approve: Accept or refuse; refusing withdraws an earlier consent.
        reason: A sentence for the journal; may be empty.
        now: The time, with its zone.

    Returns:
        The answer, and the runs that wait for it at present, with the time at which each was submitted.

    Raises:
        ConfigError: No such plan was seen here.
        PolicyError: The plan exceeds what `site.yaml` permits, which nobody can approve.
        CredentialError: The site's credentials are not good.
    """
    settings = load_site(directory)
    party = Credentials.load(directory / IDENTITY, now).party
    key = SigningKey.load(directory / IDENTITY)
    plans = PlanStore(directory / PLANS)
    digest = plans.find(prefix)
    if approve:
        _check_permitted(settings, plans.manifest(digest), digest)
    said = "a person approved it" if approve else "a person refused it"
    told = f"{said}: {reason}" if reason else said
    reasons = OutgoingText.of(directory, settings).reasons((told,), _MOST_REASONS)
    answer = _sign(key, party, digest, accepted=approve, reasons=reasons, by="person", now=now)
    plans.record(digest, answer)
    return answer, plans.runs(digest)


def _check_permitted(settings: SiteSettings, manifest: Manifest, digest: str) -> None:
    excess = _refusals(judge(settings, manifest, digest))
    if not excess:
        return
    mends = []
    of_cell = cell_refusal(settings, manifest.plan)
    if of_cell is not None:
        mends.append(of_cell.mend)
    if of_cell is None or excess != (of_cell.reason,):
        mends.append("Change the policy or the data sources in site.yaml first, if that is meant.")
    raise PolicyError(
        f"site.yaml does not permit plan {digest[:12]}: {'; '.join(excess)}", mend=" ".join(mends)
    )


class Reviewer:
    """Reads the plans that runs ask about, and answers them."""

    def __init__(self, context: SiteContext) -> None:
        self._here = context
        # Two runs of one plan must not write it at the same time.
        self._bringing = asyncio.Lock()
        self._vouched: deque[StoredAnswer] = deque(maxlen=8)

    async def review(self, run: RunWork) -> None:
        """Answer a run's question whether this site takes part, or leave it to a person.

        Raises:
            TrustError: The aggregator does not know this site any more.
            ProtocolError: It speaks another language.
        """
        try:
            answer = await self._here.retry_while_disk_full(partial(self._answer, run))
            if answer is not None:
                await self._here.record(answer_release(run.run_id, run.submitted_ms, answer))
                assert isinstance(answer.statement, SignedStatement)  # see `kept`
                request = AnswerRequest(run_id=run.run_id, statement=answer.statement)
                await self._here.deliver_final(partial(self._here.upstream.answer, request))
        except (PolicyError, RunError) as error:  # the plan is not for us any more, or the run is over
            logger.warning("run %s: the answer to its plan is not wanted: %s", run.run_id, error)

    async def agreed(self, run: RunWork) -> Manifest:
        """The plan of a run that this site takes part in.

        Raises:
            PolicyError: This site has not accepted the plan, or does not permit it any more.
        """
        digest = run.plan_digest
        answer = self.kept(digest)
        if answer is None or not answer.body.accepted:
            raise PolicyError(
                f"{self._here.identity.site} has not accepted plan {digest[:12]}",
                mend=f"At the site, look at it and decide: `hanse plan show {digest[:12]}`.",
            )
        manifest = await self.manifest(run)
        if excess := _refusals(self._judge(manifest, digest)):
            raise PolicyError(f"{self._here.identity.site} does not permit the plan: {'; '.join(excess)}")
        return manifest

    async def bring_code(self, manifest: Manifest) -> None:
        """Have the code of a plan in its place, all of it, as the plan names it.

        Raises:
            StorageError: There is no room for it.
            TamperedError: What the aggregator has is not what the plan names.
        """
        async with self._bringing:
            bundle = self._here.plans.bundle(manifest.digest)
            if await asyncio.to_thread(is_whole, bundle, manifest):
                return
            self._here.check_room(sum(file.size for file in manifest.files))
            try:
                for file in manifest.files:
                    await self._here.fetch(file.sha256, file.size)
                shutil.rmtree(bundle, ignore_errors=True)
                await asyncio.to_thread(write_bundle, manifest, self._here.blobs.path, bundle)
            finally:  # also where it is broken off, because its run is over
                for file in manifest.files:
                    self._here.blobs.delete(file.sha256)

    async def _answer(self, run: RunWork) -> StoredAnswer | None:
        digest, name = run.plan_digest, run.plan_digest[:12]
        history = await asyncio.to_thread(self._here.journal.open)
        if other := other_run(history, run.run_id, run.submitted_ms):
            logger.error("run %s: plan %s refused: %s", run.run_id, name, other)
            return self._by_rule(digest, (other,), accepted=False)  # of this run alone, and not of the plan
        try:
            manifest = await self.manifest(run)
            name = f"{manifest.plan.name} ({digest[:12]})"
            decision = self._judge(manifest, digest)
            if decision.verdict is not Verdict.REFUSE:
                await self.bring_code(manifest)  # for a person to read, or for the first task
                bundle = self._here.plans.bundle(digest)
                await asyncio.to_thread(plan_policies, manifest, bundle)  # a malformed one is refused
        except (PlanError, TamperedError, UpdateError) as error:
            decision = Decision(Verdict.REFUSE, (str(error),))
        kept = self.kept(digest)
        if kept and kept.by == "person" and not (kept.body.accepted and _refusals(decision)):
            logger.info("run %s: plan %s: %s", run.run_id, name, "; ".join(kept.body.reasons))
            return kept
        told = "; ".join(decision.reasons)
        if decision.verdict is Verdict.ASK:
            self._here.plans.wait_for_person(digest, decision.reasons)
            logger.warning(
                "run %s waits for a person to decide on plan %s: %s. Read it with `hanse plan show %s`, then "
                "`hanse plan approve %s` or `hanse plan reject %s`",
                run.run_id, name, told, digest[:12], digest[:12], digest[:12],
            )  # fmt: skip
            return None
        accepted = decision.verdict is Verdict.ACCEPT
        logger.info("run %s: plan %s %s: %s", run.run_id, name, "accepted" if accepted else "refused", told)
        answer = self._by_rule(digest, decision.reasons, accepted=accepted)
        if kept and kept.by == "person":
            # The person may have read a newer site.yaml than this agent has: their consent stays for the
            # agent's next start, and until then each run gets this answer.
            logger.warning(
                "a person approved plan %s, and site.yaml, as this agent read it when it started, does not "
                "permit it; if site.yaml was changed since, restart the agent",
                name,
            )
        else:
            self._here.plans.record(digest, answer)
        return answer

    def _judge(self, manifest: Manifest, digest: str) -> Decision:
        # By the names of data sources; when a sum begins, their paths are compared too.
        sums = self._here.journal.history.sums
        return judge(self._here.settings, manifest, digest, sums.colluders(manifest.plan.data, ()))

    def _by_rule(self, digest: str, reasons: tuple[str, ...], *, accepted: bool) -> StoredAnswer:
        own = self._here.identity
        return _sign(
            *(own.signing_key, own.credentials.party, digest),
            accepted=accepted,
            reasons=self._here.outgoing_text.reasons(reasons, _MOST_REASONS),
            by="rule",
            now=self._here.clock(),
        )

    def kept(self, digest: str) -> StoredAnswer | None:
        """The answer on disk, if this site gave it, and to this plan.

        It states the site's present signing key: one that was signed with a key which was replaced
        since, or before 0.2, is signed again.
        """
        try:
            answer = self._here.plans.answer(digest)
            if answer is None or answer.body.plan_digest != digest:
                return None
            if answer in self._vouched:  # it is asked for at every task
                return answer
            own, statement = self._here.identity, answer.statement
            body = check_own(
                statement, PlanAnswer, purpose_of_answer(statement), own.credentials, own.own_keys()
            )
            if body.signer != own.signing_key.fingerprint:
                again = body.model_copy(update={"signer": own.signing_key.fingerprint})
                statement = state(own.signing_key, PLAN_ANSWER, again)
                answer = answer.model_copy(update={"statement": statement})
                with suppress(StorageError):  # a full disk: it is signed again then, to the same bytes
                    self._here.plans.record(digest, answer)
            self._vouched.append(answer)
        except (StorageError, TrustError, OverflowError, ValueError) as error:  # no time, or no JSON
            logger.error("the answer to plan %s on disk does not count: %s", digest[:12], error)
            return None
        return answer

    async def manifest(self, run: RunWork) -> Manifest:
        """The plan of a run, which is fetched if need be.

        Raises:
            PlanError: This version does not understand it.
            StorageError: There is no room for it.
        """
        plans, digest = self._here.plans, run.plan_digest

        def keep(blob: Path) -> None:
            with file_errors(f"read {blob}"):
                plans.keep(Manifest.from_bytes(blob.read_bytes(), digest))

        if not plans.has(digest):
            await self._here.take(digest, run.plan_bytes, keep)
        return plans.manifest(digest)


def is_whole(bundle: Path, manifest: Manifest) -> bool:
    """Whether a folder holds the code of a plan, all of it, unaltered, and nothing else."""
    there = {str(path.relative_to(bundle)) for path in bundle.rglob("*") if not path.is_dir()}
    if there != {file.path for file in manifest.files}:
        return False
    with file_errors(f"read {bundle}"):
        return all(sha256((bundle / file.path).read_bytes()) == file.sha256 for file in manifest.files)


def _sign(
    key: SigningKey,
    party: Party,
    digest: str,
    *,
    accepted: bool,
    reasons: tuple[str, ...],
    by: Literal["rule", "person"],
    now: datetime,
) -> StoredAnswer:
    body = PlanAnswer(
        federation=party.federation,
        site=party.name,
        plan_digest=digest,
        accepted=accepted,
        reasons=reasons,
        decided_ms=round(now.timestamp() * 1000),
        signer=key.fingerprint,
    )
    return StoredAnswer(by=by, statement=state(key, PLAN_ANSWER, body))


def _refusals(decision: Decision) -> tuple[str, ...]:
    """What no person can allow; an absent rule is nothing of the kind."""
    return decision.reasons if decision.verdict is Verdict.REFUSE else ()
