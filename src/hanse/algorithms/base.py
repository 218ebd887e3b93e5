"""The form that every algorithm has: its paper, what it discloses, its preset and its workflow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import Field, ValidationError

from hanse.core.values.schema import Strict, problem_of
from hanse.errors import PlanError
from hanse.workflow.federation import Federation

Workflow = Callable[[Federation], None]

Keys = Mapping[str, Any]
"""Keys of a plan file, as its author writes them: tables, lists, texts and numbers."""


class Settings(Strict):
    """Settings of an algorithm, beside its name under `algorithm` in a plan file."""


class CombinedSettings(Settings):
    """Settings of an algorithm that has tasks of its own, whose answers are combined over the sites."""

    aggregated_by: Literal["aggregator", "secure_aggregation"] = Field(
        description="Who combines the sites' answers; as under `discloses` of a task."
    )

    @classmethod
    def of(cls, options: Mapping[str, Any], algorithm: str) -> Self:
        """The settings as a plan's `options` hold them, under the name of the algorithm.

        Raises:
            PlanError: The options lack the algorithm, or are not its settings.
        """
        if algorithm not in options:
            raise PlanError(
                f"the plan's `options` have no settings of the algorithm {algorithm}",
                mend=f"Write `algorithm: {{name: {algorithm}, ...}}` in the plan file.",
            )
        try:
            # The tasks say who combines, and no arithmetic depends on it.
            return cls.model_validate({**options[algorithm], "aggregated_by": "aggregator"})
        except (ValidationError, TypeError) as error:
            told = problem_of(error) if isinstance(error, ValidationError) else "is not a table"
            raise PlanError(f"`options: {{{algorithm}: ...}}` of the plan: {told}") from None


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One algorithm of the shelf.

    Attributes:
        name: The name under `algorithm: {name: ...}` in a plan file.
        field: What it is for: the name of its folder.
        paper: Authors and year, with a reference.
        travels: What leaves a site, and what comes to it.
        sums_suffice: Whether the sites' answers are needed in sums over the cohort only.
        stays: What stays at the site.
        settings: The schema of its settings.
        keys: Makes, from its settings, the keys of a plan that the algorithm stands for. Keys that the
            author wrote are compared with these and kept.
        changes: Tasks that the author has to write, with what they disclose, and the algorithm adds to.
        results: The run's results, beside or instead of a model.
        measures: Tasks of its own that report metrics of a model; those that the plan's `evaluate` discloses
            are added to the metrics of the settings.
    """

    name: str
    field: str
    paper: str
    travels: str
    sums_suffice: bool
    stays: str
    settings: type[Strict]
    keys: Callable[[Any], Keys]
    changes: tuple[str, ...] = ()
    results: str = ""
    measures: tuple[str, ...] = ()
