"""What a workflow holds: the federation, and one round after another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, SupportsFloat

import numpy as np

from hanse.core.plan.disclosure import check_asked
from hanse.core.plan.group_tensors import receives_model
from hanse.core.plan.plan import Plan
from hanse.core.plan.tasks import INITIALISE
from hanse.core.values.groups import Groups
from hanse.core.values.parameters import Parameters, add
from hanse.core.values.seeds import derive
from hanse.core.values.update import Aggregate, Update
from hanse.errors import WorkflowError
from hanse.workflow.base import CommitRequest, Host, OpenedRound, Request, Standing
from hanse.workflow.values import (
    check_known,
    check_results,
    checked_groups,
    checked_metrics,
    checked_parameters,
    checked_sent,
    checked_settings,
    checked_state,
)


class Federation:
    """The sites of a run, as its workflow sees them.

    A workflow is a plain function of a `Federation`. It may be started again
    at any time and then continues after the last committed round, so it has to
    do the same again from there: randomness from `Round.random`, state
    through `commit`, and nothing from clocks or files.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._standing = host.standing()
        self._taken: set[int] = set()
        self._first: Parameters | None = None

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
    def state(self) -> Groups:
        """The arrays and groups that the last commit kept for this workflow; empty at first."""
        return self._begun().state

    @property
    def results(self) -> Groups:
        """The run's results so far, by name."""
        return self._begun().results

    @property
    def cells(self) -> Mapping[str, tuple[str, ...]]:
        """The plan's cells, with their sites; empty where it has none."""
        return self.plan.cells

    def rounds(self, first: Parameters | None = None) -> Iterator[Round]:
        """The rounds still to do, each of them to be committed before the next.

        Args:
            first: The first model, where the plan says `initial_model: workflow`.

        Raises:
            WorkflowError: A first model is given and the plan has another origin for it, or the other way
                round.
        """
        self._check_first(first)
        if first is not None:
            self._first = first
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
        model: Parameters | None = None,
        metrics: Mapping[str, SupportsFloat] | None = None,
        state: Groups | None = None,
        results: Groups | None = None,
    ) -> None:
        """Make a model the run's, with metrics, results and the workflow's own state, in one step.

        Args:
            model: Parameters with the names, shapes and dtypes of the model before; not given, that model.
            metrics: Finite numbers for the journal; `keep_best` and `early_stop` look here.
            state: Arrays, and tables of arrays, that the workflow needs again after a restart.
            results: Arrays, and tables of arrays, of any shape, by name; each stays until a commit gives
                the same name again. All together at most the plan's `max_result_bytes`.

        Raises:
            WorkflowError: A metric is not a finite number, a parameter or a result is not an array, or the
                results are too large.
        """
        self._commit(self._begun().committed + 1, model, metrics or {}, state or {}, results or {})

    def _commit(
        self,
        number: int,
        model: Parameters | None,
        metrics: Mapping[str, SupportsFloat],
        state: Groups,
        results: Groups,
    ) -> None:
        given = self._standing.model if model is None else model
        kept = checked_groups(results, f"the results of round {number}")
        check_results({**self._standing.results, **kept}, self.plan.max_result_bytes)
        request = CommitRequest(
            number,
            None if given is None else checked_parameters(given, f"the model of round {number}"),
            checked_metrics(metrics, number),
            checked_state(state, f"the state of round {number}"),
            consumed=tuple(sorted(self._taken)),
            results=kept,
        )
        self._standing = self._host.commit(request)
        self._taken.clear()

    def _begun(self) -> Standing:
        """The standing once round 0 is committed, with the first model where the run has one."""
        if self._standing.committed < 0:
            self._commit(0, self._first_model(), {}, {}, {})
        return self._standing

    def _check_first(self, first: Parameters | None) -> None:
        wanted = self.plan.first_model == "workflow"
        if first is not None and not wanted:
            raise WorkflowError(
                "the workflow gives a first model, and the plan does not have it do so",
                mend="Write `initial_model: workflow` in the plan, or leave out `rounds(first=...)`.",
            )
        if first is not None:
            checked_parameters(first, "the first model")

    def _first_model(self) -> Parameters | None:
        if self.plan.first_model == "none":
            return None
        if self.plan.first_model == "workflow":
            if self._first is None:
                raise WorkflowError(
                    "the workflow gives no first model, and the plan says `initial_model: workflow`",
                    mend="Give it: federation.rounds(first={...}).",
                )
            return self._first
        given = self._host.initial_model()
        if given is not None:
            return given
        # One site after another, until one gives the parameters of its freshly made learner.
        # Of the round's cohort, not of the population: that one changes when a site leaves.
        cohort = self._host.open_round(0).cohort
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
        self._standing: OpenedRound | None = None
        self.number = number
        self.random = np.random.default_rng(derive(federation.plan.seed, "workflow", number))

    @property
    def plan(self) -> Plan:
        """The plan that all sites agreed on."""
        return self._federation.plan

    @property
    def cohort(self) -> tuple[str, ...]:
        """Sites that are asked, in site order; to look at it begins the round, as does to ask."""
        return self._opened.cohort

    @property
    def model(self) -> Parameters:
        """The model that the round begins with, read-only."""
        return self._federation.model

    @property
    def state(self) -> Groups:
        """The arrays and groups that the last commit kept for this workflow."""
        return self._federation.state

    @property
    def population(self) -> tuple[str, ...]:
        """Sites that take part, in site order, as of the beginning of the round."""
        return self._opened.population

    @property
    def _opened(self) -> OpenedRound:
        if self._standing is None:
            self._standing = self._federation._host.open_round(self.number)
        return self._standing

    def ask(
        self,
        task: str,
        model: Parameters | None = None,
        *,
        groups: Groups | None = None,
        settings: Mapping[str, int | float] | None = None,
        sites: Iterable[str] | None = None,
    ) -> Iterator[Update]:
        """Ask a task and give each site's own answer, in site order.

        Args:
            task: A task of the plan.
            model: Parameters to start from; the round's model if not given.
            groups: Exactly the groups that the task receives.
            settings: Settings of the task, of those that vary by the plan.
            sites: Ask these only, and take the answers that come; not given, the
                cohort is asked and its quorum has to answer.

        Raises:
            DisclosureError: The plan discloses this task's updates or groups only in aggregate.
            WorkflowError: The groups, the model or the settings are not those of the plan.
        """
        check_asked(self._federation.plan, task, self.number, individually=True)
        request = self._request(task, model, groups, settings, sites=sites)
        return iter(self._federation._host.ask(request))

    def sum(
        self,
        task: str,
        model: Parameters | None = None,
        *,
        groups: Groups | None = None,
        settings: Mapping[str, int | float] | None = None,
        cells: Iterable[str] | None = None,
        sites: Iterable[str] | None = None,
    ) -> Aggregate:
        """Ask a task and give the aggregate of the answers, and nothing else of them.

        Args:
            task: A task of the plan.
            model: Parameters to start from; the round's model if not given.
            groups: Exactly the groups that the task receives.
            settings: Settings of the task, of those that vary by the plan.
            cells: Sum over these cells of the plan only; not given, over the whole cohort.
            sites: As in `ask`; only where the plan discloses all of the task individually.

        Raises:
            DisclosureError: `sites` were named, and the plan discloses this task's updates only in
                aggregate: over the whole cohort, not over some of it.
            QuorumError: A cell has answers of fewer sites than `cohort: cell_minimum`.
            UpdateError: No site had examples, or a total is too large for its dtype.
            WorkflowError: The groups, the model, the settings or the cells are not those of the plan.
        """
        check_asked(self._federation.plan, task, self.number, individually=sites is not None)
        request = self._request(task, model, groups, settings, sites=sites, cells=cells)
        return self._federation._host.sum(request)

    def apply(self, aggregate: Aggregate) -> dict[str, Any]:
        """The round's model with the mean update added; tensors that were not disclosed stay."""
        return add(self.model, aggregate.delta or {})

    def commit(
        self,
        model: Parameters | None = None,
        metrics: Mapping[str, SupportsFloat] | None = None,
        state: Groups | None = None,
        results: Groups | None = None,
    ) -> None:
        """End the round; see `Federation.commit`."""
        if not self._index and self._standing is None:  # nobody was asked; the round has been all the same
            self._federation._host.open_round(self.number)
        self._federation._commit(self.number, model, metrics or {}, state or {}, results or {})

    def _request(
        self,
        task: str,
        model: Parameters | None,
        groups: Groups | None,
        settings: Mapping[str, int | float] | None,
        *,
        sites: Iterable[str] | None = None,
        cells: Iterable[str] | None = None,
    ) -> Request:
        plan = self._federation.plan
        check_known(plan, task)
        if receives_model(plan, task):
            given = self.model if model is None else checked_parameters(model, f"the model for {task}")
        elif model is not None:
            raise WorkflowError(
                f"task {task!r} is asked with a model, and by the plan it does not receive one",
                mend="Leave the model out, or list `model` under the task's `receives`.",
            )
        else:
            given = None
        sent = checked_sent(plan, task, given, groups or {})
        chosen = checked_settings(plan, task, settings or {})
        index, self._index = self._index, self._index + 1
        return Request(
            self.number,
            index,
            task,
            given,
            None if sites is None else tuple(sorted(set(sites))),
            groups=sent,
            settings=chosen,
            cells=None if cells is None else tuple(sorted(set(cells))),
        )


def _model(standing: Standing) -> Parameters:
    if standing.model is None:
        raise WorkflowError("the run has no model")
    return standing.model
