"""Checks across the parts of a plan that speak of groups: tasks, dimensions, options and cells."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from hanse.core.plan.cohort import Cohort
from hanse.core.plan.groups import LARGEST_DIMENSION, LARGEST_GROUP, MODEL, Dimension, GroupSpec
from hanse.core.plan.local_rules import needs_of, unmet_need
from hanse.core.plan.tasks import GroupRule, TaskPlan
from hanse.core.plan.transforms import Compression
from hanse.core.values.schema import PlacedError, Problem, problem_of
from hanse.core.values.wording import counted, named

_NUMBERS = ("epochs", "batches", "batch_size", "lr")
"""Keys of a task that may vary, and have bounds of their own."""
_WHOLE = ("int32", "int64", "uint8")


@dataclass(frozen=True, slots=True)
class GroupRules:
    """The parts of a plan that say what its tasks exchange beside the model.

    Attributes:
        specs: The groups by name.
        dimensions: Names of dimensions that are decided at each ask, with the most that each may be.
        options: The plan's `options`.
        has_model: Whether the run has a model.
        compressed: Groups on which lossy steps of compression act.
        scripted: Whether a script performs the tasks, which has no groups of its own.
    """

    specs: Mapping[str, GroupSpec]
    dimensions: Mapping[str, int]
    options: Mapping[str, Any]
    has_model: bool
    compressed: tuple[str, ...] = ()
    scripted: bool = False

    def check(self, tasks: Mapping[str, TaskPlan]) -> None:
        """Refuse groups, dimensions and tasks that do not go together.

        Raises:
            ValueError: Names the place.
        """
        if MODEL in self.specs:
            raise ValueError("the name `model` is taken under `groups`")
        for name in self.dimensions:
            if fixed_dimension(self.options, name) is not None:
                raise ValueError(f"the dimension `{name}` stands under `options` and under `dimensions`")
        for name, spec in self.specs.items():
            self._check_dimensions(name, spec)
            self._check_like(name, spec)
        if unknown := sorted(set(self.compressed) - self.specs.keys()):
            raise ValueError(f"`compression: groups` names `{unknown[0]}`, which is not under `groups`")
        for name, task in tasks.items():
            self._check_task(f"task `{name}`", task)

    def _check_dimensions(self, group: str, spec: GroupSpec) -> None:
        for name in sorted(spec.named_dimensions()):
            if name not in self.dimensions and fixed_dimension(self.options, name) is None:
                raise ValueError(
                    f"group `{group}` has a dimension `{name}`, which is neither a whole number under "
                    "`options` nor listed under `dimensions`"
                )

    def _check_like(self, group: str, spec: GroupSpec) -> None:
        seen = [group]
        while spec.like and spec.like != MODEL:
            if spec.like not in self.specs:
                raise ValueError(f"group `{seen[-1]}` is like `{spec.like}`, which is not under `groups`")
            if spec.like in seen:
                raise ValueError(f"group `{group}` is like itself: {named([*seen, spec.like])}")
            seen.append(spec.like)
            spec = self.specs[spec.like]
            if spec.arrays and not any(array.floating for array in spec.arrays.values()):
                raise ValueError(f"group `{group}` is like `{seen[-1]}`, which has no real numbers")

    def _check_task(self, place: str, task: TaskPlan) -> None:
        discloses, received = task.discloses, set(task.receives)
        if len(received) < len(task.receives):
            raise ValueError(f"{place}: a group is listed twice under `receives`")
        if unknown := sorted((received | set(discloses.groups)) - {MODEL, *self.specs}):
            listed = named(sorted(self.specs)) or "none"
            raise ValueError(f"{place} names a group `{unknown[0]}`; declared under `groups` are: {listed}")
        if MODEL in discloses.groups:
            raise ValueError(f"{place}: the model is disclosed by `update`, not under `groups`")
        if MODEL in received and not self.has_model:
            raise ValueError(
                f"{place} receives the model, and the run has none (`initial_model: none`): write "
                "`receives: []`, or list what it receives"
            )
        if discloses.update != "none" and MODEL not in received:
            raise ValueError(f"{place} discloses an update, for which it has to receive the model")
        for group in sorted((received | set(discloses.groups)) - {MODEL}):
            like = self.specs[group].like
            if like and like not in received:
                raise ValueError(f"{place}: `{group}` is like `{like}`, which the task does not receive")
        if problem := unmet_need(task.local, self.specs, task.receives, discloses.groups):
            raise ValueError(f"{place}: {problem}")
        own = {need.group for entry in task.local for need in needs_of(entry)}
        others = (received | set(discloses.groups)) - {MODEL} - own
        if self.scripted and (others or MODEL not in received):
            what = f"the group `{min(others)}`" if others else "no model"
            raise ValueError(
                f"{place} exchanges {what}; a script has the model and the groups of local rules alone, "
                "others need a learner"
            )
        self._check_disclosed(place, task)
        _check_varies(place, task)

    def _check_size(self, place: str, group: str) -> None:
        """Refuse a group that no file could hold."""
        total = 0
        for array in self.specs[group].arrays.values():
            sizes = (self._most(size) for size in array.shape)
            total += math.prod(sizes) * (1 if array.dtype in ("bool", "uint8") else 8)
        if total > LARGEST_GROUP:
            raise ValueError(
                f"{place} discloses `{group}`, which may have {total / 1e9:,.0f} GB at each site; at most "
                f"{LARGEST_GROUP / 1e9:,.0f} GB are taken: fewer or smaller dimensions are needed"
            )

    def _most(self, size: Dimension) -> int:
        if isinstance(size, int):
            return size
        return self.dimensions.get(size) or fixed_dimension(self.options, size) or 1

    def _check_disclosed(self, place: str, task: TaskPlan) -> None:
        bound = {d for g in task.receives if g != MODEL for d in self.specs[g].named_dimensions()}
        for group, rule in task.discloses.groups.items():
            spec = self.specs[group]
            if free := sorted((spec.named_dimensions() & self.dimensions.keys()) - bound):
                raise ValueError(
                    f"{place} discloses `{group}` with the dimension `{free[0]}`, which nothing that the "
                    "task receives decides"
                )
            if rule == "total" and group in self.compressed:
                raise ValueError(
                    f"{place} discloses `{group}` as a total, and lossy compression would make another of "
                    "it: take it out of `compression: groups`"
                )
            _check_rule(place, group, rule, spec)
            self._check_size(place, group)


def fixed_dimension(options: Mapping[str, Any], name: str) -> int | None:
    """The value of a dimension that `options` has; None for any other."""
    value = options.get(name)
    whole = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= LARGEST_DIMENSION
    return value if whole else None


def _check_rule(place: str, group: str, declared: GroupRule, spec: GroupSpec) -> None:
    rule = declared if isinstance(declared, str) else declared.rule
    for dtype in sorted(spec.dtypes):
        if dtype == "bool" and rule != "individual":
            raise ValueError(f"{place}: `{group}` holds truth values, which are disclosed `individual` only")
        if dtype in _WHOLE and rule not in ("total", "median", "individual"):
            raise ValueError(
                f"{place}: `{group}` holds whole numbers, which are combined by `total` or `median`, not by "
                f"`{rule}`"
            )
    if spec.pooled and rule != "total":
        raise ValueError(f"{place}: the binned scores `{group}` are combined by `total`")


def _check_varies(place: str, task: TaskPlan) -> None:
    for setting, (low, high) in task.varies.items():
        for bound in (low, high) if setting in _NUMBERS else ():
            try:
                TaskPlan.model_validate({setting: bound})
            except ValidationError as error:
                raise ValueError(
                    f"{place}: `varies: {setting}` lets it be {bound}, which no plan can say: "
                    f"{problem_of(error)}"
                ) from None
        if not low <= high:
            raise ValueError(f"{place}: `varies: {setting}` has its smaller number second")
        own = task.learner_settings().get(setting)
        number = isinstance(own, int | float) and not isinstance(own, bool)
        if own is not None and not (number and low <= own <= high):
            raise ValueError(f"{place}: `{setting}` is {own}, outside of what `varies` says it may be")


@dataclass(frozen=True, slots=True)
class Fewest:
    """Fewest sites in a sum by the plan.

    Attributes:
        key: Where the plan says it, under `cohort`.
        sites: Number of sites.
    """

    key: str
    sites: int


def check_robust_groups(
    tasks: Mapping[str, TaskPlan], fewest: Fewest | None, compression: Compression
) -> None:
    """Refuse robust rules of groups that need more sites than a sum may be of, or other values.

    Args:
        tasks: The plan's tasks.
        fewest: Fewest sites in a sum; None where the rules are taken over cells, and not over sites.
        compression: The plan's compression.

    Raises:
        ValueError: Names the task, the group and the line to write.
    """
    for name, task in tasks.items():
        for group, rule in task.discloses.robust_groups.items():
            sparse = compression.sparse if group in compression.groups else ""
            if sparse and rule.sparse_problem:
                raise ValueError(
                    f"task `{name}`: `{rule.rule}` of `{group}` {rule.sparse_problem.format(codec=sparse)}: "
                    "take the group out of `compression: groups`"
                )
            if fewest is not None and fewest.sites < rule.fewest:
                raise ValueError(
                    f"task `{name}`: `{rule.shown}` of `{group}` needs the values of {rule.fewest} sites at "
                    f"least: write `cohort: {{{fewest.key}: {rule.fewest}}}`"
                )


def check_cells(cells: Mapping[str, tuple[str, ...]], cohort: Cohort, *, whole: bool = False) -> None:
    """Refuse cells that overlap, that are too small for a sum, or of which rounds ask a part.

    Args:
        cells: Sites by cell.
        cohort: The plan's rules of a round.
        whole: Whether rounds draw whole cells, whose sizes other rules bound.

    Raises:
        ValueError: Names the cell.
    """
    minimum, of_all = cohort.cell_minimum, cohort.minimum
    if cells and cohort.fraction < 1 and not whole:
        raise ValueError(
            "`cells` go with `cohort: {fraction: 1}`: where each round asks other sites of a cell, the "
            "differences of its sums are the values of single sites"
        )
    placed: dict[str, str] = {}
    for cell, sites in cells.items():
        for index, site in enumerate(sites):
            if site in placed:
                other = "twice in the cell" if placed[site] == cell else f"in the cells `{placed[site]}` and"
                text = f"{site} is {other} `{cell}`; a site is in one cell: take it out of one of the places"
                raise PlacedError([Problem(("cells", cell, index), text)])
            placed[site] = cell
        if len(sites) < minimum and not whole:
            raise ValueError(
                f"the cell `{cell}` has {counted(len(sites), 'site')}, and by `cohort: {{cell_minimum: "
                f"{minimum}}}` a sum over it needs {minimum}"
            )
    if cells and len(placed) < of_all:
        text = (
            f"by `cohort: {{minimum: {of_all}}}` a round needs {counted(of_all, 'site')}, and in the cells "
            f"there are {len(placed)}; no other site is asked: add sites to `cells`, or lower `minimum`"
        )
        raise PlacedError([Problem(("cells",), text)])
