"""Results of the algorithms as tables, with the terms, columns and categories that the plan names.

Results are arrays only; what their axes stand for is in the plan's options. A table has a row for each place
in arrays of one shape: first the columns that say which place it is, then the numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hanse.algorithms.regression.glm import GlmSettings
from hanse.algorithms.regression.linear import LinearSettings
from hanse.algorithms.regression.logistic import LogisticSettings
from hanse.algorithms.regression.poisson import PoissonSettings
from hanse.algorithms.statistics.contingency import ContingencySettings
from hanse.algorithms.statistics.kmeans import KMeansSettings
from hanse.algorithms.statistics.naive_bayes import NaiveBayesSettings
from hanse.algorithms.statistics.pca import PcaSettings
from hanse.algorithms.statistics.quantiles import QuantileSettings
from hanse.algorithms.statistics.standardise import SCALER, StandardiseSettings
from hanse.algorithms.statistics.summary import SummarySettings, bin_edges
from hanse.algorithms.survival.cox import CoxSettings
from hanse.algorithms.survival.kaplan_meier import KaplanMeierSettings
from hanse.algorithms.survival.log_rank import LogRankSettings
from hanse.algorithms.table import Categories, input_names
from hanse.core.plan.plan import Plan
from hanse.core.values.groups import Groups
from hanse.core.values.parameters import Array
from hanse.errors import PlanError
from hanse.wire.result_tables import MOST_ROWS, Columns, arrays_of, long_table, plain_tables, rows_of

Axes = Mapping[str, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Layout:
    """A table of arrays of one shape.

    Attributes:
        result: The result that has the arrays.
        axes: Labels along each axis, by the head of their column.
        heads: The arrays that it is made of, in order, with the heads of their columns.
        name: Name of the table; empty for the result's.
        computed: Columns from the plan, of the arrays' shape, between the labels and the arrays.
        left_out: Arrays of the result that the labels already say.
    """

    result: str
    axes: Axes
    heads: Mapping[str, str]
    name: str = ""
    computed: Mapping[str, Array] = field(default_factory=dict)
    left_out: frozenset[str] = field(default_factory=frozenset)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the arrays."""
        return tuple(len(labels) for labels in self.axes.values())


def tables(plan: Plan, results: Groups) -> dict[str, Columns]:
    """Results as tables by name; those of other workflows as `plain_tables` makes them.

    Args:
        plan: The plan of the run: its workflow and its options.
        results: The results of the run.

    Returns:
        Tables with names on their rows. An array that has another shape than this version gives it is in a
        table of its own.
    """
    layouts = _LAYOUTS.get(plan.workflow)
    if layouts is None:
        return plain_tables(results)
    try:
        found = list(layouts(plan.options, plan.workflow))
    except PlanError:  # options of another version: the arrays are there all the same
        return plain_tables(results)
    left = {name: arrays_of(name, value) for name, value in results.items()}
    made = {layout.name or layout.result: columns for layout, columns in _laid_out(found, left)}
    known = {layout.result for layout in found}
    made |= plain_tables({name: arrays for name, arrays in left.items() if name in known}, apart=True)
    made |= plain_tables({name: results[name] for name in left if name not in known})
    return {name: columns for name, columns in made.items() if rows_of(columns) <= MOST_ROWS}


def _laid_out(
    layouts: Sequence[Layout], left: dict[str, dict[str, Array]]
) -> Iterator[tuple[Layout, Columns]]:
    """The tables, of the arrays that are taken out of `left`."""
    chosen: list[dict[str, Array]] = []
    for layout in layouts:
        arrays = left.get(layout.result, {})
        fit = [name for name in layout.heads if name in arrays and arrays[name].shape == layout.shape]
        chosen.append({layout.heads[name]: arrays.pop(name) for name in fit})
        for name in layout.left_out & arrays.keys():
            del arrays[name]
    for layout, columns in zip(layouts, chosen, strict=True):
        arrays = left.get(layout.result, {})
        # What else an algorithm gives of that shape stands at the end.
        more = [name for name in arrays if arrays[name].shape == layout.shape]
        columns |= {name: arrays.pop(name) for name in more}
        if columns:
            yield layout, long_table(layout.axes, {**layout.computed, **columns})


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


def _labels(of: Categories) -> list[str]:
    return [str(category) for category in of.categories]


def _by(by: Categories | None) -> Axes:
    """The axis of a column of categories, before all others; none without such a column."""
    return {} if by is None else {"category": _labels(by)}


_TEST = _same("chi_square", "degrees_of_freedom", "p_value")
_COEFFICIENTS = {
    "coefficients": "coefficient",
    "standard_errors": "standard_error",
    "z": "z",
    "p_values": "p_value",
}


def _summary(options: Mapping[str, Any], name: str) -> Iterator[Layout]:
    own = SummarySettings.of(options, name)
    by, columns = _by(own.by), list(own.columns)
    yield Layout(name, {**by, "column": columns}, _same("count", "mean", "sd", "variance"))
    pairs = {**by, "column_a": columns, "column_b": columns}
    yield Layout(f"{name}_matrices", pairs, _same("covariance", "correlation"))
    with_range = {**by, "column": [column for column in columns if column in own.ranges]}
    bins = {**with_range, "bin": range(1, own.bins + 1)}
    shape = tuple(len(labels) for labels in bins.values())
    edges = [bin_edges(*own.ranges[column], own.bins) for column in with_range["column"]]
    ends = {"lower": [each[:-1] for each in edges], "upper": [each[1:] for each in edges]}
    computed = {head: np.broadcast_to(values, shape) for head, values in ends.items() if values}
    yield Layout(f"{name}_histogram", bins, {"histogram": "count"}, computed=computed)
    yield Layout(f"{name}_histogram", with_range, _same("below", "above"), f"{name}_out_of_range")


def _quantiles(options: Mapping[str, Any], name: str) -> Iterator[Layout]:
    own = QuantileSettings.of(options, name)
    axes = {**_by(own.by), "column": own.columns, "quantile": own.quantiles}
    yield Layout(name, axes, _same("value", "bound"))


def _contingency(options: Mapping[str, Any], name: str) -> Iterator[Layout]:
    own = ContingencySettings.of(options, name)
    by = _by(own.by)
    cells = {**by, "row": _labels(own.rows), "column": _labels(own.columns)}
    yield Layout(name, cells, {"counts": "count", "expected": "expected"})
    yield Layout(name, by, _TEST, f"{name}_test")


def _standardise(options: Mapping[str, Any], name: str) -> Iterator[Layout]:
    own = StandardiseSettings.of(options, name)
    yield Layout(SCALER, {"column": own.columns}, _same("mean", "sd"))


def _pca(options: Mapping[str, Any], name: str) -> Iterator[Layout]:
    own = PcaSettings.of(options, name)
    columns = own.columns
    components = range(1, min(own.components or len(columns), len(columns)) + 1)
    yield Layout(name, {"component": components}, _same("variance", "variance_ratio"))
    loadings = {"component": components, "column": columns}
    yield Layout(name, loadings, {"components": "loading"}, f"{name}_loadings")
    yield Layout(name, {"column": columns}, _same("mean", "scale"), f"{name}_columns")


def _kmeans(options: Mapping[str, Any], name: str) -> Iterator[Layout]:
    own = KMeansSettings.of(options, name)
    numbers = range(1, len(own.centres) + 1)
    yield Layout(name, {"cluster": numbers}, {"counts": "count"})
    centres = {"cluster": numbers, "column": own.columns}
    yield Layout(name, centres, {"centres": "centre"}, f"{name}_centres")
    yield Layout(name, {}, _same("inertia"), f"{name}_fit")


def _naive_bayes(options: Mapping[str, Any], name: str) -> Iterator[Layout]:
    own = NaiveBayesSettings.of(options, name)
    classes = _labels(own.outcome)
    yield Layout(name, {"class": classes, "column": own.columns}, _same("mean", "variance"))
    yield Layout(name, {"class": classes}, _same("prior"), f"{name}_prior")


def _meta_analysis(_options: Mapping[str, Any], name: str) -> Iterator[Layout]:
    random = ("random_effect", "random_se", "z", "p_value", "fixed_effect", "fixed_se")
    yield Layout(name, {}, _same(*random, "tau2", "q", "q_p_value", "i2"))


def _terms(result: str, terms: Sequence[str]) -> Iterator[Layout]:
    yield Layout(result, {"term": terms}, _COEFFICIENTS)
    pairs = {"term_a": terms, "term_b": terms}
    yield Layout(f"{result}_fit", pairs, _same("covariance"), f"{result}_covariance")
    fit = ("log_likelihood", "residual_variance", "r_squared", "converged", "rounds")
    yield Layout(f"{result}_fit", {}, _same(*fit))


def _linear(options: Mapping[str, Any], name: str) -> Iterator[Layout]:
    own = LinearSettings.of(options, name)
    return _terms(name, [*(["intercept"] if own.intercept else []), *input_names(own.features)])


def _glm(schema: type[GlmSettings]) -> Callable[[Mapping[str, Any], str], Iterator[Layout]]:
    def layouts(options: Mapping[str, Any], name: str) -> Iterator[Layout]:
        own = schema.of(options, name)
        return _terms(name, [*(["intercept"] if own.intercept else []), *input_names(own.features)])

    return layouts


def _cox(options: Mapping[str, Any], name: str) -> Iterator[Layout]:
    own = CoxSettings.of(options, name)
    yield from _terms(name, input_names(own.features))
    heads = _same("events", "cumulative_hazard")
    yield Layout(f"{name}_baseline", {"time": own.grid.tolist()}, heads, left_out=frozenset({"times"}))


def _kaplan_meier(options: Mapping[str, Any], name: str) -> Iterator[Layout]:
    own = KaplanMeierSettings.of(options, name)
    axes = {**_by(own.by), "time": own.grid.tolist()}
    heads = _same("at_risk", "events", "survival", "lower", "upper")
    yield Layout(name, axes, heads, left_out=frozenset({"times"}))


def _log_rank(options: Mapping[str, Any], name: str) -> Iterator[Layout]:
    own = LogRankSettings.of(options, name)
    yield Layout(name, _by(own.by), _same("observed", "expected"))
    yield Layout(f"{name}_test", {}, _TEST)


_LAYOUTS: Mapping[str, Callable[[Mapping[str, Any], str], Iterator[Layout]]] = {
    "summary": _summary,
    "quantiles": _quantiles,
    "contingency": _contingency,
    "standardise_then_train": _standardise,
    "pca": _pca,
    "kmeans": _kmeans,
    "naive_bayes": _naive_bayes,
    "meta_analysis": _meta_analysis,
    "linear_regression": _linear,
    "logistic_regression": _glm(LogisticSettings),
    "poisson_regression": _glm(PoissonSettings),
    "cox_regression": _cox,
    "kaplan_meier": _kaplan_meier,
    "log_rank": _log_rank,
}
"""The tables of each workflow, from the options of the plan and the algorithm's name."""
