"""`hanse.simulate`: a federation on this machine, from a learner function, a script, a plan or a workflow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hanse.interactive.simulated_run import SimulatedRun


def simulate(
    source: Callable[..., Any] | str | PathLike[str] | Any,
    sites: Mapping[str, Any] | int | str | PathLike[str],
    *,
    learner: Callable[..., Any] | None = None,
    partition: str | None = None,
    engine: str = "inline",
    threads: int = 1,
    output: str | PathLike[str] | None = None,
    progress: bool = True,
    **plan: Any,
) -> SimulatedRun:
    """Run a federation with virtual sites in this process, as `hanse simulate` does.

    The same plan and seed give the same model, to the bit, as the command and as a deployed run.
    Functions are used as they are, so that they may be defined in a notebook and keep what they refer to.

    Args:
        source: A function that makes the learner of a site, `learner(site)`; the path of a training script
            (`.py`) or of a plan; a plan that was read; or a workflow function, `workflow(federation)`,
            together with `learner`.
        sites: The sites by name, each with its data: a path, a dictionary of data sources by name (paths or
            objects), or any other object. `site.data[NAME]` finds them; what has no name of its own is named
            as the plan's only data source, or `data`. A number stands for so many sites, `site-1` and so on,
            that share one data set (`site.share(labels)`). A path stands for a folder with a folder for
            each site.
        learner: Makes the learner of a site, where `source` is a workflow function.
        partition: How `site.share(labels)` deals one data set out: `iid`, `dirichlet:ALPHA`,
            `quantity:ALPHA`, `shards:K`, `column:NAME`. None: `iid` where `sites` is a number, else none.
        engine: `inline`: the sites one after another, in this process.
        threads: Threads of linear algebra at each site; another number may give other last bits.
        output: A folder for `model.safetensors`, `best.safetensors` and `metrics.json`, written after each
            round, and for the workflow's results, written at the end; a folder that has such files already
            is refused. None: nothing is kept on disk.
        progress: Whether to show a bar, in notebooks and on terminals.
        **plan: Keys of the plan, as in `plan.yaml`: `rounds`, `seed`, `tasks`, `workflow`, `keep_best`, ...
            They stand in place of those of a plan file. Of a function, not given: 5 rounds, all sites in
            each, the tasks `train` and `evaluate`, the sum of the updates and the metrics that the learner
            reports; an `algorithm` changes these or has its own. `workflow` may be a function.

    Returns:
        The run: its model, its metrics by round, its pictures.

    Raises:
        PlanError: A keyword is not a key of the plan, or a value is not one that the plan can have.
        ConfigError: The sites, the engine or the first argument are not what they should be.
        MissingDataError: There is no such file or folder, or a site lacks a data source.
        TaskError: Code of a task failed; the message names its line.
        WorkflowError: The workflow failed; the message names its line.
        HanseError: Why else the run failed.
    """
    from hanse.interactive.plans import Asked
    from hanse.interactive.running import run_simulation

    return run_simulation(
        Asked(source, sites, learner, partition, plan, engine, threads), output, progress=progress
    )
