"""The inline engine: every site in this process, one task after another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np

from hanse.core.plan.group_tensors import Received
from hanse.core.plan.plan import Plan
from hanse.core.values.groups import nested
from hanse.core.values.parameters import Array, Parameters, specs
from hanse.errors import HanseError, TaskError
from hanse.learners.base import Session
from hanse.learners.notices import notices_kept
from hanse.learners.perform import Ask, perform
from hanse.privacy.secagg.grid import words_dtype
from hanse.privacy.secagg.layout import Layout
from hanse.simulation.arithmetic import limited
from hanse.simulation.engines.base import SITE_FAILURES, Delivered, SiteAsk
from hanse.simulation.masked_sums import seeded
from hanse.simulation.notices import Notices, Say, log
from hanse.updates.drafts import MemoryDraft
from hanse.updates.incoming import open_incoming
from hanse.updates.origin import Origin
from hanse.updates.outgoing import Outgoing, release
from hanse.updates.residuals import Residuals
from hanse.updates.secure_sums.layout import sum_layout
from hanse.updates.secure_sums.prepare import prepared_words
from hanse.updates.secure_sums.vector_file import MASKED
from hanse.wire.tensors import digest_of

Declare = Callable[[str, Iterable[str]], Plan]
"""Declares metrics of a task; see `hanse.simulation.observed.ScriptPlan`."""


class InlineEngine:
    """Performs each task when its answer is asked for; see `hanse.simulation.engines.base.Engine`.

    Args:
        plan: The plan.
        sessions: The user's code of each site, by the site's name.
        directory: Where a site's error feedback is kept; made when there is some.
        say: Shows the notices of tasks.
        declare: Of a plan that declares what its script turns out to report, the plan that declares the
            metrics of a task; None where the plan is what it is.
        threads: Threads of linear algebra at each site.
    """

    def __init__(
        self,
        plan: Plan,
        sessions: Mapping[str, Session],
        directory: Path,
        say: Say = log,
        declare: Declare | None = None,
        threads: int = 1,
    ) -> None:
        self._plan = plan
        self._declare = declare
        self._notices = Notices(say)
        self._sessions = sessions
        # As the workflow has it: to set it again at each task takes longer than a small task.
        self._limited = nullcontext if threads == 1 else partial(limited, threads)
        self._layout: tuple[int, Layout | None] = (0, None)
        """Layout of the vectors of the last exchange, by its number: all its sites have the same."""
        self._residuals = {site: Residuals(directory / site, durable=False) for site in sessions}

    def perform(
        self, asks: Iterable[SiteAsk], inputs: Mapping[str, Parameters]
    ) -> Iterator[Delivered | HanseError]:
        """See `Engine`."""
        for ask in asks:
            # Nothing of an answer is held here while the next task is performed.
            model = None if ask.model is None else inputs[ask.model.digest]
            groups: dict[str, Array] = {}
            for digest in ask.inputs.groups.values():
                groups |= inputs[digest]
            yield self._answer(ask, model, groups)

    def close(self) -> Mapping[str, TaskError]:
        """See `Engine`."""
        failed = {}
        for site, session in self._sessions.items():
            try:
                session.close()
            except TaskError as error:
                failed[site] = error
        return failed

    def _answer(self, ask: SiteAsk, model: Parameters | None, groups: Parameters) -> Delivered | HanseError:
        with notices_kept() as noted, self._limited():
            try:
                answer: Delivered | HanseError = self._performed(ask, model, groups)
            except SITE_FAILURES as error:
                answer = error
        self._notices.add(ask.site, noted)
        return answer

    def _performed(self, ask: SiteAsk, model: Parameters | None, groups: Parameters) -> Delivered:
        residuals = self._residuals[ask.site]
        residuals.apply_acceptance(ask.accepted, ask.exchange)
        asked = Ask(
            ask.exchange, ask.round_number, ask.task, ask.inputs.settings, nested(groups), ask.accepted
        )
        performed = perform(self._sessions[ask.site], self._plan, ask.site, asked, model).materialize()
        draft = None if performed.update is None else MemoryDraft(performed.update)
        plan = self._declare(ask.task, performed.metrics) if self._declare else self._plan
        received = Received(None if model is None else specs(model), specs(groups))
        origin = Origin(plan, ask.task, ask.site, ask.exchange, received)
        outgoing = Outgoing(performed.num_examples, performed.metrics, draft)
        if ask.context:
            return self._summand(outgoing, origin, ask.context)
        release(outgoing, origin, residuals)
        metrics = dict(performed.metrics)
        if draft is None:
            return Delivered(performed.num_examples, metrics)
        travels = draft.tensors()
        return Delivered(
            performed.num_examples,
            metrics,
            open_incoming(travels, origin),
            digest_of(travels, self._plan.digests),
        )

    def _summand(self, outgoing: Outgoing, origin: Origin, context: str) -> Delivered:
        """The words that a site adds to a masked sum."""
        number, layout = self._layout
        if number != origin.exchange or layout is None:
            layout = sum_layout(origin.plan, origin.task, origin.received)
            self._layout = (origin.exchange, layout)
        randomness = seeded(origin.plan, origin.site, origin.exchange)
        words = np.empty(layout.words, words_dtype(layout.ring))
        begin = 0
        for piece in prepared_words(outgoing, origin, layout, context, randomness):
            words[begin : begin + len(piece)] = piece
            begin += len(piece)
        vector = {MASKED: words}
        return Delivered(0, {}, vector, digest_of(vector, self._plan.digests))
