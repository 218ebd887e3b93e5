"""Layout of the vector of a task: from plan, task and the headers of what was received.

Agent, service, simulator and audit all compute it here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hanse.core.plan.disclosure import disclosure_of, expected_tensors
from hanse.core.plan.group_tensors import Received
from hanse.core.plan.plan import Plan
from hanse.core.plan.privacy.cells import largest_cell, masks, weighs
from hanse.core.plan.privacy.number_rules import group_range
from hanse.core.plan.privacy.parts import section_of
from hanse.core.plan.privacy.secure_aggregation import SecureAggregation
from hanse.core.plan.tasks import GroupRule
from hanse.core.values.groups import MARK, group_of
from hanse.core.values.parameters import TensorSpec, in_words
from hanse.errors import PlanError
from hanse.privacy.secagg.layout import (
    Declared,
    DeclaredTensor,
    Examples,
    Layout,
    Range,
    Rule,
    layout_of,
)
from hanse.updates.secure_sums.codec import SumCodec, sum_codec

_NUMBERS = "#"
"""Begins the names of the numbers beside the tensors."""


def sum_layout(plan: Plan, task: str, received: Received) -> Layout:
    """Lay out what a task discloses in masked sums.

    Args:
        plan: The plan; `masks` the task.
        task: The task.
        received: The headers of what the task starts from.

    Raises:
        PlanError: A number has no declared range, or a sum of them does not fit into the ring; names it.
        DisclosureError: What was received is not what the plan declares.
    """
    if not masks(plan, task):
        raise ValueError(f"the results of task {task} are not masked")
    declared = _declared(plan, task, expected_tensors(received, plan, task))
    try:
        return layout_of(declared, ring=section_of(plan).ring, members=largest_cell(plan))
    except ValueError as error:
        raise PlanError(f"plan {plan.name}, task {task}: {error}") from error


def rule_of_update(plan: Plan) -> Rule:
    """Rule of the update within a cell; a robust rule of the plan acts on the means of cells."""
    rule = plan.aggregation.robust
    if rule is not None:
        return rule_in_cell(rule)
    return "weighted_mean" if plan.aggregation.rule == "weighted_mean" else "mean"


def rule_in_cell(rule: GroupRule) -> Rule:
    """Rule of a group within a cell; see `rule_of_update`."""
    if rule == "total" or rule == "mean" or rule == "weighted_mean":
        return rule
    return "weighted_mean" if getattr(rule, "weights", "") == "examples" else "mean"


def _declared(plan: Plan, task: str, tensors: Mapping[str, TensorSpec]) -> Declared:
    disclosure, section, codec = disclosure_of(plan, task), section_of(plan), sum_codec(plan)
    _check_names(tensors, grouped=bool(plan.groups))
    declared = {}
    for name, spec in tensors.items():
        if name.startswith(MARK):
            group = group_of(name)
            rule = rule_in_cell(disclosure.groups[group])
            declared[name] = DeclaredTensor(spec, rule, _range_of_group(plan, name))
        else:
            declared[name] = _of_update(name, spec, rule_of_update(plan), section, codec)
    examples = None
    if weighs(plan, task):
        if section.examples is None:
            raise PlanError(
                f"plan {plan.name} weighs results of task {task} by numbers of examples without bounds",
                mend="State `privacy: {secure_aggregation: {examples: {least, most}}}`.",
            )
        examples = Examples(section.examples.least, section.examples.most)
    counted = section.examples.most if section.examples and examples is None else None
    ranges = {name: _range_of_metric(section, name) for name in disclosure.metrics}
    codecs = codec.stated if disclosure.update != "none" else ()
    return Declared(declared, ranges, examples, codecs, counted)


def _check_names(tensors: Iterable[str], *, grouped: bool) -> None:
    taken = (_NUMBERS,) if grouped else (_NUMBERS, MARK)
    for name in tensors:
        if name.startswith(taken):
            raise PlanError(
                f"the model has a tensor {name[:80]!r}; in a masked sum, names that begin with {name[:1]} "
                "are those of other numbers",
                mend="Rename the tensor in the learner's code.",
            )


def _of_update(
    name: str, spec: TensorSpec, rule: Rule, section: SecureAggregation, codec: SumCodec
) -> DeclaredTensor:
    if spec.dtype == "bool":
        return DeclaredTensor(spec, rule, Range(0, 1))
    model = section.model
    if spec.dtype.startswith(("int", "uint")):
        if model is None or model.integers is None:
            raise PlanError(
                f"{in_words(name)} has whole numbers, and the plan states no range for them",
                mend="State `privacy: {secure_aggregation: {model: {integers: [LEAST, LARGEST]}}}`, or leave "
                "the tensor out by `discloses: tensors`.",
            )
        if spec.dtype.startswith("uint") and (most := 2 ** (int(spec.dtype[4:]) - 1) - 1) < model.integers[1]:
            raise PlanError(
                f"{in_words(name)} is {spec.dtype}, whose changes are {-most - 1} to {most}, and the plan's "
                f"`integers` go up to {model.integers[1]}",
                mend="`integers` bounds by how much training changes a number, and not the number itself; "
                "training may not change these by more. Else use a wider dtype.",
            )
        return DeclaredTensor(spec, rule, Range(*model.integers))
    if model is None:
        raise PlanError(
            f"{in_words(name)} has real numbers, and the plan states no bound for them",
            mend="State `privacy: {secure_aggregation: {model: {clip: LARGEST}}}`.",
        )
    return DeclaredTensor(codec.coded(name, spec), rule, Range(-model.clip, model.clip), clipped=True)


def _range_of_group(plan: Plan, name: str) -> Range:
    bounds = group_range(plan, group_of(name))
    if bounds is None:
        raise PlanError(
            f"{in_words(name)} is summed masked, and the plan states no range of its numbers",
            mend="State its `range`; of `pooled` scores, the most `examples` of a site.",
        )
    return Range(*bounds)


def _range_of_metric(section: SecureAggregation, name: str) -> Range:
    stated = section.metrics.get(name)
    if stated is None:
        raise PlanError(
            f"the metric {name!r} is summed masked, and the plan states no range of it",
            mend=f"State `privacy: {{secure_aggregation: {{metrics: {{{name}: [LEAST, LARGEST]}}}}}}`.",
        )
    return Range(*stated.range, optional=stated.optional)
