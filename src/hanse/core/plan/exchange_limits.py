"""Limits on how often a site is asked for a task: in one round, and in the whole run."""

from __future__ import annotations

from hanse.core.plan.built_in import BUILT_IN
from hanse.core.plan.groups import MODEL
from hanse.core.plan.plan import Plan
from hanse.core.plan.privacy.cells import masks
from hanse.core.plan.tasks import INITIALISE


def most_in_round(plan: Plan, task: str) -> int:
    """The most exchanges of a task in which a site is asked in one round; a first model is asked for once."""
    return 1 if task == INITIALISE else plan.tasks[task].exchanges


def most_in_run(plan: Plan, task: str) -> int:
    """The most exchanges of a task in which a site is asked in a run, in rounds and in streams together."""
    return 1 if task == INITIALISE else plan.rounds * plan.tasks[task].exchanges


def methods_of(plan: Plan) -> dict[str, str]:
    """The methods that a learner needs, each with what asks it: the tasks, and `parameters` for a model.

    What is personal in a model begins with what `parameters` gives, too.
    """
    first = (
        {"parameters": "a site gives the first model with it"}
        if plan.first_model == "site" or plan.personal
        else {}
    )
    return first | {name: f"workflow {plan.workflow} asks the task `{name}`" for name in plan.tasks}


def may_stream(plan: Plan, task: str) -> bool:
    """Check if the workflow may stream a task, so that a round does not bound the exchanges of the task.

    Few built-in workflows stream; a stream gives each site's own update and takes no groups.
    """
    streams = plan.workflow not in BUILT_IN or BUILT_IN[plan.workflow].streams
    if not streams or task == INITIALISE or masks(plan, task):
        return False
    found = plan.tasks[task]
    return not found.discloses.groups and not found.discloses.in_sums and found.receives == (MODEL,)


def all_in_run(plan: Plan) -> int:
    """The most exchanges in which a site is asked in a run, of all tasks of the plan together."""
    return plan.rounds * sum(task.exchanges for task in plan.tasks.values())


def limit_line(task: str, exchanges: int) -> str:
    """The line of a plan that sets the limit of a task."""
    return f"`tasks: {{{task}: {{exchanges: {exchanges}}}}}`"
