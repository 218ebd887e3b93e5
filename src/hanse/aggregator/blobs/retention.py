"""Which blobs are still needed, and the end of those that are not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from hanse.aggregator.run.site_work import assignments
from hanse.core.run.run import Phase, Run
from hanse.core.values.identity import Party, Role
from hanse.core.values.sums.ready import MOST_ATTEMPTS
from hanse.errors import PolicyError, StorageError
from hanse.storage.base import ABANDONED_MS, BlobStore

logger = logging.getLogger(__name__)

MOST_CLAIMS = {Role.COLLABORATOR: 8, Role.OPERATOR: 10_000}
"""Blobs that a site may bring for one task, and an operator for the next plan."""
_AT_ONCE = 16
_MOST_LOOKS = 64
"""Looks at all that is needed in one collection; each goes over all sites."""
_MOST_LATE = 10_000
_EXPIRY_S = 3600.0
"""Between two looks for runs that ended long ago."""

_Exchange = tuple[str, int]
"""A run, and the number of one of its exchanges."""


def plan_blobs(run: Run) -> frozenset[str]:
    """The plan of a run, its code, and the model that it starts from."""
    manifest = run.manifest
    initial = () if manifest.initial_model is None else (manifest.initial_model.sha256,)
    return frozenset({run.plan_digest, *(file.sha256 for file in manifest.files), *initial})


def references(run: Run) -> frozenset[str]:
    """Blobs that a run needs: for its next steps, or, once it has finished, for those who ask about it."""
    models = {run.model, run.best.model if run.best else None}
    found: set[str | None] = {*plan_blobs(run), *run.results.values()}
    if run.phase is not Phase.FINISHED:
        found.add(run.state)
        for exchange in (*run.exchanges.values(), *run.earlier):
            models.add(exchange.model)
            found |= {*exchange.inputs.groups.values()}
            found |= {member.answer.update for member in exchange.members.values() if member.answer}
            # Cells that were left out count again when the run is resumed.
            found |= {digest for cell in exchange.sums.values() for digest in cell.masked.values()}
    found |= {model.digest for model in models if model is not None}
    return frozenset(digest for digest in found if digest is not None)


@dataclass(frozen=True, slots=True)
class KeptModels:
    """Blobs of runs that have ended, by how long they are kept.

    Attributes:
        keep_s: How long after a run's end its models and updates are kept, seconds; None for ever.
    """

    keep_s: float | None = None

    def expired(self, run: Run, now_ms: int) -> bool:
        """Check if the models and updates of a run need not be kept any more."""
        if self.keep_s is None or run.ended_ms is None:
            return False
        return now_ms - run.ended_ms > self.keep_s * 1000

    def references(self, run: Run, now_ms: int) -> frozenset[str]:
        """Blobs that a run needs; of one that ended long ago its plan and code alone."""
        if not self.expired(run, now_ms):
            return references(run)
        return frozenset({run.plan_digest, *(file.sha256 for file in run.manifest.files)})


def superseded(before: Run | None) -> frozenset[str]:
    """Blobs that a run's last commit, say, may have made useless; see `JournaledRun.before_last_commit`."""
    return frozenset() if before is None else references(before)


class Retention:
    """Deletes what was needed once: updates whose round is committed, models that were replaced.

    And what nobody has gone on with for a day: uploads that were cut off.

    A blob that any run refers to stays, and so does one that a party brings, or
    was told is here already, for a result or a plan that it has yet to send. A
    site's claim ends with the tasks that it is asked, an operator's with `release`.
    Belongs to the event loop. Claims do not outlast it. What it then finds, and
    no run refers to, stays as long as something is asked that was asked before:
    it may have been brought for that. Whoever was told that a blob is here, and
    meets an aggregator that does not have it, brings it again.
    """

    def __init__(
        self,
        blobs: BlobStore,
        runs: Callable[[], Sequence[Run]],
        clock_ms: Callable[[], int],
        kept_models: KeptModels = KeptModels(),
    ) -> None:
        self._kept_models = kept_models
        self._blobs = blobs
        self._runs = runs
        self._clock_ms = clock_ms
        self._claims: dict[Party, dict[str, frozenset[_Exchange]]] = {}
        self._found: dict[str, frozenset[_Exchange]] = {}
        """What was here at the start, with the exchanges that it may have been brought for."""
        self._late: dict[str, None] = {}
        """What may still come though its claim has ended: an upload that was under way goes on to its end."""
        self._reclaiming: asyncio.Future[None] | None = None

    def take_stock(self) -> None:
        """Look at what was left here by an aggregator that ended; to be called before anything is asked.

        Raises:
            StorageError: The blobs cannot be listed, or what cannot be used be deleted.
        """
        self._blobs.drop_unfinished()
        runs = self._runs()
        digests = set(self._blobs.digests())
        # A further attempt makes the vectors of the present one useless, and no site claims them any more.
        unclaimed = digests - self._needed() | digests & _masked(runs)
        self._found = dict.fromkeys(unclaimed, _open(runs))

    def claim(self, party: Party, digest: str) -> None:
        """Keep a blob for a party that brings it, or was about to.

        Raises:
            PolicyError: The party has brought more than its tasks or a plan can take.
        """
        asked = _asked(party, self._runs())
        if party.role is Role.COLLABORATOR and not asked:
            return  # whatever it is told, there is nothing to bring it for
        live = self._live(party, asked)
        if digest not in live and len(live) >= _most_claims(party, self._runs()):
            raise PolicyError(
                f"{party.name} has uploaded {len(live)} blobs and used none of them",
                mend="Send the result or the plan that they are for.",
            )
        self._claims.setdefault(party, {})[digest] = asked

    def release(self, party: Party) -> None:
        """End the claims of an operator, whose plan was submitted."""
        self._claims.pop(party, None)

    async def collect(self, digests: Iterable[str]) -> None:
        """Delete those of these blobs that nobody needs, and those whose claim has ended."""
        self._late |= dict.fromkeys(self._drop_ended_claims())
        doubtful = sorted({*digests, *self._late})
        at_once = max(_AT_ONCE, -(-len(doubtful) // _MOST_LOOKS))
        for begin in range(0, len(doubtful), at_once):
            # Not on a thread: nobody may come to need a blob between the look and the deletion.
            needed = self._needed()
            for digest in doubtful[begin : begin + at_once]:
                if self._blobs.has(digest):
                    self._late.pop(digest, None)
                if digest not in needed:
                    self._delete(digest)
            await asyncio.sleep(0)
        self._late = dict.fromkeys([*self._late][-_MOST_LATE:])
        # Nobody waits for it: what is deleted is out of sight already.
        keep = any(run.phase is Phase.RUNNING for run in self._runs())
        self._reclaiming = asyncio.get_running_loop().run_in_executor(None, self._reclaim, keep)

    def expired(self, run: Run) -> bool:
        """Check if the models of a run are not kept any more, as the settings say."""
        return self._kept_models.expired(run, self._clock_ms())

    async def expire(self) -> None:
        """Delete the models and updates of runs that ended long ago, again and again, until cancelled."""
        while True:
            now_ms = self._clock_ms()
            over = [run for run in self._runs() if self._kept_models.expired(run, now_ms)]
            await self.collect(digest for run in over for digest in references(run))
            await asyncio.sleep(_EXPIRY_S)

    async def settled(self) -> None:
        """Wait until the space of what was deleted is free."""
        if self._reclaiming is not None:
            await asyncio.wait({self._reclaiming})

    def _reclaim(self, keep: bool) -> None:
        try:
            self._blobs.reclaim(keep=keep)
            self._blobs.sweep(self._clock_ms() - ABANDONED_MS)
        except StorageError as error:  # it only takes up space
            logger.warning("the space of blobs that are not needed any more is not free yet: %s", error)

    def _delete(self, digest: str) -> None:
        try:
            self._blobs.delete(digest)
        except StorageError as error:  # it only takes up space
            logger.warning("blob %s is not needed any more, but stays: %s", digest[:12], error)

    def _needed(self) -> set[str]:
        # One look at the runs for both: a result that is accepted meanwhile turns a claim into a reference.
        runs = self._runs()
        now_ms = self._clock_ms()
        referred = (self._kept_models.references(run, now_ms) for run in runs)
        claimed = (self._live(party, _asked(party, runs)) for party in self._claims)
        open_now = _open(runs)
        return set().union(*referred, *claimed, (d for d, asked in self._found.items() if asked & open_now))

    def _live(self, party: Party, asked: frozenset[_Exchange]) -> set[str]:
        """Blobs that a party claims for what it is asked now."""
        claims = self._claims.get(party, {})
        if party.role is Role.OPERATOR:
            return set(claims)
        return {digest for digest, meant_for in claims.items() if meant_for & asked}

    def _drop_ended_claims(self) -> list[str]:
        runs, ended = self._runs(), []
        for party, claims in list(self._claims.items()):
            for digest in claims.keys() - self._live(party, _asked(party, runs)):
                ended.append(digest)
                del claims[digest]
            if not claims:
                del self._claims[party]
        open_now = _open(runs)
        over = [digest for digest, may_be_for in self._found.items() if not may_be_for & open_now]
        for digest in over:
            del self._found[digest]
        return ended + over


def _most_claims(party: Party, runs: Iterable[Run]) -> int:
    """Number of blobs that a party may upload for what it is asked now; attempts of masked sums count."""
    most = MOST_CLAIMS[party.role]
    if party.role is Role.OPERATOR:
        return most
    asked = [exchange for run in runs for exchange in assignments(run, party.name)]
    return sum(most + MOST_ATTEMPTS * bool(exchange.sums) for exchange in asked) or most


def _open(runs: Iterable[Run]) -> frozenset[_Exchange]:
    """Exchanges in which anybody's answer would be taken, now or when its run is taken up again."""
    alive = (run for run in runs if run.phase is not Phase.FINISHED)
    return frozenset((run.run_id, exchange.number) for run in alive for exchange in run.open_exchanges())


def _masked(runs: Iterable[Run]) -> frozenset[str]:
    """Masked vectors of exchanges that are open."""
    alive = (run for run in runs if run.phase is not Phase.FINISHED)
    sums = (cell for run in alive for exchange in run.open_exchanges() for cell in exchange.sums.values())
    return frozenset(digest for cell in sums for digest in cell.masked.values())


def _asked(party: Party, runs: Iterable[Run]) -> frozenset[_Exchange]:
    """Exchanges in which a party's answer would be taken now."""
    return frozenset((run.run_id, e.number) for run in runs for e in assignments(run, party.name))
