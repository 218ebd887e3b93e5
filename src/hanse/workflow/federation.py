"""What a workflow holds: the federation, and one round after another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, SupportsFloat

import numpy as np

from hanse.core.plan.disclosure import check_asked
from hanse.core.plan.plan import Plan
from hanse.core.plan.tasks import INITIALISE
from hanse.core.values.parameters import Parameters, add
from hanse.core.values.seeds import derive
from hanse.core.values.update import Aggregate, Update
from hanse.errors import WorkflowError
from hanse.workflow.base import CommitRequest, Host, Request, Standing
from hanse.workflow.values import checked_metrics, checked_parameters


class Federation:
    """The sites of a run, as its workflow sees them.

    A workflow is a plain function of a `Federation`. It may be started again
    at any time and then goes on after the last committed round, so it has to
    do the same again from there: randomness from `Round.random`, state
    through `commit`, and nothing from clocks or files.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._standing = host.standing()
        self._taken: set[int] = set()

    @property
    def plan(self) -> Plan:
        """The plan that all sites agreed on."""
        return self._host.plan

    @property
    def options(self) -> Mapping[str, Any]:
        """The plan's `options`."""
        return self.plan.options

    @property
    def population(self) -> tuple[str, ...]:
        """Sites that take part, in site order, as of the last commit or restart.

        To choose sites by; within a round choose from `Round.cohort`, which is
        the same when the round is done again.
        """
        return self._standing.population

    @property
    def round_number(self) -> int:
        """Number of the last committed round; 0 with the first model."""
        return self._begun().committed

    @property
    def model(self) -> Parameters:
        """The last committed model, read-only."""
        return _model(self._begun())

    @property
    def state(self) -> Parameters:
        """The arrays that the last commit kept for this workflow; empty at first."""
        return self._begun().state

    def rounds(self) -> Iterator[Round]:
        """The rounds still to do, each of them to be committed before the next."""
        while not self._begun().complete:
            number = self._standing.committed + 1
            yield Round(self, number)
            if self._standing.committed != number:
                raise WorkflowError(
                    f"round {number} ended without a commit", mend="Call round.commit(model) in each round."
                )

    def stream(self, task: str = "train") -> Iterator[Update]:
        """Updates as they come, for asynchronous rules.

        Every site works all the time: when its update has been taken it gets
        the last committed model. `Update.staleness` counts the commits since
        the model it trained on. End a version with `commit`; the stream ends
        with the plan's last round.

        Raises:
            DisclosureError: The plan does not disclose the task's updates individually.
        """
        # The first model is committed before anything is streamed.
        check_asked(self.plan, task, max(self._standing.committed + 1, 1), individually=True)
        while not self._begun().complete:
            exchange, update = self._host.next_update(task, frozenset(self._taken))
            self._taken.add(exchange)
            yield update

    def commit(
        self,
        model: Parameters,
        metrics: Mapping[str, SupportsFloat] | None = None,
        state: Parameters | None = None,
    ) -> None:
        """Make a model the run's, with metrics and the workflow's own state, in one step.

        Args:
            model: Parameters with the names, shapes and dtypes of the model before.
            metrics: Finite numbers for the journal; `keep_best` and `early_stop` look here.
            state: Arrays that the workflow needs again after a restart.

        Raises:
            WorkflowError: A metric is no finite number, or a parameter no array.
        """
        self._commit(self._begun().committed + 1, model, metrics or {}, state or {})

    def _commit(
        self, number: int, model: Parameters, metrics: Mapping[str, SupportsFloat], state: Parameters
    ) -> None:
        request = CommitRequest(
            number,
            checked_parameters(model, f"the model of round {number}"),
            checked_metrics(metrics, number),
            checked_parameters(state, f"the state of round {number}"),
            consumed=tuple(sorted(self._taken)),
        )
        self._standing = self._host.commit(request)
        self._taken.clear()

    def _begun(self) -> Standing:
        """The standing once there is a model; gets the first one where there is none."""
        if self._standing.committed < 0:
            self._commit(0, self._first_model(), {}, {})
        return self._standing

    def _first_model(self) -> Parameters:
        given = self._host.initial_model()
        if given is not None:
            return given
        # One site after another, until one gives the parameters of its freshly made learner.
        # Of the round's cohort, not of the population: that one changes when a site leaves.
        cohort = self._host.open_round(0)
        for index, site in enumerate(cohort):
            answers = self._host.ask(Request(0, index, INITIALISE, None, (site,)))
            if answers and answers[0].delta is not None:
                return answers[0].delta
        raise WorkflowError(
            f"none of {', '.join(cohort)} could give a first model",
            mend="Each site's failure says why. No site is asked where the plan has an `initial_model`.",
        )


class Round:
    """One round: ask, aggregate, commit.

    Attributes:
        number: Counted from 1.
        random: Generator for the workflow's own choices in this round, the
            same when the round is done again.
    """

    def __init__(self, federation: Federation, number: int) -> None:
        self._federation = federation
        self._index = 0
        self._cohort: tuple[str, ...] | None = None
        self.number = number
        self.random = np.random.default_rng(derive(federation.plan.seed, "workflow", number))

    @property
    def plan(self) -> Plan:
        """The plan that all sites agreed on."""
        return self._federation.plan

    @property
    def cohort(self) -> tuple[str, ...]:
        """Sites that are asked, in site order; to look at it begins the round, as does to ask."""
        if self._cohort is None:
            self._cohort = self._federation._host.open_round(self.number)
        return self._cohort

    @property
    def model(self) -> Parameters:
        """The model that the round begins with, read-only."""
        return self._federation.model

    @property
    def state(self) -> Parameters:
        """The arrays that the last commit kept for this workflow."""
        return self._federation.state

    def ask(
        self, task: str, model: Parameters | None = None, *, sites: Iterable[str] | None = None
    ) -> Iterator[Update]:
        """Ask a task and give each site's own answer, in site order.

        Args:
            task: A task of the plan.
            model: Parameters to start from; the round's model if not given.
            sites: Ask these only, and take the answers that come; not given, the
                cohort is asked and its quorum has to answer.

        Raises:
            DisclosureError: The plan discloses this task's updates only in aggregate.
        """
        check_asked(self._federation.plan, task, self.number, individually=True)
        return iter(self._federation._host.ask(self._request(task, model, sites)))

    def sum(
        self, task: str, model: Parameters | None = None, *, sites: Iterable[str] | None = None
    ) -> Aggregate:
        """Ask a task and give the aggregate of the answers, and nothing else of them.

        Args:
            task: A task of the plan.
            model: Parameters to start from; the round's model if not given.
            sites: As in `ask`; only where the plan discloses the task's updates individually.

        Raises:
            DisclosureError: `sites` were named, and the plan discloses this task's updates only in
                aggregate: over the whole cohort, not over some of it.
            UpdateError: No site had examples.
        """
        check_asked(self._federation.plan, task, self.number, individually=sites is not None)
        return self._federation._host.sum(self._request(task, model, sites))

    def apply(self, aggregate: Aggregate) -> dict[str, Any]:
        """The round's model with the mean update added; tensors that were not disclosed stay."""
        return add(self.model, aggregate.delta or {})

    def commit(
        self,
        model: Parameters,
        metrics: Mapping[str, SupportsFloat] | None = None,
        state: Parameters | None = None,
    ) -> None:
        """End the round with this model; see `Federation.commit`."""
        if not self._index and self._cohort is None:  # nobody was asked; the round has been all the same
            self._federation._host.open_round(self.number)
        self._federation._commit(self.number, model, metrics or {}, state or {})

    def _request(self, task: str, model: Parameters | None, sites: Iterable[str] | None) -> Request:
        index, self._index = self._index, self._index + 1
        chosen = None if sites is None else tuple(sorted(set(sites)))
        given = self.model if model is None else checked_parameters(model, f"the model for {task}")
        return Request(self.number, index, task, given, chosen)


def _model(standing: Standing) -> Parameters:
    if standing.model is None:
        raise WorkflowError("the run has no model yet")
    return standing.model
