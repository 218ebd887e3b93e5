"""Requests and results beyond what sites have agreed to."""

from __future__ import annotations

from hanse.core.plan.disclosure import check_result
from hanse.core.plan.plan import Plan
from hanse.core.run.round_events import ExchangeOpened, UpdateAccepted
from hanse.core.run.run import Run
from hanse.errors import HanseError
from hanse.wire.messages.sites import TASK_RESULT_1, purpose_of_outcome


def undeclared(event: UpdateAccepted, plan: Plan, task: str, *, agreed: bool, masked: bool) -> str:
    """Say what was taken from a site beyond the plan; empty for nothing.

    Args:
        event: The result.
        plan: The plan.
        task: The task.
        agreed: Whether the site had accepted the plan.
        masked: Whether the result is masked; the check of sums says whether that was as the plan says.
    """
    what = f"task {task} at {event.site}"
    if not agreed:
        return f"{what} was taken from a site that had not accepted the plan"
    if masked:
        return ""
    try:
        check_result(event, plan, task, what, rounded=_rounded(event, plan))
    except HanseError as error:
        return error.message
    return ""


def beyond_round(run: Run | None, opened: ExchangeOpened) -> tuple[str, ...]:
    """Sites that an exchange asks beyond the cohort of its round.

    A site of the cohort that has left since the round began is named all the same, counts as failed and
    is not asked: its consent is that of the round's beginning.
    """
    if run is None or opened.index < 0 or opened.round_number != run.round_open:
        return opened.cohort
    return tuple(site for site in opened.cohort if site not in run.cohort)


def _rounded(event: UpdateAccepted, plan: Plan) -> bool:
    """Check if a result has to have its metrics rounded: sites of 0.1 did not, of plans that 0.1 knew."""
    of_0_1 = event.statement is not None and purpose_of_outcome(event.statement) == TASK_RESULT_1
    return not of_0_1 or plan.metric_digits != Plan.model_fields["metric_digits"].default
