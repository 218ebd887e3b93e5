"""Limit of tasks that fail for what may be reasons of the data, before a person has to permit more."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from hanse.collaborator.sums.board import Board, ExchangeKey, first_of
from hanse.collaborator.sums.questions import FailuresQuestion, Questions
from hanse.collaborator.task_run import TaskRun
from hanse.concurrency import Signals, in_thread

logger = logging.getLogger(__name__)

MOST_FAILURES = 3
"""Tasks of this site that may fail so, of whatever runs and plans: an operator can begin further ones."""

_PERFORMING = "performing"


class FailureLimit:
    """Lets a task be performed only where, if all that are under way fail, no more than the limit have.

    Args:
        board: What the aggregator waits for.
        questions: Of the site.
    """

    def __init__(self, board: Board, questions: Questions) -> None:
        self._board = board
        self._questions = questions
        self._performing: set[ExchangeKey] = set()
        self._signals = Signals()

    async def begin(self, task_run: TaskRun) -> bool:
        """Wait until a task may be performed; False where its exchange is over first."""
        key = task_run.run.run_id, task_run.assignment.exchange
        while True:
            failures = task_run.context.journal.history.sums.failures
            if failures + len(self._performing) < MOST_FAILURES:
                self._performing.add(key)
                return True
            over = asyncio.create_task(self._board.until_over(key))
            if failures >= MOST_FAILURES:
                await self._ask(task_run, failures, over)
            else:
                await first_of([asyncio.create_task(self._until_fewer(len(self._performing))), over])
            if not self._board.lists(key):
                return False

    def end(self, key: ExchangeKey) -> None:
        """Count a task no longer as under way: its result, or its failure, is in the site's journal."""
        self._performing.discard(key)
        self._signals.notify([_PERFORMING])

    def end_run(self, run_id: str) -> None:
        """Take a question off that only a run that is over has asked; another that waits asks again."""
        for question in self._questions.all():
            if isinstance(question, FailuresQuestion) and question.run_id == run_id:
                self._questions.drop(question.id)

    async def _until_fewer(self, number: int) -> None:
        await self._signals.until((_PERFORMING,), lambda: True if len(self._performing) < number else None)

    async def _ask(self, task_run: TaskRun, failures: int, over: asyncio.Task[None]) -> None:
        run, here = task_run.run, task_run.context
        question = FailuresQuestion(
            run_id=run.run_id, asked_ms=here.now_ms, plan_digest=run.plan_digest, failures=failures
        )
        if not self._questions.is_open(question.id):
            await here.retry_while_disk_full(partial(in_thread, partial(self._questions.ask, question)))
        logger.warning(
            "%s waits for a person: %s Permit them with `hanse collaborator permit %s --reason ...`",
            *(task_run, question.text, question.id),
            extra=task_run.facts,
        )
        answered = self._questions.until_answered(question.id, here.sleep, here.look_s)
        await first_of([asyncio.create_task(answered), over])
        await in_thread(here.journal.catch_up)
