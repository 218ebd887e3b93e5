"""A simulation that was run from Python: its model, its metrics, its pictures."""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Iterable
from functools import cached_property
from html import escape
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from hanse.algorithms.result_tables import tables
from hanse.assembly.simulation import Ran, Simulation, comparison, finished, save, summarise
from hanse.control.timeline import figure, in_order
from hanse.core.plan.plan import Plan
from hanse.core.run.round_events import TaskFailed
from hanse.core.values.groups import Groups
from hanse.core.values.parameters import Array, Parameters
from hanse.errors import ConfigError, PlanError
from hanse.files.paths import given_path
from hanse.interactive.baselines import Baselines
from hanse.interactive.columns import result_table, table
from hanse.interactive.session import session_kept
from hanse.learners.agreement import TENSOR
from hanse.plots.record import RunRecord
from hanse.simulation.baselines import MOST_SITES
from hanse.simulation.notices import log
from hanse.wire.result_tables import Tables

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class SimulatedRun:
    """A finished simulation, as `hanse.simulate` gives it.

    Args:
        simulation: What was run.
        ran: What it came to.
        record: What it went through.
        folder: The folder with what sites kept, removed with this object.
    """

    def __init__(self, simulation: Simulation, ran: Ran, record: RunRecord, folder: Path) -> None:
        self._simulation = finished(simulation, ran.outcome)
        self._ran = ran
        self._record = record
        self._baselines: Baselines | None = None
        self._remove = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)

    @property
    def plan(self) -> Plan:
        """The plan that was run, with what it turned out to declare."""
        return self._simulation.loaded.manifest.plan

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites, in site order."""
        return tuple(site.name for site in self._simulation.sites)

    @cached_property
    def model(self) -> dict[str, Array] | None:
        """The last model, arrays by name, the caller's own; None of a run without a model."""
        return _copied(self._ran.outcome.model)

    @cached_property
    def best(self) -> dict[str, Array] | None:
        """The best model, where the plan keeps it (`keep_best`); else None."""
        return _copied(self._ran.outcome.best)

    @property
    def digest(self) -> str | None:
        """Digest of the last model's file, the same as that of a deployed run with the same answers."""
        model = self._ran.outcome.run.model
        return None if model is None else model.digest

    @property
    def results(self) -> Groups:
        """The results that the workflow committed, by name: arrays, or dictionaries of arrays; read-only."""
        return MappingProxyType(dict(self._ran.outcome.results))

    @cached_property
    def tables(self) -> Tables:
        """The results as tables by name, each a mapping of columns; see `table`."""
        return MappingProxyType(tables(self.plan, self.results))

    def table(self, name: str) -> Any:
        """A table of the results, as `results/NAME.csv` of `hanse simulate --output` has it.

        The first columns say what a row is of, with the names in the plan: a term, a column, a category.

        Args:
            name: Name of the table: of a result, or another one of `tables`.

        Returns:
            A pandas data frame where pandas is installed, else a mapping from heads to NumPy arrays.

        Raises:
            ConfigError: There is no such table.
        """
        return result_table(self.tables, name)

    @property
    def history(self) -> Any:
        """The rounds: a column `round` and one for each metric, the mean over the sites.

        A pandas data frame where pandas is installed, else a mapping from names to NumPy arrays; both give
        a column by its name, `run.history["loss"]`. NaN where a round has no such metric. Of a run
        without metrics, rounds that asked no site are left out, as those after a regression has converged.
        """
        return table(self._record.columns())

    def history_of(self, site: str) -> Any:
        """The rounds of one site, as `history`, with what the site reported.

        Args:
            site: Name of the site.

        Raises:
            ConfigError: There is no such site.
        """
        if site not in self.sites:
            raise ConfigError(
                f"there is no site {site!r} in this run", mend=f"The sites: {', '.join(self.sites)}."
            )
        return table(self._record.columns_of_site(site))

    def summary(self) -> dict[str, Any]:
        """The run as `hanse simulate --json` prints it: plan, phase, rounds, digests of the models."""
        return summarise(self._simulation, self._ran.outcome.run, self._record.history)

    def baselines(self) -> Baselines:
        """Train a model at each site alone and, where the data can be pooled, one of all data.

        By the code of `hanse simulate --baselines`: with the plan's settings and for as many rounds. The
        first call trains; later ones give the same.

        Returns:
            Each model's metrics on the held-out examples of each site.

        Raises:
            ConfigError: The run has more than 20 sites.
            PlanError: The run has no model, or no task by which sites train one.
            HanseError: No baseline can be made.
        """
        if len(self.sites) > MOST_SITES:
            raise ConfigError(
                f"baselines compare all sites, and there are {len(self.sites)}",
                mend=f"Simulate at most {MOST_SITES}.",
            )
        if self._baselines is None:
            with session_kept(self.plan.code):
                self._baselines = Baselines(comparison(self._simulation, self._ran))
        return self._baselines

    def plot(self, what: str = "all", *, metric: str | None = None, file: str | PathLike[str] = "") -> Figure:
        """Draw the run; needs matplotlib (`pip install 'hanse[plot]'`).

        Args:
            what: `curves`, the metrics by round; `sites`, one small picture for each site; `results`,
                survival curves, coefficients with their intervals, and histograms; `examples`, how many
                examples each site holds, by label where `site.share(labels)` dealt them; or `all` of these.
            metric: The metric of the small pictures; None for the loss, or the first that there is.
            file: Where to write it too: PNG, SVG or PDF, by the end of its name.

        Returns:
            A figure, which a notebook shows.

        Raises:
            ConfigError: matplotlib is not installed, there is no such picture or metric, nothing to draw, or
                `file` is not a path.
            StorageError: The file cannot be written.
        """
        from hanse.interactive.pictures import show_in_notebooks
        from hanse.plots.figure import draw, write

        path = None if file is None or file == "" else given_path(file, "file")
        self._record.tables = self.tables
        drawn = draw(self._record, what, metric)
        if path is not None:
            write(drawn, path)
        show_in_notebooks()
        return drawn

    def save_plan(self, path: str | PathLike[str]) -> None:
        """Write the plan that was run to a new file beside its code, for `hanse run submit`.

        Args:
            path: The file.

        Raises:
            PlanError: The learner or the workflow is a function of this session, which no plan can name; or
                the file would be in another folder than the code.
            StorageError: The file exists, or cannot be written.
        """
        functions = self._simulation.functions
        if functions.learner is not None or functions.workflow is not None:
            raise PlanError(
                "this run used functions of this session of Python, which a plan cannot name",
                mend="Write them to a file, name it and them in a plan (`code`, `learner`, `workflow`; "
                "`hanse new` writes an example), and give hanse.simulate the path of the plan.",
            )
        save(self._simulation, given_path(path, "path"))

    def __repr__(self) -> str:
        return f"<{self._heading()}>"

    def _repr_html_(self) -> str:
        return f"<div>{escape(self._heading())}</div>"

    def _heading(self) -> str:
        last = self._record.history[-1]["metrics"] if self._record.history else {}
        metrics = ", ".join(f"{name} {figure(last[name])}" for name in in_order(last))
        rounds, sites = self._ran.outcome.run.committed, len(self.sites)
        counted = f"{rounds} round{'s' * (rounds != 1)}, {sites} site{'s' * (sites != 1)}"
        results = f"results {', '.join(self.results)}" if self.results else ""
        return f"simulated run {self.plan.name}: {'; '.join(filter(None, [counted, metrics, results]))}"


def _copied(parameters: Parameters | None) -> dict[str, Array] | None:
    """Arrays of the caller's own, without what the learners agreed on, as `hanse.load` gives them."""
    if parameters is None:
        return None
    return {name: np.array(array) for name, array in parameters.items() if name != TENSOR}


def remarks(simulation: Simulation, ran: Ran, failed: Iterable[TaskFailed]) -> None:
    """Log what the command would say or warn of in a run, and after it.

    Args:
        simulation: What was run.
        ran: What it came to.
        failed: Tasks that failed, without which the run continued.
    """
    said = set[str]()
    for event in failed:
        line = f"{event.site} failed, and the run continued without it: {event.reason}"
        if line not in said:
            said.add(line)
            log(line)
    for warning in summarise(simulation, ran.outcome.run, [])["warnings"]:
        log(warning)
    for site, error in ran.outcome.failed_ends.items():
        log(f"after the last round, at {site}: {error}")
    if simulation.partition is not None and not ran.outcome.dealt:
        log("no data was divided: the code asks no site for its share, by site.share(labels)")
