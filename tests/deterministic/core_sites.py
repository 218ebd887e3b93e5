"""The sites of a `CoreWorld`: small models of an agent, with what it keeps on disk and what it forgets."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.deterministic.core_aggregator import Asked, Outcome, Wanted
from tests.deterministic.core_values import examples_of, first_model, update_of, value_of

from hanse.core.plan.tasks import INITIALISE

if TYPE_CHECKING:
    from tests.deterministic.core_world import CoreWorld

LONG_S = 120.0
PROGRESS_S = 5.0


class Site:
    """An agent, in one life after another.

    Attributes:
        life: Which of its lives this is; what an earlier one had begun is void.
    """

    def __init__(self, world: CoreWorld, name: str) -> None:
        self._world = world
        self.name = name
        self.life = 0
        self._kept: dict[int, Outcome] = {}
        """Outcomes on disk, by exchange."""
        self._said: list[Outcome] = []
        """All that it ever said, for who says it again."""
        self._jobs: dict[int, Asked] = {}
        self._ended: set[int] = set()
        self._answering = False

    def start(self) -> None:
        """Come up, and ask what there is to do."""
        self.life += 1
        self._jobs, self._ended, self._answering = {}, set(), False
        self._ask(None)

    def die(self) -> None:
        """End as by kill -9."""
        self.life += 1

    # ------------------------------------------------------------- what to do

    def _ask(self, known: Wanted | None) -> None:
        aggregator, life = self._world.aggregator, self.life
        self._world.ask(
            lambda reply: aggregator.next(self.name, known, reply),
            lambda work: self._heard(work, known) if life == self.life else None,
        )

    def _heard(self, work: Wanted | None, known: Wanted | None) -> None:
        if self._dies("hears"):
            return
        if work is None:
            self._later(2.0, self._ask, known)
            return
        if work.review and not self._answering:
            self._answering = True
            self._agree()
        wanted = {task.exchange: task for task in work.tasks}
        self._jobs = {number: job for number, job in self._jobs.items() if number in wanted}
        for number, task in wanted.items():
            job = self._jobs.get(number)
            if job is None or (number in self._ended and job.asked_ms != task.asked_ms):
                self._jobs[number] = task
                self._ended.discard(number)
                self._begin(task)
        self._ask(work)

    def _agree(self) -> None:
        aggregator, life = self._world.aggregator, self.life

        def answered(reply: Any) -> None:
            if life == self.life:
                if reply is None:
                    self._later(1.0, self._agree)
                else:
                    self._answering = False

        self._world.ask(lambda reply: aggregator.answer(self.name, True, reply), answered)

    # ------------------------------------------------------------------ tasks

    def _begin(self, task: Asked) -> None:
        kept = self._kept.get(task.exchange)
        if kept is not None and replace(kept.about, asked_ms=task.asked_ms) == task:
            self._hand_in(kept)
        elif self._world.chance(self._world.fault_plan.hangs):
            self._progress(task, until_s=0)
        else:
            lasts_s = 0.05 + self._world.random.random() * self._world.fault_plan.lasts_s
            self._progress(task, until_s=lasts_s)
            self._later(lasts_s, self._perform, task)

    def _progress(self, task: Asked, until_s: float) -> None:
        """Show that the task gets on, now and again."""
        if task.exchange not in self._jobs or task.exchange in self._ended:
            return
        aggregator = self._world.aggregator
        show = partial(aggregator.progress, self.name, task.exchange)
        self._world.ask(lambda reply: show(reply), lambda reply: None)
        if until_s > PROGRESS_S:
            self._later(PROGRESS_S, self._progress, task, until_s - PROGRESS_S)

    def _perform(self, task: Asked) -> None:
        if task.exchange not in self._jobs or self._dies("has performed a task"):
            return  # it is not wanted any more
        update: str | None
        if self._world.chance(self._world.fault_plan.fails):
            update = None
        elif task.task == INITIALISE:
            update = first_model(self.name)
        else:
            assert task.model is not None
            update = update_of(self.name, task.round_number, task.task, task.model)
        outcome = Outcome(self.name, task, update, examples_of(self.name))
        self._kept[task.exchange] = outcome
        if not self._dies("has kept an outcome"):
            self._hand_in(outcome)

    def _hand_in(self, outcome: Outcome) -> None:
        """Say it until there is a reply."""
        self._said.append(outcome)
        aggregator, life = self._world.aggregator, self.life

        def replied(reply: Any) -> None:
            if life != self.life or self._dies("has a reply"):
                return
            if reply is None:
                self._later(self._world.random.uniform(0.1, 5), self._hand_in, outcome)
                return
            # Taken or refused for good; a failure is forgotten, for a resumed run asks again.
            self._ended.add(outcome.about.exchange)
            if outcome.update is None:
                self._kept.pop(outcome.about.exchange, None)

        self._world.ask(lambda reply: aggregator.result(outcome, reply), replied)
        if self._world.chance(self._world.fault_plan.replays):
            self._later(self._world.random.uniform(0, 100), self._say_again)

    def _say_again(self) -> None:
        """Say once more what was said before, or something like it that is not true."""
        aggregator, random = self._world.aggregator, self._world.random
        said = random.choice(self._said)
        about, kind = said.about, random.randrange(5)
        if kind == 1 and self._world.checks.has(self.name, about.exchange):
            # What it says first counts, and if that is not true nobody can tell.
            said = replace(said, update=value_of("another", said.update))
        elif kind == 2:
            said = replace(said, about=replace(about, exchange=about.exchange + random.randint(1, 30)))
        elif kind == 3:
            said = replace(said, about=replace(about, exchange=random.randint(-3, about.exchange)))
        elif kind == 4:
            said = replace(said, about=replace(about, round_number=about.round_number + 1))
        self._world.ask(lambda reply: aggregator.result(said, reply), lambda reply: None)

    # ------------------------------------------------------------------- ends

    def _dies(self, place: str) -> bool:
        if not self._world.dies(f"{self.name} {place}"):
            return False
        self.die()
        away_s = LONG_S if self._world.chance(self._world.fault_plan.vanishes) else 5.0
        life = self.life
        self._world.after(
            self._world.random.uniform(0.1, away_s), lambda: self.start() if life == self.life else None
        )
        return True

    def _later(self, delay_s: float, action: Any, *arguments: Any) -> None:
        life = self.life
        self._world.after(delay_s, lambda: action(*arguments) if life == self.life else None)
