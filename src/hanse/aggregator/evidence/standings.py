"""Standings of the instances of sites: accepted until when, or refused why."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection

from hanse.control.appraisal.appraiser import Finding
from hanse.core.run.run import Phase, Run
from hanse.errors import RunError
from hanse.wire.messages.sites import EvidenceAsked

MOST_REFUSALS = 12
"""Refused appraisals of a site within `REFUSALS_MS`; more are not begun."""
REFUSALS_MS = 600_000
_AWAITED = "no evidence of this site's instance was shown yet"
_ENDED = "the verdict about this site's instance has ended"


class Standings:
    """The last appraisal of each site in each run, in memory: a new instance of the aggregator knows none.

    Args:
        clock_ms: The time, milliseconds since 1970.
    """

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        self._clock_ms = clock_ms
        self._found: dict[tuple[str, str], Finding] = {}
        self._refusals: dict[str, deque[int]] = {}

    def note(self, run_id: str, site: str, finding: Finding) -> None:
        """Take an appraisal in."""
        self._found[run_id, site] = finding
        if not finding.accepted:
            self.note_refusal(site)

    def note_refusal(self, site: str) -> None:
        """Count what a site showed in vain."""
        self._refusals.setdefault(site, deque(maxlen=MOST_REFUSALS)).append(self._clock_ms())

    def check_pace(self, site: str) -> None:
        """Refuse a site that showed evidence in vain again and again.

        Raises:
            RunError: It did; says how long it has to wait.
        """
        times = self._refusals.get(site)
        if times is None or len(times) < MOST_REFUSALS:
            return
        left_ms = times[0] + REFUSALS_MS - self._clock_ms()
        if left_ms > 0:
            raise RunError(
                f"{MOST_REFUSALS} appraisals of {site} were refused of late",
                mend=f"The next can begin in {left_ms // 1000 + 1} s; the log of the agent has the reasons.",
            )

    def keep(self, alive: Collection[str]) -> None:
        """Forget runs that are over."""
        self._found = {key: finding for key, finding in self._found.items() if key[0] in alive}

    def last(self, run_id: str, site: str) -> Finding | None:
        """The last appraisal of a site, accepted or not."""
        return self._found.get((run_id, site))

    def accepted(self, run_id: str, site: str) -> Finding | None:
        """The appraisal of a site that is accepted and has not ended; None where there is none."""
        found = self._found.get((run_id, site))
        if found is None or not found.accepted or found.expires_ms <= self._clock_ms():
            return None
        return found

    def asked(self, run: Run, site: str, instance: str, trouble: str) -> EvidenceAsked | None:
        """Where a site stands, as its list of work states it.

        Args:
            run: The run.
            site: The site.
            instance: Name of the aggregator's instance.
            trouble: Why the aggregator cannot take evidence for this run; empty where it can.
        """
        section = run.plan.attestation
        if section is None or not is_due(run, site):
            return None
        if trouble:
            return EvidenceAsked(aggregator=instance, reason=trouble)
        if section.collaborators is None:
            return EvidenceAsked(aggregator=instance, accepted=True)
        found, accepted = self.last(run.run_id, site), self.accepted(run.run_id, site)
        if found is None:
            return EvidenceAsked(aggregator=instance, reason=_AWAITED)
        return EvidenceAsked(
            aggregator=instance,
            instance=found.claims.instance,
            accepted=accepted is not None,
            expires_ms=found.expires_ms if found.accepted else None,
            reason="" if accepted is not None else found.reason or _ENDED,
        )


def is_due(run: Run, site: str) -> bool:
    """Decide if evidence is exchanged with a site now: the run has begun with it, and has a roster."""
    return run.phase is Phase.RUNNING and site in run.roster and run.stated_roster is not None
