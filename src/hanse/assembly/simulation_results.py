"""The folder of a simulation's results, written after each round."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from json import dumps
from pathlib import Path
from typing import Any

from hanse.algorithms.result_tables import tables
from hanse.core.plan.plan import Plan
from hanse.core.run.run import Run
from hanse.core.values.groups import Groups
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.parameters import Parameters
from hanse.errors import ConfigError
from hanse.files.atomic import writing
from hanse.files.errors import file_errors
from hanse.wire.result_files import write_results
from hanse.wire.tensors import write_file

MODELS = ("model", "best")
METRICS = "metrics"
RESULTS = "results"


class ResultFolder:
    """Writes models and metrics of one simulation, each time in place of its own earlier ones.

    Args:
        folder: The folder; made where it is missing.

    Attributes:
        files: Path of each file that was written, by what it holds.

    Raises:
        ConfigError: The folder has results already.
        StorageError: The folder cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.files: dict[str, str] = {}
        self._folder = folder
        self._paths = {name: folder / f"{name}.safetensors" for name in MODELS}
        self._paths[METRICS] = folder / f"{METRICS}.json"
        self._written: dict[str, ModelRef] = {}
        with file_errors(f"make the folder {folder}"):
            folder.mkdir(parents=True, exist_ok=True)
        there = [path.name for path in (*self._paths.values(), folder / RESULTS) if path.exists()]
        if there:
            raise ConfigError(
                f"{folder} has results already ({', '.join(there)}), which are not overwritten",
                mend="Name another folder, or remove those files.",
            )

    def write_results(self, plan: Plan, results: Groups) -> None:
        """Write the results of the run, each as `.npz`, and their tables as `.csv`.

        Args:
            plan: The plan of the run, which says what stands on the rows of the tables.
            results: The results.

        Raises:
            StorageError: A file cannot be written.
        """
        written = write_results(self._folder / RESULTS, results, tables(plan, results))
        self.files |= {what: str(path) for what, path in written.items()}

    def write(
        self, run: Run, tensors: Callable[[ModelRef], Parameters] | None, summary: Mapping[str, Any]
    ) -> None:
        """Write what there is now: the models that are new since the last time, and the summary.

        Args:
            run: The run as it stands.
            tensors: Gives the parameters of its models; None where they have been written.
            summary: See `hanse.assembly.simulation.summarise`.

        Raises:
            StorageError: A file cannot be written.
        """
        best = None if run.best is None else run.best.model
        for name, model in zip(MODELS, (run.model, best), strict=True):
            if model is None or tensors is None or self._written.get(name) == model:
                continue
            write_file(self._paths[name], tensors(model))
            self._written[name] = model
            self.files[name] = str(self._paths[name])
        metrics = self._paths[METRICS]
        with file_errors(f"write {metrics}"), writing(metrics) as file:
            file.write(f"{dumps(summary, indent=2)}\n".encode())
        self.files[METRICS] = str(metrics)
