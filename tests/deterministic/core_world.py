"""A federation in virtual time around the pure core: one seed, one schedule of everything that happens.

The decisions are the real ones (`decide`, `evolve`, `JournaledRun`); sites, network and workflow are small
models of what the services do. The same seed gives the same journal, to the byte.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from functools import partial
from random import Random
from typing import Any

from tests.deterministic.core_aggregator import Aggregator
from tests.deterministic.core_checks import Checks
from tests.deterministic.core_sites import Site
from tests.deterministic.fault_plan import CALM, MOST_JUMP_S, FaultPlan, Shape

from hanse.core.run.lifecycle import Invite, Leave, Resume, Stop
from hanse.core.run.run import TERMINAL, Phase
from hanse.errors import RunError

BEGIN_MS = 1_700_000_000_000
STORM_S = 400.0
"""How long things go wrong; then the weather is calm."""
CALM_S = 3_000.0
"""How long a run may take to its end once it is: some deadlines, and the furthest jump of a clock."""
MOST_STEPS = 60_000
TIMEOUT_S = 35.0

Reply = Callable[[Any], None]


class CoreWorld:
    """One schedule.

    Args:
        seed: Of everything that is left to chance.
        shape: The federation; drawn where it is not given.
        fault_plan: What goes wrong; drawn where it is not given.
        deaths: Numbers of the points, counted from 0, at which the process that gets there dies.
    """

    def __init__(
        self,
        seed: int,
        *,
        shape: Shape | None = None,
        fault_plan: FaultPlan | None = None,
        deaths: Iterable[int] = (),
    ) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.shape = shape or Shape.drawn(self.random)
        self.fault_plan = fault_plan or FaultPlan.drawn(self.random)
        self.points: list[str] = []
        self._deaths = frozenset(deaths)
        self._time_ms = BEGIN_MS
        self._jumped_ms = 0
        self._agenda: list[tuple[int, float, int, Callable[[], None]]] = []
        self._numbers = 0
        self._connected: list[Reply] = []
        self.checks = Checks(self)
        self.aggregator = Aggregator(self)
        self.sites = {name: Site(self, name) for name in self.shape.sites}

    # ------------------------------------------------------------ what happens

    def run(self) -> CoreWorld:
        """Let it all happen, and check it."""
        self.aggregator.start()
        for site in self.sites.values():
            site.start()
        if self.fault_plan != CALM:
            self.after(STORM_S, self._calm_down)
            for happening in (self._jump, self._leave, self._stop):
                self.after(self.random.uniform(0, STORM_S / 4), happening)
        else:
            self._watch()
        end_ms = self._time_ms + round((STORM_S + CALM_S) * 1000)
        steps = 0
        while not self.finished:
            steps += 1
            assert self._agenda, "nothing will ever happen again, and the run has not finished"
            time_ms, _, _, action = heapq.heappop(self._agenda)
            self._time_ms = max(self._time_ms, time_ms)
            assert self._time_ms < end_ms, f"the run has not finished in time: {self.aggregator.where}"
            assert steps < MOST_STEPS, f"the run moves in circles: {self.aggregator.where}"
            action()
        self.checks.at_the_end()
        return self

    @property
    def finished(self) -> bool:
        return self.aggregator.up and self.aggregator.run.phase is Phase.FINISHED

    def clock_ms(self) -> int:
        """The aggregator's clock."""
        return self._time_ms + self._jumped_ms

    def after(self, delay_s: float, action: Callable[[], None]) -> None:
        """Have something happen later; what happens at the same time does so in an order left to chance."""
        self._numbers += 1
        due_ms = self._time_ms + round(delay_s * 1000)
        heapq.heappush(self._agenda, (due_ms, self.random.random(), self._numbers, action))

    def chance(self, probability: float) -> bool:
        return probability > 0 and self.random.random() < probability

    def dies(self, place: str) -> bool:
        """A numbered point: whether the process that gets there dies there."""
        number = len(self.points)
        self.points.append(place)
        return number in self._deaths or self.chance(self.fault_plan.dies)

    # ---------------------------------------------------------------- network

    def ask(self, serve: Callable[[Reply], None], then: Reply) -> None:
        """Carry a request to the aggregator and its reply back; `then` gets None where none comes."""
        settled = False

        def follow_up_events(reply: Any) -> None:
            nonlocal settled
            if not settled:
                settled = True
                then(reply)

        def arrive() -> None:
            if self.aggregator.up:
                self._connected.append(follow_up_events)
                serve(answer)
            else:
                self.after(self._delay_s(), lambda: follow_up_events(None))

        def answer(reply: Any) -> None:
            if not self.chance(self.fault_plan.lost):
                self.after(self._delay_s(), lambda: follow_up_events(reply))

        for _ in range(2 if self.chance(self.fault_plan.duplicated) else 1):
            if not self.chance(self.fault_plan.lost):
                self.after(self._delay_s(), arrive)
        self.after(TIMEOUT_S, lambda: follow_up_events(None))

    def cut(self) -> None:
        """The aggregator has died: whoever waits for its reply learns it, most likely."""
        for follow_up_events in self._connected:
            if not self.chance(self.fault_plan.lost):
                self.after(self._delay_s(), partial(follow_up_events, None))
        self._connected.clear()

    def _delay_s(self) -> float:
        return 0.001 * self.random.randint(1, 40) + self.random.random() * self.fault_plan.slow_s

    # --------------------------------------------------------------- operator

    def _calm_down(self) -> None:
        """From now on nothing goes wrong, and everything that is down comes up."""
        self.fault_plan = CALM
        for site in self.sites.values():
            site.die()
            site.start()
        self._watch()

    def _watch(self) -> None:
        """Take the run up again where it ended early, and have every site take part."""
        aggregator = self.aggregator
        if aggregator.up:
            if aggregator.run.phase in (Phase.FAILED, Phase.STOPPED):
                self.checks.ended_early(aggregator.run)
                aggregator.resume(Resume("operator"))
            for name in self.shape.sites:
                self._join(name)
        self.after(7.0, self._watch)

    def _jump(self) -> None:
        if self.chance(self.fault_plan.jumps):
            self._jumped_ms = self.random.randint(-1, 1) * self.random.randint(0, round(MOST_JUMP_S * 1000))
        if self.fault_plan != CALM:
            self.after(self.random.uniform(1, 60), self._jump)

    def _leave(self) -> None:
        name = self.random.choice(self.shape.sites)
        if self.aggregator.up and self.chance(self.fault_plan.leaves):
            self.aggregator.told(Leave(name, "removed from the federation"))
            self.after(self.random.uniform(1, 100), lambda: self._join(name))
        if self.fault_plan != CALM:
            self.after(self.random.uniform(1, 100), self._leave)

    def _join(self, name: str) -> None:
        if self.aggregator.up:
            self.aggregator.told(Invite(name))

    def _stop(self) -> None:
        aggregator = self.aggregator
        if aggregator.up and aggregator.run.phase not in TERMINAL and self.chance(self.fault_plan.stops):
            aggregator.told(Stop("operator"))
        elif aggregator.up and aggregator.run.phase in TERMINAL and self.chance(0.5):
            try:
                self.checks.ended_early(aggregator.run)
                aggregator.resume(Resume("operator"))
            except RunError:
                assert aggregator.run.phase is Phase.FINISHED
        if self.fault_plan != CALM:
            self.after(self.random.uniform(1, 60), self._stop)

    # ----------------------------------------------------------------- digest

    def digest(self) -> str:
        """Of the whole journal: the same for the same seed."""
        return self.aggregator.records()[-1].digest
