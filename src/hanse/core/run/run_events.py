"""Events of a run as a whole: submission, answers to the plan, interruptions and the end."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hanse.core.journal.chain import ChainHead
from hanse.core.plan.manifest import Manifest
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.schema import BlobDigest, Digest, Strict
from hanse.core.values.statements import CertifiedStatement, Statement


class RunSubmitted(Strict):
    """A plan was submitted; the invited sites are asked for their answers.

    Attributes:
        members: The last record of the membership; None in a simulation, and in 0.1.
        chosen: Whether the operator chose the invited sites, so that no others are asked.
    """

    kind: Literal["RunSubmitted"] = "RunSubmitted"
    run_id: str
    plan_digest: Digest
    manifest: Manifest
    submitted_by: str
    invited: tuple[str, ...]
    members: ChainHead | None = None
    chosen: bool = False


class SiteInvited(Strict):
    """A site that enrolled later is asked too."""

    kind: Literal["SiteInvited"] = "SiteInvited"
    site: str


class PlanAnswered(Strict):
    """A site accepted or refused the plan; its signed word is kept.

    Attributes:
        signer: Fingerprint of the site's signing key, with which it signed; None before 0.2.
    """

    kind: Literal["PlanAnswered"] = "PlanAnswered"
    site: str
    accepted: bool
    reasons: tuple[str, ...]
    statement: Statement | None = None
    signer: Digest | None = None


class SiteLeft(Strict):
    """A site was removed from the federation, or withdrew."""

    kind: Literal["SiteLeft"] = "SiteLeft"
    site: str
    reason: str


class RunStarted(Strict):
    """Enough sites accepted; the workflow begins.

    Attributes:
        roster: Digest of the signing keys of the population, as `PlanAnswered` names them; None before 0.2.
        absent: Sites for whose answers the start no longer waited, as they had not been connected since
            the submission; see `cohort: absent` of the plan.
    """

    kind: Literal["RunStarted"] = "RunStarted"
    population: tuple[str, ...]
    roster: Digest | None = None
    absent: tuple[str, ...] = ()


class WorkerRestarted(Strict):
    """The run's worker ended before the workflow did, and was started again."""

    kind: Literal["WorkerRestarted"] = "WorkerRestarted"
    reason: str


class RunRecovered(Strict):
    """The aggregator came back; open exchanges get their whole time again."""

    kind: Literal["RunRecovered"] = "RunRecovered"


class AggregatorRestored(Strict):
    """Records may be missing: the aggregator was restored from a backup, as an operator has acknowledged.

    Attributes:
        record: The record `Restored` in the membership.
        statement: The operator's; see `hanse.core.journal.restores`.
    """

    kind: Literal["AggregatorRestored"] = "AggregatorRestored"
    record: ChainHead
    statement: CertifiedStatement


class RunResumed(Strict):
    """An operator took a stopped or failed run up again."""

    kind: Literal["RunResumed"] = "RunResumed"
    by: str


class RunStopped(Strict):
    """An operator ended the run; terminal unless resumed."""

    kind: Literal["RunStopped"] = "RunStopped"
    by: str
    reason: str


class RunFailed(Strict):
    """The run cannot go on; terminal unless resumed."""

    kind: Literal["RunFailed"] = "RunFailed"
    error: str
    reason: str


class RunFinished(Strict):
    """The workflow ended; terminal.

    Attributes:
        results: Digests of all results of the run, by name.
    """

    kind: Literal["RunFinished"] = "RunFinished"
    rounds: int
    model: ModelRef | None
    best_round: int | None = None
    results: dict[str, BlobDigest] = Field(default_factory=dict)
