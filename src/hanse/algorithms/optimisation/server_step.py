"""The step of a model by the sites' combined update, as the plan's server optimiser makes it."""

from __future__ import annotations

from hanse.aggregation.base import ServerOptimizer
from hanse.aggregation.fedopt import FedSgd
from hanse.core.values.groups import Groups, arrays_of
from hanse.core.values.parameters import Parameters, lazy_add
from hanse.core.values.update import Aggregate
from hanse.errors import WorkflowError
from hanse.workflow.federation import Round


def delta_of(aggregate: Aggregate, workflow: str, task: str = "train") -> Parameters:
    """The combined update of an answer.

    Raises:
        WorkflowError: The task disclosed none.
    """
    if aggregate.delta is None:
        raise WorkflowError(f"workflow {workflow} needs task `{task}` to disclose an update")
    return aggregate.delta


def stepped(round: Round, delta: Parameters, optimizer: ServerOptimizer) -> tuple[Parameters, Groups]:
    """The round's model after a step, and the optimiser's next state.

    The state is of arrays; tables of arrays in the round's state are other parts of the workflow's.
    """
    if optimizer == FedSgd():
        # What it would make, but on the way to the file: a model more in memory is dear.
        return lazy_add(round.model, delta), arrays_of(round.state)
    return optimizer.step(round.model, delta, arrays_of(round.state))
