"""Decisions that every host of a workflow takes alike, whether its sites are deployed or simulated."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

from hanse.core.plan.disclosure import check_model_names, disclosure_of
from hanse.core.plan.groups import MODEL
from hanse.core.plan.plan import Plan
from hanse.core.run.exchange import AcceptedResult, Exchange
from hanse.core.run.exchange_protocol import sites_in_sum
from hanse.core.run.run import Run
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.parameters import (
    Parameters,
    mismatch,
    not_a_number,
    not_as_before,
    personal_names,
    specs,
)
from hanse.core.values.wording import counted
from hanse.errors import QuorumError, RunError, UpdateError, WorkflowError


@dataclass(frozen=True, slots=True)
class CommittedStanding:
    """Where a run stands, with references to its models; see `hanse.workflow.base.Standing`.

    Attributes:
        committed: Last committed round; -1 before the first model.
        model: The committed parameters; None before the first.
        initial: The plan's initial model, as long as nothing is committed.
        state: Digest of the workflow's own committed arrays.
        complete: Whether the plan asks for no further round.
        population: Sites that take part, in site order.
        results: Digests of the run's results, by name.
    """

    committed: int
    model: ModelRef | None
    initial: ModelRef | None
    state: str | None
    complete: bool
    population: tuple[str, ...]
    results: Mapping[str, str]


def standing_of(run: Run) -> CommittedStanding:
    """Where a run stands now."""
    initial = run.manifest.initial_model
    return CommittedStanding(
        committed=run.committed,
        model=run.model,
        initial=ModelRef(initial.sha256) if run.model is None and initial is not None else None,
        state=run.state,
        complete=run.complete,
        population=run.population,
        results=run.results,
    )


def stream_model(run: Run) -> ModelRef:
    """The model that the sites of a stream start from.

    Raises:
        WorkflowError: There is none yet.
    """
    if run.model is None:
        raise WorkflowError("a stream begins after the first model")
    return run.model


def next_ready(run: Run, taken: Set[int]) -> Exchange | None:
    """The exchange of a stream whose update the workflow is given next; None where none is ready.

    In the order of the journal, so that a workflow that begins again gets the same.

    Args:
        run: The run.
        taken: Exchanges whose updates the workflow has been given since the last commit.
    """
    ready = [e for e in run.stream() if e.num_answered and e.number not in taken]
    return min(ready, key=lambda e: e.members[first_site(e)].since_ms, default=None)


def first_site(exchange: Exchange) -> str:
    """The site that answered an exchange first.

    Raises:
        RunError: No site has.
    """
    if exchange.first is None:
        raise RunError(f"exchange {exchange.number} has no answer")
    return exchange.first


def staleness(run: Run, exchange: Exchange) -> int:
    """Rounds committed since the model was sent that an update of a stream was trained on."""
    return run.committed + 1 - exchange.round_number


def dead_exchanges(run: Run) -> tuple[int, ...]:
    """Exchanges of a stream that closed without an answer; the next commit consumes them."""
    return tuple(e.number for e in run.stream() if e.closed is not None and not e.num_answered)


def check_sum(plan: Plan, exchange: Exchange) -> None:
    """Refuse to give the sum of an exchange to a workflow that may see nothing but sums of enough sites.

    No such exchange closes with fewer; this is the last look before the sum leaves the service.

    Args:
        plan: The plan.
        exchange: The exchange.

    Raises:
        RunError: The exchange is not closed.
        QuorumError: Fewer sites with examples have answered than the plan's minimum.
    """
    if exchange.closed is None:
        raise RunError(f"exchange {exchange.number} has no sum: it is not closed")
    if exchange.sums:  # over whole cells, and no answer states how many examples are behind it
        return
    disclosure = disclosure_of(plan, exchange.task)
    if not disclosure.in_sums:
        return
    summed, minimum = sites_in_sum(exchange, weighs=disclosure.weighs), plan.cohort.minimum
    place = f"round {exchange.round_number}, {exchange.task}"
    if summed < minimum and exchange.inputs.cells is None:
        raise QuorumError(
            f"{place}: {summed} of {exchange.num_answered} answers are of sites with examples; by "
            f"`cohort: {{minimum: {minimum}}}` a sum needs {minimum}",
            mend="Check the data sources of the sites.",
        )
    if problem := short_cell(plan, exchange):
        raise QuorumError(f"{place}: {problem}", mend="Check the sites of the cell.")


def short_cell(plan: Plan, exchange: Exchange) -> str:
    """Say in words which cell of a sum has too few sites with examples; empty for none.

    Each cell counts by itself: of two sums, the difference is the sum over a cell.
    """
    weighs, minimum = disclosure_of(plan, exchange.task).weighs, plan.cohort.cell_minimum
    answers = {s: m.answer for s, m in exchange.members.items() if m.answer is not None} if plan.cells else {}
    for cell in exchange.inputs.cells or plan.cells:
        # A journal that somebody forged may name any.
        own = [answers[site] for site in plan.cells.get(cell, ()) if site in answers]
        # A masked answer states no number, and of a cell that was left out none is there.
        with_examples = len(own) if exchange.sums else sum(answer.num_examples > 0 for answer in own)
        summed = with_examples if with_examples or weighs else len(own)
        # A cell of which no site has answered is not in the sum.
        asked = exchange.inputs.cells is not None and not exchange.sums
        if summed < minimum and (own or asked):
            return (
                f"the cell {cell} has answers of {counted(summed, 'site')} with examples; by `cohort: "
                f"{{cell_minimum: {minimum}}}` a sum over it needs {minimum}"
            )
    return ""


def check_streamed(plan: Plan, task: str) -> None:
    """Refuse to stream a task that exchanges groups.

    Raises:
        WorkflowError: The task receives or discloses a group, or does not receive the model.
    """
    found = plan.tasks[task]
    if found.receives != (MODEL,) or found.discloses.groups:
        raise WorkflowError(
            f"the task {task!r} exchanges groups, which a stream does not take",
            mend="Ask for it in rounds: `round.sum` or `round.ask`.",
        )


def check_model(plan: Plan, model: Parameters, before: Parameters | None) -> None:
    """Refuse a model that cannot be committed; reads all of it.

    Args:
        plan: The plan.
        model: The model to commit.
        before: The last committed one; None before the first.

    Raises:
        WorkflowError: The first model has a tensor that stays at each site. Or its tensors are not those of
            the model before; it has a NaN, or an infinity that the model before has not. The first model may
            have infinities: constants, such as masks.
    """
    if before is None:
        try:
            check_model_names(model, plan)
        except UpdateError as error:
            raise WorkflowError(error.message, mend=error.mend) from error
        if kept := personal_names(model, plan.personal):
            raise WorkflowError(
                f"the first model has the tensor {min(kept)!r}, which the plan keeps at each site",
                mend="Leave it out: at each site it begins as the code makes it.",
            )
        if bad := not_a_number(model):
            raise WorkflowError(
                f"the first model has a NaN in tensor {bad!r}", mend="Start from another `initial_model`."
            )
        return
    problem = mismatch(specs(model), specs(before))
    if problem:
        raise WorkflowError(f"the model to commit is not like the model before it: {problem}")
    bad = not_as_before(model, before)
    if bad:
        raise WorkflowError(
            f"the model to commit has a NaN or an infinity in tensor {bad!r} that the model before has not",
            mend="Has training diverged? Lower the learning rates.",
        )


def accepted_result(exchange: Exchange, site: str) -> AcceptedResult:
    """The accepted result of a site in an exchange.

    Raises:
        RunError: It has not.
    """
    answer = exchange.members[site].answer
    if answer is None:
        raise RunError(f"{site} has not answered exchange {exchange.number}")
    return answer
