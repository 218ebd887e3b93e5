"""When a run has to look at the clock again, without a look at all sites after each event."""

from __future__ import annotations

from hanse.core.run.run import Phase, Run
from hanse.core.run.timing import Tick, next_wakeup_ms


class Alarm:
    """Knows a time before which no `Tick` changes the run.

    Going over all awaited sites gives the exact time. Later events can only postpone what was
    found there, except for what begins with them: a new exchange, or a member that wakes up. Neither
    ends sooner than the shorter of the plan's idle limit and deadline from now on, so the earlier of
    both is good until it is reached. Grace periods are looked up: only a round's exchanges have them.
    """

    def __init__(self) -> None:
        self._phase: Phase | None = None
        self._at_ms: int | None = None

    def next_ms(self, run: Run, known: Tick, now_ms: int) -> int | None:
        """When to give the run its next `Tick`, milliseconds since 1970; None for never.

        It may turn out to be too early, never too late.

        Args:
            run: The run as it stands.
            known: What that `Tick` would say now.
            now_ms: The time, milliseconds since 1970.
        """
        if run.phase is Phase.SUBMITTED:
            self._phase = None
            return next_wakeup_ms(run, known)  # sooner with each site that accepts
        if run.phase is not self._phase or (self._at_ms is not None and now_ms >= self._at_ms):
            self._phase = run.phase
            self._at_ms = _good_until_ms(run, known, now_ms)
        if self._at_ms is None or run.phase is not Phase.RUNNING:
            return self._at_ms
        due = (e.due_ms(run.plan.cohort) for e in run.in_round() if e.closed is None)
        return min((self._at_ms, *due))


def _good_until_ms(run: Run, known: Tick, now_ms: int) -> int | None:
    exact_ms = next_wakeup_ms(run, known)
    if run.phase is not Phase.RUNNING:
        return exact_ms
    soonest_ms = now_ms + int(min(run.plan.cohort.idle_limit, run.plan.cohort.deadline) * 1000)
    return soonest_ms if exact_ms is None else min(exact_ms, soonest_ms)
