"""The plans that a command may name: files, and those that a site has seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hanse.assembly.peers import overlap_question
from hanse.assembly.plan_file import load_plan
from hanse.assembly.site import site_upstream
from hanse.assembly.tuning import now
from hanse.collaborator.identity import Identity
from hanse.collaborator.peers.cell import cell_sentences
from hanse.collaborator.plan_store import PlanStore
from hanse.collaborator.receipts.notes import must_trust_aggregator
from hanse.collaborator.releases import answer_release, other_run
from hanse.collaborator.restored import must_be_whole
from hanse.collaborator.review import decide_plan
from hanse.collaborator.rosters import settle_signing_key
from hanse.collaborator.site_journal import SiteJournal
from hanse.config.layout import IDENTITY, PLANS
from hanse.config.settings import SITE_FILE, load_site
from hanse.core.plan.manifest import Manifest
from hanse.errors import HanseError, PolicyError
from hanse.files.errors import file_errors
from hanse.pki.credentials import Credentials
from hanse.pki.signing_key_files import is_settled
from hanse.wire.messages.sites import AnswerRequest


@dataclass(frozen=True, slots=True)
class KnownPlan:
    """A plan, and what a site has to do with it.

    Attributes:
        code: The folder that its files are in.
        state: `waits for a person`, `accepted` or `refused`, by whom; empty of a plan from a file.
        reasons: Why.
        decided_ms: When, milliseconds since 1970.
        runs: The runs that it is wanted for at present.
        here: Sentences on the site's cell, of a plan with secure aggregation.
    """

    digest: str
    manifest: Manifest
    code: Path
    state: str = ""
    reasons: str = ""
    decided_ms: int | None = None
    runs: tuple[str, ...] = ()
    here: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name that its author gave it."""
        return self.manifest.plan.name

    def contents(self) -> dict[str, bytes]:
        """What is in its files of code, by SHA-256, as far as they are here."""
        found = {}
        for file in self.manifest.files:
            path = self.code / file.path
            if path.is_file():
                with file_errors(f"read {path}"):
                    found[file.sha256] = path.read_bytes()
        return found


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision on a plan, and what came of it.

    Attributes:
        digest: The plan's digest.
        told: The runs that have received the answer.
        untold: Why the other runs that wait for it have not.
        here: Sentences on the site's cell, of a plan with secure aggregation.
    """

    digest: str
    told: Sequence[str]
    untold: Mapping[str, HanseError]
    here: tuple[str, ...] = ()


def known_plan(named: str, site: Path) -> KnownPlan:
    """Find a plan by the path of its file, or by the beginning of its digest at a site.

    Raises:
        PlanError: The file is no plan.
        ConfigError: There is no such file, and no such plan at the site.
    """
    if _is_file(named):
        loaded = load_plan(Path(named))
        found = KnownPlan(loaded.digest, loaded.manifest, loaded.root)
    else:
        plans = PlanStore(site / PLANS)
        found = _at_site(plans, plans.find(named))
    return replace(found, here=about_own_cell(site, found.manifest))


def about_own_cell(site: Path, manifest: Manifest) -> tuple[str, ...]:
    """Say whom a site's numbers are hidden from under a plan; nothing without secure aggregation or a site.

    Raises:
        ConfigError: The site's settings are wrong.
    """
    if manifest.plan.privacy.secure_aggregation is None or not (site / SITE_FILE).exists():
        return ()
    settings = load_site(site)
    return (
        *cell_sentences(settings, manifest.plan),
        *overlap_question(site, settings, manifest.plan),
    )


def _digest(named: str, plans: PlanStore) -> str:
    """The digest of a plan from its beginning, or from the file of a plan, which is kept from then on."""
    if not _is_file(named):
        return plans.find(named)
    loaded = load_plan(Path(named))
    plans.keep(loaded.manifest)
    return loaded.digest


def _is_file(named: str) -> bool:
    path = Path(named)
    return path.is_file() or bool(path.suffix)  # a digest has none


def plans_of(site: Path) -> list[KnownPlan]:
    """The plans that a site has seen; first those that wait for a person."""
    load_site(site)  # says so where this is no site's directory
    plans = PlanStore(site / PLANS)
    seen = [_at_site(plans, path.parent.name) for path in (site / PLANS).glob("*/manifest.json")]
    return sorted(seen, key=lambda plan: (plan.decided_ms is not None, plan.name, plan.digest))


def _at_site(plans: PlanStore, digest: str) -> KnownPlan:
    answer = plans.answer(digest)
    # Asked again, a plan with an answer of before may wait for another one.
    waits = digest in plans.pending()
    if waits or answer is None:
        state, reasons, decided_ms = "waits for a person" if waits else "new", "", None
    else:
        state = f"{'accepted' if answer.body.accepted else 'refused'} by a {answer.by}"
        reasons, decided_ms = "; ".join(answer.body.reasons), answer.body.decided_ms
    return KnownPlan(
        digest,
        plans.manifest(digest),
        plans.bundle(digest),
        state,
        reasons,
        decided_ms,
        tuple(plans.runs(digest)),
    )


async def decide(site: Path, named: str, *, approve: bool, reason: str) -> Decided:
    """Approve or reject a plan, and tell the aggregator at once for the runs that wait for it.

    Args:
        site: The site's folder.
        named: The path of the plan's file, which the site need not have seen yet, or the beginning of its
            digest.
        approve: Accept or refuse.
        reason: A sentence for the journal; may be empty.

    Raises:
        ConfigError: No such plan was seen at the site.
        PlanError: The file is not a plan.
        PolicyError: `site.yaml` does not permit it.
        TransportError: The site joined before 0.2 and has no signing key yet, and the aggregator, which has
            to record the key, cannot be reached.
    """
    told: list[str] = []
    untold: dict[str, HanseError] = {}
    settings, credentials = load_site(site), Credentials.load(site / IDENTITY, now())
    upstream = site_upstream(settings, credentials)
    journal = SiteJournal(site, credentials.party, now)
    try:
        if not is_settled(site / IDENTITY):  # of before 0.2, and the agent has not been started since
            identity = Identity(credentials, renew_at=settings.renew_at, clock=now, present=lambda _: None)
            await settle_signing_key(site, identity, upstream)
        digest = _digest(named, PlanStore(site / PLANS))
        answer, runs = decide_plan(site, digest, approve=approve, reason=reason, now=now())
        for run_id, submitted_ms in runs.items():
            try:
                must_be_whole(site)
                must_trust_aggregator(site)
                if other := other_run(journal.open(), run_id, submitted_ms):
                    raise PolicyError(other)
                journal.record(answer_release(run_id, submitted_ms, answer))
                await upstream.answer(AnswerRequest(run_id=run_id, statement=answer.statement))
                told.append(run_id)
            except HanseError as error:
                untold[run_id] = error
    finally:
        journal.close()
        await upstream.close()
    return Decided(digest, told, untold, about_own_cell(site, PlanStore(site / PLANS).manifest(digest)))
