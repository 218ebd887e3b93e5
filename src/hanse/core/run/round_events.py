"""Events of a round: cohorts, tasks and their results, sums and commits."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hanse.core.values.ask_inputs import StatedInputs
from hanse.core.values.evidence.sealed_key import Said
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.schema import BlobDigest, Digest, Strict
from hanse.core.values.statements import Statement

Sites = tuple[str, ...]
Metrics = dict[str, float]


class RoundOpened(Strict):
    """A round began with a cohort drawn from the population.

    Attributes:
        suspended: Sites that the round goes without because they are suspended, and nobody
            could be asked in their place.
    """

    kind: Literal["RoundOpened"] = "RoundOpened"
    round_number: int
    cohort: Sites
    population: Sites
    suspended: Sites = ()


class ExchangeOpened(StatedInputs):
    """A task was asked of sites; each of them is assigned it.

    Attributes:
        exchange: Number within the run, counted from 1. A run that was resumed asks the same again under
            the number that it had; then what was answered stands, and the others are asked.
        index: Place among the exchanges of its round, from 0; -1 in a stream.
        model: The parameters that the sites receive; None for `initialise`.
        needed: Answers without which the round fails; 0 where the workflow chose the
            sites itself and deals with those that do not answer.
        roster: Digest of the run's roster as it is now; None before 0.2, and as long as a site takes part
            whose consent is from then.
        members: In an exchange whose sums are masked, the members of each cell that is asked.
    """

    kind: Literal["ExchangeOpened"] = "ExchangeOpened"
    exchange: int
    round_number: int
    index: int
    task: str
    model: ModelRef | None
    cohort: Sites
    needed: int
    roster: Digest | None = None
    members: dict[str, Sites] = Field(default_factory=dict, max_length=1_000)


class TaskStarted(Strict):
    """A site took up its task."""

    kind: Literal["TaskStarted"] = "TaskStarted"
    exchange: int
    site: str


class SiteIdle(Strict):
    """A site's task showed no progress for the idle limit; it is no longer waited for."""

    kind: Literal["SiteIdle"] = "SiteIdle"
    exchange: int
    site: str
    silent_s: float


class UpdateAccepted(Strict):
    """A site's result is here, checked and durable.

    Attributes:
        metrics: Numbers by name; None for one that is not defined for the site's examples.
        spoken: Signature of the site's instance over the statement's body; None in a run without evidence.
    """

    kind: Literal["UpdateAccepted"] = "UpdateAccepted"
    exchange: int
    site: str
    num_examples: int
    metrics: dict[str, float | None]
    update: BlobDigest | None
    statement: Statement | None = None
    spoken: Said | None = None


class TaskFailed(Strict):
    """A site could not do its task, or refused to disclose what it gave.

    Attributes:
        spoken: As in `UpdateAccepted`.
    """

    kind: Literal["TaskFailed"] = "TaskFailed"
    exchange: int
    site: str
    reason: str
    log_tail: str = ""
    statement: Statement | None = None
    spoken: Said | None = None


class ResultRefused(Strict):
    """A result was not taken: late, forged, malformed, or from outside the cohort.

    Attributes:
        round_number: Round of the exchange; None where the run does not know (any more) which.
        num_examples: What a late answer said, as its site signed it; None of any other result.
    """

    kind: Literal["ResultRefused"] = "ResultRefused"
    exchange: int
    site: str
    error: str
    reason: str
    round_number: int | None = None
    num_examples: int | None = None


class Data(Strict):
    """How much data an exchange's answers stand for, and how much is missing from them, in examples.

    Attributes:
        answered: Sum over the sites that answered.
        missing: Sum over those that did not, of what each said when it last answered this task.
        unknown: Those that did not answer and never have answered this task.
        tolerated: Part of the data known that the plan lets be missing without a warning; None
            where it says nothing: in a stream, and for the first model.
    """

    answered: int = Field(ge=0, le=10**18)
    missing: int = Field(ge=0, le=10**18)
    unknown: Sites = ()
    tolerated: float | None = None

    @property
    def share(self) -> float:
        """Part of the data known that is missing, from 0 to 1."""
        known = self.answered + self.missing
        return round(self.missing / known, 9) if known else 0.0

    @property
    def too_little(self) -> bool:
        """Whether more is missing than the plan tolerates."""
        return self.tolerated is not None and self.share > round(self.tolerated, 9)


class ExchangeClosed(Strict):
    """An exchange ended; what came is what counts.

    Attributes:
        missing: Sites that had not answered, and had not failed either.
        idle: Those of `missing` that had fallen silent.
        suspended: Sites that were not asked because they are suspended; see `RoundOpened`.
        data: What the answers stand for; None of masked sums, and in the journals of earlier versions.
    """

    kind: Literal["ExchangeClosed"] = "ExchangeClosed"
    exchange: int
    cause: Literal["all", "grace", "deadline", "idle"]
    answered: Sites
    failed: Sites
    missing: Sites
    idle: Sites = ()
    suspended: Sites = ()
    data: Data | None = None


class UpdatesAggregated(Strict):
    """The aggregator summed an exchange's updates, in site order.

    Attributes:
        aggregate: Digest of the file of the sum; None where it has no arrays, and in a sealed run.
    """

    kind: Literal["UpdatesAggregated"] = "UpdatesAggregated"
    exchange: int
    sites: Sites
    num_examples: int
    aggregate: BlobDigest | None


class RoundCommitted(Strict):
    """A round's model, metrics and workflow state became the run's.

    Attributes:
        round_number: 0 for the first model.
        state: Digest of the workflow's own state, or None.
        best: Whether this is the best model so far, by the plan's `keep_best`.
        consumed: Exchanges of a stream that went into this model.
        model: None where the run has no model.
        results: Digests of the results that this commit gave, by name; others stay as they were.
    """

    kind: Literal["RoundCommitted"] = "RoundCommitted"
    round_number: int
    model: ModelRef | None
    metrics: Metrics
    state: BlobDigest | None = None
    best: bool = False
    consumed: tuple[int, ...] = ()
    results: dict[str, BlobDigest] = Field(default_factory=dict)
