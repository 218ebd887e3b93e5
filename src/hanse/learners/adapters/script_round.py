"""One round of a script: what the body of its loop is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, SupportsFloat, overload

from hanse.core.values.update import Task, TaskResult
from hanse.errors import TaskError
from hanse.learners.adapters.script_gradients import correct_in_place
from hanse.learners.results import checked_count, checked_metrics
from hanse.local.applied import rules_of


class ScriptRound:
    """One round, as the body of a script's loop sees it.

    Attributes:
        number: The round, counted from 1.
        settings: The settings of the plan's `train` task.
    """

    def __init__(
        self, number: int, settings: Mapping[str, Any], task: Task | None = None, model: Any = None
    ) -> None:
        self.number = number
        self.settings = settings
        self._task = task
        self._model = model
        self._report: TaskResult | None = None

    @overload
    def correct(self) -> None: ...

    @overload
    def correct(self, gradients: Mapping[str, Any], parameters: Mapping[str, Any]) -> Mapping[str, Any]: ...

    def correct(
        self, gradients: Mapping[str, Any] | None = None, parameters: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any] | None:
        """Apply the plan's local rules to the gradients of one step; call it once before each step.

        In torch, `round.correct()` stands between `loss.backward()` and `optimizer.step()` and changes the
        gradients of the model's parameters in place. In NumPy or JAX, `round.correct(gradients, parameters)`
        gives the gradients for the step. Without local rules, or without a federation, it does nothing.

        Args:
            gradients: Gradients of the loss by the names of the model's arrays; not changed.
            parameters: The values at which they were taken, by the same names.

        Raises:
            TaskError: No tensor has a gradient, or as `Task.correct`.
        """
        if self._task is None or rules_of(self._task) is None:
            return gradients
        if gradients is None:
            correct_in_place(self._model, self._task)
            return None
        return self._task.correct(gradients, parameters or {})

    def report(self, *, examples: int, **metrics: SupportsFloat | None) -> None:
        """Say what the round came to; once a round.

        Args:
            examples: Examples trained on, the weight of this site in the mean; at least 0.
            metrics: Numbers by name (`loss=0.3`); None for one that is not defined for these examples.

        Raises:
            TaskError: It was said already, or a value is not a number.
        """
        if self._report is not None:
            raise TaskError(f"round {self.number} was reported twice", mend="Call report() once a round.")
        doing = f"the report of round {self.number}"
        self._report = TaskResult(checked_count(examples, doing), checked_metrics(metrics, doing))

    def reported(self) -> TaskResult:
        """The report of the round.

        Raises:
            TaskError: Nothing was.
        """
        if self._report is None:
            raise TaskError(
                f"round {self.number} ended without a report",
                mend="Call round.report(examples=..., loss=...) at the end of the loop's body.",
            )
        return self._report
