"""What a server optimizer promises."""

from __future__ import annotations

from typing import Protocol

from hanse.core.values.parameters import Array, Parameters


class ServerOptimizer(Protocol):
    """Takes a round's mean delta as a gradient, and makes the next model from it.

    A value without a state of its own: what it has to remember goes in and
    comes out as parameters, to be committed with the model.
    """

    def step(
        self, model: Parameters, delta: Parameters, state: Parameters
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Make the next model.

        Args:
            model: The model that the sites trained from.
            delta: Mean of their deltas; may leave out tensors, which are then kept as they are.
            state: What the last step returned; empty in the first one.

        Returns:
            The next model, with the dtypes of `model`, and the next state.

        Raises:
            UpdateError: The delta is so large that the state would not be finite; names the tensor.
        """
        ...
