"""A ready learner for the algorithms on tables: the site's code gives columns, and no arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any, TypeVar

import numpy as np

from hanse.algorithms.base import CombinedSettings
from hanse.algorithms.pooled_rows import CENTRE
from hanse.algorithms.regression import linear, logistic, poisson
from hanse.algorithms.statistics import (
    contingency,
    kmeans,
    meta_analysis,
    naive_bayes,
    pca,
    quantiles,
    standardise,
    summary,
)
from hanse.algorithms.survival import cox, kaplan_meier, log_rank
from hanse.algorithms.table import Columns, Floats, Table
from hanse.algorithms.table_file import read_table
from hanse.core.values.groups import Group
from hanse.core.values.parameters import Parameters
from hanse.core.values.update import Task, TaskResult
from hanse.errors import TaskError
from hanse.learners.results import a_kind_of

S = TypeVar("S", bound=CombinedSettings)


class TableLearner:
    """Performs the tasks of the algorithms on tables.

        def learner(site):
            return hanse.TableLearner(site.data["patients"], site.options)

    The plan's `algorithm` says which columns are used, and how. Statistics are of all rows given here.

    Args:
        columns: Path of a CSV file with the names of the columns in its first line; or columns by name, each
            of one value a row: a dict of arrays or lists, or a data frame. A missing value is an empty cell
            or text, NaN, NaT, None, `pandas.NA`, or masked.
        options: `site.options`, where the plan has the settings of its algorithm.

    Raises:
        TaskError: These are not columns by name, they have not the same length, one is not a column, the
            file is not a table, or the options are not those of a site.
    """

    def __init__(self, columns: Columns | str | PathLike[str], options: Mapping[str, Any]) -> None:
        if not isinstance(options, Mapping):
            raise TaskError(
                f"the options of a table learner are {a_kind_of(options)}",
                mend="Write `hanse.TableLearner(columns, site.options)`.",
            )
        self._table = Table(read_table(columns) if isinstance(columns, str | PathLike) else columns)
        self._options = options

    def summarise(self, parameters: Parameters, task: Task) -> TaskResult:
        """See `hanse.algorithms.statistics.summary.local`."""
        return self._centred(task, summary.SummarySettings, summary.NAME, summary.local)

    def locate(self, parameters: Parameters, task: Task) -> TaskResult:
        """See `hanse.algorithms.statistics.quantiles.local`."""
        at = np.asarray(task.groups["intervals"])
        return self._answer(
            quantiles.QuantileSettings, quantiles.NAME, lambda rows, own: quantiles.local(rows, own, at)
        )

    def tabulate(self, parameters: Parameters, task: Task) -> TaskResult:
        """See `hanse.algorithms.statistics.contingency.local`."""
        return self._answer(contingency.ContingencySettings, contingency.NAME, contingency.local)

    def measure(self, parameters: Parameters, task: Task) -> TaskResult:
        """See `hanse.algorithms.statistics.standardise.local`."""
        return self._centred(task, standardise.StandardiseSettings, standardise.NAME, standardise.local)

    def moments(self, parameters: Parameters, task: Task) -> TaskResult:
        """See `hanse.algorithms.statistics.pca.local`."""
        return self._centred(task, pca.PcaSettings, pca.NAME, pca.local)

    def assign(self, parameters: Parameters, task: Task) -> TaskResult:
        """See `hanse.algorithms.statistics.kmeans.local`."""
        at = np.asarray(parameters["centres"])
        return self._answer(kmeans.KMeansSettings, kmeans.NAME, lambda rows, own: kmeans.local(rows, own, at))

    def class_moments(self, parameters: Parameters, task: Task) -> TaskResult:
        """See `hanse.algorithms.statistics.naive_bayes.local`."""
        return self._centred(task, naive_bayes.NaiveBayesSettings, naive_bayes.NAME, naive_bayes.local)

    def effect(self, parameters: Parameters, task: Task) -> TaskResult:
        """See `hanse.algorithms.statistics.meta_analysis.local`."""
        tau2, centre = (float(np.asarray(task.groups[name])) for name in ("tau2", CENTRE))
        return self._answer(
            meta_analysis.MetaAnalysisSettings,
            meta_analysis.NAME,
            lambda rows, own: meta_analysis.local(rows, own, tau2, centre),
        )

    def gram(self, parameters: Parameters, task: Task) -> TaskResult:
        """See `hanse.algorithms.regression.linear.local`."""
        return self._centred(task, linear.LinearSettings, linear.NAME, linear.local)

    def logistic_curvature(self, parameters: Parameters, task: Task) -> TaskResult:
        """See `hanse.algorithms.regression.logistic.local`."""
        return self._at(parameters, task, logistic.LogisticSettings, logistic.NAME, logistic.local)

    def poisson_curvature(self, parameters: Parameters, task: Task) -> TaskResult:
        """See `hanse.algorithms.regression.poisson.local`."""
        return self._at(parameters, task, poisson.PoissonSettings, poisson.NAME, poisson.local)

    def survival(self, parameters: Parameters, task: Task) -> TaskResult:
        """See `hanse.algorithms.survival.kaplan_meier.local`."""
        return self._answer(kaplan_meier.KaplanMeierSettings, kaplan_meier.NAME, kaplan_meier.local)

    def survival_by_group(self, parameters: Parameters, task: Task) -> TaskResult:
        """See `hanse.algorithms.survival.log_rank.local`."""
        return self._answer(log_rank.LogRankSettings, log_rank.NAME, log_rank.local)

    def risk_sets(self, parameters: Parameters, task: Task) -> TaskResult:
        """See `hanse.algorithms.survival.cox.local`."""
        return self._at(parameters, task, cox.CoxSettings, cox.NAME, cox.local)

    def _centred(
        self,
        task: Task,
        schema: type[S],
        algorithm: str,
        local: Callable[[Table, S, Floats], tuple[int, Mapping[str, Group]]],
    ) -> TaskResult:
        """Answer with sums around the centre that was sent."""
        centre = np.asarray(task.groups[CENTRE])
        return self._answer(schema, algorithm, lambda rows, own: local(rows, own, centre))

    def _at(
        self,
        parameters: Parameters,
        task: Task,
        schema: type[S],
        algorithm: str,
        local: Callable[[Table, S, Floats, Floats], tuple[int, Mapping[str, Group]]],
    ) -> TaskResult:
        """Answer with sums at the coefficients of inputs around the centre that was sent."""
        beta, centre = np.asarray(parameters["beta"]), np.asarray(task.groups[CENTRE])
        return self._answer(schema, algorithm, lambda rows, own: local(rows, own, beta, centre))

    def _answer(
        self, schema: type[S], algorithm: str, local: Callable[[Table, S], tuple[int, Mapping[str, Group]]]
    ) -> TaskResult:
        rows, groups = local(self._table, schema.of(self._options, algorithm))
        return TaskResult(rows, groups=groups)
