"""Keys of sealed files on their way to the sites: to whom, and when not."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Callable
from typing import Protocol

from hanse.aggregator.run.controller import RunController
from hanse.aggregator.run.key_standing import KeyStanding
from hanse.aggregator.sealed.runs import SealedRuns, is_rehearsal
from hanse.attestation.base import Aspect, Tier
from hanse.control.appraisal.appraiser import Finding
from hanse.core.run.evidence.commands import ReleaseKeys
from hanse.core.run.run import Run
from hanse.core.values.evidence.sealed_key import WrappedKey
from hanse.core.values.evidence.verdict import Verdict
from hanse.errors import ConfigError, HanseError, PolicyError, RunError, StorageError
from hanse.sealing.keys import wrap_key
from hanse.sealing.run_files import SEALED_KEY

logger = logging.getLogger(__name__)

_MOST_WRAPS = 10_000
_NOT_OPAQUE = (
    "its evidence does not affirm that its memory is kept from the machine it runs on, as a TPM never does"
)


class AcceptedInstances(Protocol):
    """Knows whose evidence counts; see `hanse.aggregator.evidence.desk.AttestationDesk`."""

    def accepted(self, run: Run, site: str) -> Finding:
        """The appraisal of a site's present instance.

        Raises:
            PolicyError: The site's instance is not accepted; says why.
        """
        ...


class KeyDesk:
    """Gives keys of sealed files to instances of sites. Belongs to the event loop.

    An instance gets keys if its evidence counts and affirms that its memory is closed to its machine, if
    the owner's release policy lists the plan and the site's signing key, and if no other instance of the
    site has the keys of the run. All of this is looked at again for each list of work. The name of the
    instance is in the run's journal before the first key leaves.

    Args:
        sealed: The sealed runs.
        accepted: Knows whose evidence counts.
        find: The controller of a run, by its id.
    """

    def __init__(
        self, sealed: SealedRuns, accepted: AcceptedInstances, find: Callable[[str], RunController]
    ) -> None:
        self._sealed = sealed
        self._accepted = accepted
        self._find = find
        self._wraps: dict[tuple[str, str], WrappedKey] = {}
        self._releasing: dict[tuple[str, str, str], asyncio.Task[None]] = {}
        self._refused: dict[tuple[str, str, str], tuple[object, str]] = {}
        """By run, site and instance, the instance that has the keys instead, and what the journal said."""

    def standing(self, run: Run, site: str) -> KeyStanding:
        """Where a site stands in a sealed run; has the release recorded where only that is missing."""
        try:
            found = self._accepted.accepted(run, site)
        except PolicyError as error:
            return KeyStanding(False, error.message)
        instance = found.claims.instance
        if reason := self._refusal(run, site, found.verdicts[0]):
            return KeyStanding(False, reason)
        if run.released.get(site) == instance:
            return KeyStanding(True)
        before, refused = self._refused.get((run.run_id, site, instance), (None, ""))
        if refused and site not in run.admitted and before == run.released.get(site):
            return KeyStanding(False, refused)
        self._release(run.run_id, site, instance)
        return KeyStanding(False)

    def key(self, run: Run, site: str, digest: str) -> WrappedKey:
        """The key of a file for the instance of a site that `standing` has found ready; always the same.

        Raises:
            PolicyError: The site's instance is not accepted.
            RunError: Its name is not in the run's journal yet.
            SealError: It is not a sealed file of the run.
            StorageError: It cannot be read.
        """
        claims = self._accepted.accepted(run, site).claims
        instance = claims.instance
        if run.released.get(site) != instance:
            raise RunError(f"instance {instance[:12]} of {site} has no keys of run {run.run_id}")
        if (instance, digest) not in self._wraps:
            if len(self._wraps) >= _MOST_WRAPS:
                self._wraps.clear()
            labels = self._sealed.labels(run)
            key = self._sealed.sealed_blobs(run).key(digest)
            info = labels.key_info(instance, digest)
            wrapped = base64.b64encode(wrap_key(key, bytes.fromhex(claims.seal), info)).decode("ascii")
            said = self._sealed.sealing.instance.say(SEALED_KEY, labels.key_body(instance, digest, wrapped))
            self._wraps[instance, digest] = WrappedKey(wrapped=wrapped, said=said)
        return self._wraps[instance, digest]

    async def settled(self) -> None:
        """Wait until no release is being recorded."""
        while self._releasing:
            await asyncio.gather(*self._releasing.values(), return_exceptions=True)

    def _refusal(self, run: Run, site: str, verdict: Verdict) -> str:
        opaque = verdict.vector.get(Aspect.RUNTIME_OPAQUE) == Tier.AFFIRMING
        if not opaque and not is_rehearsal(run.plan):
            return _NOT_OPAQUE
        try:
            policy = self._sealed.sealing.release.now()
        except (ConfigError, StorageError) as error:
            logger.error("no site gets keys of run %s: %s", run.run_id, error)
            return "the owner's release policy cannot be read; the aggregator's log says more"
        return policy.refusal(run.plan_digest, site, run.roster.get(site))

    def _release(self, run_id: str, site: str, instance: str) -> None:
        about = run_id, site, instance
        if about in self._releasing:
            return
        task = asyncio.get_running_loop().create_task(self._record(run_id, site, instance))
        self._releasing[about] = task
        task.add_done_callback(lambda _: self._releasing.pop(about, None))

    async def _record(self, run_id: str, site: str, instance: str) -> None:
        controller = self._find(run_id)
        before = controller.run.released.get(site)
        try:
            await controller.execute(ReleaseKeys(site, instance))
        except RunError as error:
            logger.warning("run %s: %s gets no keys: %s", run_id, site, error)
            if before is None:  # the run is over, or waits
                return
            self._refused[run_id, site, instance] = before, str(error)
        except HanseError as error:  # the next list of work tries again
            logger.error("run %s: keys of %s cannot be released: %s", run_id, site, error)
            return
        controller.signals.notify([site])
