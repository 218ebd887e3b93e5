"""What a run wants of a site, and what an operator sees of a run: views of its state."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from hanse.aggregator.run.key_standing import KeyStanding
from hanse.aggregator.sums.cells import cell_with, is_masked, sum_asked
from hanse.core.journal.chain import ChainHead
from hanse.core.plan.disclosure import disclosure_of
from hanse.core.plan.group_tensors import group_bytes
from hanse.core.plan.tasks import INITIALISE
from hanse.core.run.events import Event
from hanse.core.run.evidence.events import InstanceAdmitted, KeysReleased, SiteAppraised
from hanse.core.run.exchange import Exchange
from hanse.core.run.round_events import (
    ExchangeClosed,
    ExchangeOpened,
    ResultRefused,
    RoundCommitted,
    RoundOpened,
    SiteIdle,
    TaskFailed,
    TaskStarted,
    UpdateAccepted,
    UpdatesAggregated,
)
from hanse.core.run.run import TERMINAL, Phase, Run
from hanse.core.run.run_events import PlanAnswered, SiteInvited, SiteLeft
from hanse.core.run.site_events import SiteReinstated, SiteSuspended, SuspensionWaived
from hanse.core.run.sum_rules.starts import counted_at
from hanse.core.run.sums.events import CellLeftOut, SiteReady, SumAttempted, SumOpened
from hanse.core.run.suspension import reinstatement_ms, reinstatement_round
from hanse.core.values.canonical import digest_of
from hanse.core.values.evidence.sealed_key import WrappedKey
from hanse.core.values.model_ref import ModelRef
from hanse.errors import StorageError
from hanse.wire.messages.sites import (
    Assignment,
    EvidenceAsked,
    GroupFile,
    ModelDelta,
    RunSuspension,
    RunWork,
    Work,
)

logger = logging.getLogger(__name__)

HEADER_SLACK = 65_536
"""How much longer than the model an update file may be."""


_MOST_REMEMBERED = 1_024
_LONGEST_REASON = 1_000
_LONGEST_NO_KEYS = 4_000


SizeOf = Callable[[str], int]


VectorBytes = Callable[[Run, Exchange], int]
"""Bytes of the masked vector of a site in an exchange whose sums are masked."""


EvidenceOf = Callable[[Run, str], EvidenceAsked | None]
"""Where a site stands in a run whose plan asks for evidence; None in one whose plan does not."""


class GivesKeys(Protocol):
    """Gives keys of sealed files to instances of sites; see `hanse.aggregator.sealed.keys.KeyDesk`."""

    def standing(self, run: Run, site: str) -> KeyStanding:
        """Where a site stands."""
        ...

    def key(self, run: Run, site: str, digest: str) -> WrappedKey:
        """The key of a file for the instance of a site, always the same."""
        ...


Offer = Callable[[str, ModelRef], ModelDelta | None]
"""By a run's id and a model, what makes the model of the one before."""


class WorkList:
    """Tells sites all that is wanted of them.

    What it told one it remembers for those that stand alike, which in a round
    are all of its cohort.

    Args:
        size_of: Size in bytes of a blob, by its digest.
        max_blob: Largest first model that is taken.
        offer: Knows of models in fewer bytes; the same for a model as long as it is asked of anybody.
        lost: Given the id of a run whose blobs cannot be read.
        vector_bytes: Needed where sums are masked.
        evidence: Where sites stand in runs that ask for evidence; without it, such runs ask no task.
        keys: Gives keys of sealed files; without it, sealed runs ask no task.
    """

    def __init__(
        self,
        size_of: SizeOf,
        max_blob: int,
        offer: Offer | None = None,
        lost: Callable[[str], None] = lambda _: None,
        vector_bytes: VectorBytes | None = None,
        evidence: EvidenceOf = lambda *_: None,
        keys: GivesKeys | None = None,
    ) -> None:
        self._keys = keys
        self._evidence = evidence
        self._size_of = size_of
        self._offer = offer
        self._lost = lost
        self._max_blob = max_blob
        self._vector_bytes = vector_bytes
        self._told: dict[tuple[ChainHead | None, tuple[_Standing, ...]], Work] = {}

    def of(self, site: str, runs: Iterable[Run], restored: ChainHead | None = None) -> Work:
        """All that is wanted of a site now.

        Args:
            site: The collaborator.
            runs: The runs of the federation.
            restored: The last record in the membership of an acknowledged restore.
        """
        concerned = [self._wanted(run, site) for run in runs if concerns(run, site)]
        standing = tuple(
            (
                *(run.run_id, run.plan_digest, has_to_answer(run, site), suspension_of(run, site), evidence),
                tuple(counted_at(run, e, site) for e in asked),
                # An exchange gets its whole time again when a run is resumed. Of one whose sum is masked, the
                # attempt and the roster change; nothing else of an exchange does.
                tuple((e.number, e.clock_ms, _sum_standing(e, site)) for e in asked),
            )
            for run, asked, evidence in concerned
        )
        key = restored, standing
        if key not in self._told:
            if len(self._told) >= _MOST_REMEMBERED:
                self._told.clear()
            found, whole = [], True
            for run, asked, evidence in concerned:
                try:
                    found.append(self._of_run(site, run, asked, evidence))
                except StorageError as error:
                    logger.error("run %s: its work for %s cannot be listed: %s", run.run_id, site, error)
                    self._lost(run.run_id)
                    found.append(_nothing_now(run))
                    whole = False
                except Exception as error:  # of this run alone: the list names the others all the same
                    logger.exception("run %s: its work for %s cannot be listed: %s", run.run_id, site, error)
                    found.append(_nothing_now(run))
                    whole = False
            work = Work(version="", restored=restored, runs=tuple(found))
            told = work.model_copy(update={"version": digest_of(work.model_dump(mode="json"))})
            if not whole:
                return told
            self._told[key] = told
        return self._told[key]

    def _wanted(self, run: Run, site: str) -> tuple[Run, tuple[Exchange, ...], EvidenceAsked | None]:
        """A run with what it asks of a site now, and where the site's evidence stands."""
        evidence = self._evidence(run, site)
        asked = assignments(run, site) if takes_part(run, evidence) else ()
        if run.plan.sealed is None or not asked:
            return run, asked, evidence
        found = None if self._keys is None else self._keys.standing(run, site)
        if found is not None and found.ready:
            return run, asked, evidence
        if evidence is not None and found is not None:  # accepted as it is, the site waits for keys
            evidence = evidence.model_copy(update={"reason": found.reason[:_LONGEST_NO_KEYS]})
        return run, (), evidence

    def _key(self, run: Run, site: str, digest: str | None) -> WrappedKey | None:
        """Key of a file of a sealed run."""
        if run.plan.sealed is None or self._keys is None or digest is None:
            return None
        return self._keys.key(run, site, digest)

    def _of_run(
        self, site: str, run: Run, asked: Iterable[Exchange], evidence: EvidenceAsked | None
    ) -> RunWork:
        size_of = self._size_of
        return RunWork(
            run_id=run.run_id,
            plan_digest=run.plan_digest,
            plan_bytes=size_of(run.plan_digest),
            submitted_ms=run.submitted_ms,
            review=has_to_answer(run, site),
            progress_s=progress_interval_s(run),
            suspension=suspension_of(run, site),
            evidence=evidence,
            assignments=tuple(
                Assignment(
                    exchange=e.number,
                    round_number=e.round_number,
                    task=e.task,
                    model=e.model,
                    model_bytes=0 if e.model is None else size_of(e.model.digest),
                    max_update_bytes=max_update_bytes(run, e, size_of, self._max_blob, self._vector_bytes),
                    accepted=counted_at(run, e, site),
                    delta=self._offer(run.run_id, e.model) if self._offer and e.model else None,
                    deadline_ms=e.deadline_ms(run.plan.cohort),
                    roster=None if e.roster is None else e.roster.digest,
                    groups={
                        name: GroupFile(digest=digest, size=size_of(digest), key=self._key(run, site, digest))
                        for name, digest in e.inputs.groups.items()
                    },
                    settings=dict(e.inputs.settings),
                    cells=e.inputs.cells,
                    secure_sum=sum_asked(e, site),
                    key=self._key(run, site, None if e.model is None else e.model.digest),
                )
                for e in asked
            ),
        )


def _nothing_now(run: Run) -> RunWork:
    """That a run wants nothing of a site at present; the run is not over for the site."""
    return RunWork(
        run_id=run.run_id,
        plan_digest=run.plan_digest,
        plan_bytes=0,
        submitted_ms=run.submitted_ms,
        progress_s=progress_interval_s(run),
    )


_SumStanding = tuple[str, int, str | None]
"""Cell, attempt, roster."""

_Asked = tuple[tuple[int, int, _SumStanding | None], ...]
_Standing = tuple[str, str, bool, RunSuspension | None, EvidenceAsked | None, tuple[int, ...], _Asked]
"""Run, plan, whether the site is to answer, why it is suspended, where its evidence stands, of each exchange
that it is asked the one that counted last, exchanges with their clocks and masked sums: all that its work
follows from."""


def _sum_standing(exchange: Exchange, site: str) -> _SumStanding | None:
    cell = cell_with(exchange, site)
    return None if cell is None else (cell.cell, cell.attempt, cell.rho)


def has_to_answer(run: Run, site: str) -> bool:
    """Check if a site has to answer the plan: for the first time, or to name its signing key."""
    return site not in run.answers or site in run.unsigned


def takes_part(run: Run, evidence: EvidenceAsked | None) -> bool:
    """Decide if a site may be asked tasks: where the plan asks for evidence, with an accepted instance."""
    return run.plan.attestation is None or (evidence is not None and evidence.accepted)


def suspension_of(run: Run, site: str) -> RunSuspension | None:
    """Why a site is not asked at present, and until when; None where it is."""
    found = run.failure_record.suspensions.get(site)
    if found is None:
        return None
    return RunSuspension(
        reason=found.reason[:_LONGEST_REASON],
        reinstatement_round=reinstatement_round(run, site),
        reinstatement_ms=reinstatement_ms(run, site),
    )


def concerns(run: Run, site: str) -> bool:
    """Whether a run still wants something of a site, now or later."""
    return run.phase not in TERMINAL and site in run.invited and site not in run.left


def sites_to_wake(
    events: Iterable[Event], before: Run | None, now: Run | None = None
) -> frozenset[str] | None:
    """Sites whose work an event may have changed; None for all that were invited.

    What a site itself has said is no news to it: it is not woken to hear that it counts. All members of
    a cell are woken when its roster or its sum is complete.

    Args:
        events: What has happened.
        before: The run as it stood before its last commit; None before the first.
        now: The run as it stands; needed where sums are masked.
    """
    sites: set[str] = set()
    for event in events:
        match event:
            case ExchangeOpened():
                sites |= set(event.cohort)
            case ExchangeClosed():
                sites |= set(event.missing)
            case SiteAppraised() | KeysReleased() | InstanceAdmitted():
                sites.add(event.site)
            case SiteInvited() | PlanAnswered() | SiteLeft() | SiteSuspended() | SiteReinstated():
                sites.add(event.site)
            case SiteReady() | UpdateAccepted() | SumAttempted() | CellLeftOut():
                sites |= set(_members_to_wake(event, now))
            case TaskStarted() | TaskFailed() | SiteIdle() | SuspensionWaived() | ResultRefused():
                pass
            case RoundOpened() | UpdatesAggregated() | SumOpened():
                pass
            case RoundCommitted():  # a workflow that began anew need not wait for all that it had asked
                dropped = () if before is None else before.open_exchanges()
                sites |= {site for e in dropped for site in (e.members if e.sums else e.unanswered)}
            case _:
                return None
    return frozenset(sites)


def _members_to_wake(
    event: SiteReady | UpdateAccepted | SumAttempted | CellLeftOut, now: Run | None
) -> tuple[str, ...]:
    """Members of a cell of which an event may have changed the work."""
    exchange = None if now is None else now.exchanges.get(event.exchange)
    if exchange is None or not exchange.sums:
        return ()
    cell = cell_with(exchange, event.site) if isinstance(event, UpdateAccepted) else exchange.sums[event.cell]
    if cell is None:
        return ()
    match event:
        case SiteReady():
            return cell.members if cell.rho is not None else ()
        case UpdateAccepted():
            return cell.members if cell.complete else ()
        case SumAttempted() | CellLeftOut():
            return cell.members


def assignments(run: Run, site: str) -> tuple[Exchange, ...]:
    """Open exchanges that want something of a site, once its key is known."""
    if run.phase is not Phase.RUNNING or site in run.unsigned:
        return ()
    return tuple(e for e in run.exchanges.waiting_with(site) if e.is_asked(site))


def progress_interval_s(run: Run) -> float:
    """How often a task has to show progress: well within the idle limit, and at most once a second or so."""
    return min(max(run.plan.cohort.idle_limit / 4, 0.2), 60.0)


def max_update_bytes(
    run: Run, exchange: Exchange, size_of: SizeOf, max_blob: int, vector_bytes: VectorBytes | None = None
) -> int:
    """Largest update file that is taken in an exchange; 0 where the task discloses none."""
    if is_masked(run, exchange):
        if vector_bytes is None:
            raise ValueError("without `vector_bytes` no masked sum can be asked")
        return vector_bytes(run, exchange) + HEADER_SLACK
    disclosure = disclosure_of(run.plan, exchange.task)
    if not disclosure.sends_arrays:
        return 0
    if exchange.task == INITIALISE:
        return max_blob
    model_bytes = 0 if exchange.model is None else size_of(exchange.model.digest)
    most = HEADER_SLACK + group_bytes(run.plan, exchange.task, model_bytes)
    if disclosure.update != "none":
        most += model_bytes
    # Noise does not compress, and each tensor adds a scale or two: far less than this.
    return most + most // 4 if run.plan.compression.upload else most
