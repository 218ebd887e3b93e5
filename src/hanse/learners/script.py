"""An existing training script as it is: `for round in hanse.rounds(model)`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from queue import Empty
from typing import Any, SupportsFloat

import numpy as np

from hanse.core.values.parameters import Array, Parameters, mismatch, specs
from hanse.core.values.site import DataSources, Site
from hanse.core.values.update import Task, TaskResult
from hanse.errors import HanseError, PlanError, TaskError, UpdateError
from hanse.learners.notices import notice
from hanse.learners.results import checked_count, checked_metrics, checked_result
from hanse.learners.script_thread import CURRENT, Begin, Done, Ended, Message, Ready, RunningScript
from hanse.learners.script_values import read_kept, read_model, write_kept, write_model
from hanse.learners.seeding import seed_generators
from hanse.learners.state import StateStore

_UNKNOWN = -1
"""No version has this number: what the script holds is as no version left it."""

DATA_VARIABLE = "HANSE_DATA"
"""Environment variable with the data's folder, for a script that runs alone."""


class ScriptRound:
    """One round, as the body of a script's loop sees it.

    Attributes:
        number: The round, counted from 1.
        settings: The settings of the plan's `train` task.
    """

    def __init__(self, number: int, settings: Mapping[str, Any]) -> None:
        self.number = number
        self.settings = settings
        self._report: TaskResult | None = None

    def report(self, *, examples: int, **metrics: SupportsFloat | None) -> None:
        """Say what the round came to; once a round.

        Args:
            examples: Examples trained on, the weight of this site in the mean; at least 0.
            metrics: Numbers by name (`loss=0.3`); None for one that is not defined for these examples.

        Raises:
            TaskError: It was said already, or a value is no number.
        """
        if self._report is not None:
            raise TaskError(f"round {self.number} was reported twice", mend="Call report() once a round.")
        doing = f"the report of round {self.number}"
        self._report = TaskResult(checked_count(examples, doing), checked_metrics(metrics, doing))

    def reported(self) -> TaskResult:
        """What was reported.

        Raises:
            TaskError: Nothing was.
        """
        if self._report is None:
            raise TaskError(
                f"round {self.number} ended without a report",
                mend="Call round.report(examples=..., loss=...) at the end of the loop's body.",
            )
        return self._report


def rounds(model: Any, *, keep: Mapping[str, Any] | None = None) -> Iterator[ScriptRound]:
    """The rounds of the run: at each, `model` holds the federation's parameters; train it and report.

    A script's other variables live as long as its process: a worker that was killed runs the script from
    the start. An optimiser whose moments have to outlast that belongs in `keep`. Run without a federation
    (`python train.py`), there is one round, on the model as it is. After the loop `model` holds what this
    site trained last; the federation's own model stays with the aggregator.

    Args:
        model: A `torch.nn.Module`, or a dictionary of NumPy arrays or torch tensors (a `state_dict`);
            changed in place.
        keep: What the site keeps from round to round, by name: torch optimisers and schedulers, or
            dictionaries as above. Written down after each round, and put back after a restart; it never
            leaves the site.

    Raises:
        TaskError: The model is something else, or this is the script's second loop.
    """
    read_model(model)
    running = CURRENT.get()
    if running is None:
        return _alone()
    running.claim_loop()
    return _federated(running, model, keep or {})


def site() -> Site:
    """The site that the script runs at: its name, data and options.

    Without a federation it is named `local`, and its `data_root` is the folder that the environment
    variable `HANSE_DATA` names, else the current one.
    """
    running = CURRENT.get()
    if running is not None:
        return running.site
    return Site(
        "local", DataSources("local", {}), data_root=Path(os.environ.get(DATA_VARIABLE, ".")).resolve()
    )


def _federated(running: RunningScript, model: Any, keep: Mapping[str, Any]) -> Iterator[ScriptRound]:
    message: Ready | Done = Ready(read_model(model), {name: _copies(read_kept(keep[name])) for name in keep})
    while (begin := running.hand_over(message)) is not None:
        task, parameters, kept = begin
        write_model(model, parameters)
        restored = [] if kept is None else [write_kept(name, keep[name], kept[name]) for name in keep]
        seed_generators(task.seed)
        current = ScriptRound(task.round_number, task.settings)
        yield current
        report = current.reported()
        result = TaskResult(report.num_examples, report.metrics, read_model(model))
        message = Done(
            checked_result(result, parameters, f"round {task.round_number}"),
            {name: read_kept(keep[name]) for name in keep},
            tuple(filter(None, restored)),
        )


def _alone() -> Iterator[ScriptRound]:
    only = ScriptRound(1, {})
    yield only
    report = only.reported()
    numbers = {"examples": report.num_examples, **report.metrics}
    told = ", ".join(
        f"{name} {'not given' if number is None else f'{number:.6g}'}" for name, number in numbers.items()
    )
    sys.stdout.write(f"hanse: no federation, so one round alone: {told}\n")


class ScriptSession:
    """Runs a site's script and drives its loop; a `Session` whose only task is `train`.

    The script starts at the first call, with the generators seeded with `site.seed`, waits in its loop
    between the rounds, and after a round that failed is run again from the start.

    Args:
        script: The script, run as `python script argv...` would, save that it shares the process.
        site: What `hanse.site()` gives it.
        state_dir: Folder for what it keeps; made when there is something to keep.
        argv: Its arguments.
        end_limit_s: Longest that `close` waits for what the script does after its loop, in seconds.
    """

    def __init__(
        self,
        script: Path,
        site: Site,
        state_dir: Path,
        argv: Sequence[str] = (),
        *,
        end_limit_s: float = 60.0,
    ) -> None:
        if not script.is_file():
            raise PlanError(f"there is no script {script}")
        self._script = script
        self._site = site
        self._store = StateStore(state_dir)
        self._argv = argv
        self._end_limit_s = end_limit_s
        self._running: tuple[RunningScript, Ready] | None = None
        self._version: int | None = None
        """Which version of what is kept the script holds; None: the one it began with; or `_UNKNOWN`."""

    def initial_parameters(self) -> Parameters:
        """See `Session`."""
        _, ready = self._started()
        return _copies(ready.parameters)

    def perform(self, task: Task, parameters: Parameters, *, sequence: int) -> TaskResult:
        """See `Session`."""
        if task.name != "train":
            raise TaskError(
                f"{self._script.name} has no task {task.name!r}: a script has only the task 'train'",
                mend="Remove the task from the plan, or write a learner.",
            )
        running, ready = self._started()
        if problem := mismatch(specs(parameters), specs(ready.parameters)):
            raise UpdateError(f"the parameters do not fit the model of {self._script.name}: {problem}")
        version = self._store.newest_before(sequence)
        kept = None
        if version != self._version:
            kept = ready.kept if version is None else self._store.load(version)
        self._running = None  # a script that failed or was interrupted is not used again
        answer = running.resume(Begin(task, parameters, kept))
        if not isinstance(answer, Done):
            raise _why(answer) or TaskError(
                f"{self._script.name} left its loop over hanse.rounds() in round {task.round_number}, "
                "but the run continues",
                mend="Do not end the loop by `break`: it ends with the run.",
            )
        for text in answer.notices:
            notice(text)
        self._running, self._version = (running, ready), _UNKNOWN
        if answer.kept:
            self._store.save(sequence, task.round_number, answer.kept)
            version = sequence
        self._version = version
        return answer.result

    def close(self) -> None:
        """See `Session`: the script's loop ends, and what follows it is waited for."""
        if self._running is None:
            return
        running, _ = self._running
        self._running = None
        try:
            answer = running.resume(None, self._end_limit_s)
        except Empty:
            raise TaskError(
                f"{self._script.name} has not ended {self._end_limit_s:g} s after the run's last round",
                mend="Do less after the loop over hanse.rounds().",
            ) from None
        if error := _why(answer):
            raise error

    def _started(self) -> tuple[RunningScript, Ready]:
        if self._running is None:
            running = RunningScript(self._script, self._site, self._argv)
            answer = running.start()
            if not isinstance(answer, Ready):
                raise _why(answer) or TaskError(
                    f"{self._script.name} ended without a loop over hanse.rounds(model)",
                    mend="Write `for round in hanse.rounds(model):` around its training.",
                )
            self._running = (running, answer)
            self._version = None
        return self._running


def _why(message: Message) -> HanseError | None:
    return message.error if isinstance(message, Ended) else None


def _copies(arrays: Parameters) -> dict[str, Array]:
    return {name: np.array(array) for name, array in arrays.items()}
