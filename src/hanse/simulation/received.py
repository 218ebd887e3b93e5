"""Models and groups that the sites of a simulation receive, all in the same memory."""

from __future__ import annotations

from collections.abc import Mapping

from hanse.core.plan.group_tensors import Received
from hanse.core.run.exchange import Exchange
from hanse.core.values.digests import Algorithm
from hanse.core.values.parameters import Parameters, TensorSpec, specs
from hanse.errors import TaskError
from hanse.wire.tensors import digest_of

Kept = Mapping[str, Parameters]
"""Models and groups, by the digests of their files."""


def received_digests(exchange: Exchange) -> tuple[str, ...]:
    """Digests of the model and the groups that the sites of an exchange receive."""
    model = () if exchange.model is None else (exchange.model.digest,)
    return (*model, *exchange.inputs.groups.values())


def headers_of(kept: Kept, exchange: Exchange) -> Received:
    """The headers of what the sites of an exchange start from."""
    model = None if exchange.model is None else specs(kept[exchange.model.digest])
    groups: dict[str, TensorSpec] = {}
    for digest in exchange.inputs.groups.values():
        groups |= specs(kept[digest])
    return Received(model, groups)


def check_untouched(kept: Kept, exchange: Exchange, algorithm: Algorithm) -> None:
    """Refuse a model that the plan's code has written to, past its being read-only, as torch can.

    Every site works on the same memory here; at a deployed site the process would end.

    Args:
        kept: What the sites received.
        exchange: The exchange.
        algorithm: What makes the digests.

    Raises:
        TaskError: The model is not the one that sites were asked to start from.
    """
    for digest in received_digests(exchange):
        if digest_of(kept[digest], algorithm) != digest:
            raise TaskError(
                "the plan's code changed, in place, the parameters or groups that task "
                f"{exchange.task} of round {exchange.round_number} received: the sites that follow start "
                "from others",
                mend="Copy them first: np.array(parameters[name]), or torch.tensor(parameters[name]).",
            )
