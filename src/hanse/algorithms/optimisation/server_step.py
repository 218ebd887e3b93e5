"""The step of a model by the sites' combined update, as the plan's server optimiser makes it."""

from __future__ import annotations

from hanse.aggregation.base import ServerOptimizer
from hanse.aggregation.fedopt import FedSgd
from hanse.core.values.groups import Groups, arrays_of
from hanse.core.values.parameters import Array, Parameters, is_floating, lazy_add, personal_names
from hanse.core.values.update import Aggregate
from hanse.errors import WorkflowError
from hanse.workflow.federation import Round

_VARIANCES = ("*running_var", "*moving_variance")


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
    model, state = optimizer.step(round.model, delta, arrays_of(round.state))
    return with_variances(model), state


def with_variances(model: dict[str, Array]) -> dict[str, Array]:
    """A model as it is, once its running variances are found to be such.

    Raises:
        WorkflowError: One is below zero, or not a number: evaluated, the model would give NaN.
    """
    for name in sorted(personal_names(model, _VARIANCES)):
        # Written so that a NaN fails too.
        if is_floating(model[name].dtype) and not (model[name] >= 0).all():
            raise WorkflowError(
                f"the step of the model would make the running variance {name!r} negative",
                mend="Keep it at the sites, `personal: [...]`, or have it become the mean of the sites', "
                "`aggregation: {untrained: [...]}`.",
            )
    return model
