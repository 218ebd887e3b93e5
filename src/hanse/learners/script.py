"""An existing training script as it is: `for round in hanse.rounds(model)`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from queue import Empty
from typing import Any

import numpy as np

from hanse.core.values.parameters import Array, Parameters, mismatch, specs
from hanse.core.values.site import DataSources, Site
from hanse.core.values.update import Task, TaskResult
from hanse.errors import HanseError, PlanError, TaskError, UpdateError
from hanse.learners.adapters.script_round import ScriptRound
from hanse.learners.adapters.script_values import (
    in_evaluation_mode,
    read_kept,
    read_model,
    write_kept,
    write_model,
)
from hanse.learners.main_thread import MainThread
from hanse.learners.notices import notice
from hanse.learners.results import a_kind_of, checked_count, checked_metrics, checked_result
from hanse.learners.script_thread import CURRENT, Begin, Done, Ended, Message, Ready, RunningScript, doing
from hanse.learners.seeding import seed_generators
from hanse.learners.state import StateStore
from hanse.local.applied import rules_of
from hanse.local.state import checked_of_user, kept_of, of_rules, of_user, with_kept

_UNKNOWN = -1
"""No version has this number: what the script holds is as no version left it."""

TRAIN, EVALUATE = "train", "evaluate"
"""The tasks that a script can have."""

Evaluate = Callable[[Any], Mapping[str, Any]]
"""Measures a model: the number of examples as `examples`, and metrics by name."""

END_LIMIT_S = 60.0
"""Seconds that a script may take to end, once its run has."""

DATA_VARIABLE = "HANSE_DATA"
"""Environment variable with the data's folder, for a script that runs alone."""


def rounds(
    model: Any, *, keep: Mapping[str, Any] | None = None, evaluate: Evaluate | None = None
) -> Iterator[ScriptRound]:
    """The rounds of the run: at each, `model` holds the federation's parameters; train it and report.

    A script's other variables live as long as its process: a worker that was killed runs the script from
    the start. An optimiser whose moments have to outlast that belongs in `keep`. Run without a federation
    (`python train.py`), there is one round, on the model as it is. After the loop `model` holds what this
    site trained last, or the model that it evaluated last.

    What the loop reports is measured on this site's own model, before it is averaged with those of the other
    sites. `evaluate` measures the averaged model: `for round in hanse.rounds(model, evaluate=test)`.

    Args:
        model: A `torch.nn.Module`, or a dictionary of NumPy arrays or torch tensors (a `state_dict`);
            changed in place.
        keep: What the site keeps from round to round, by name: torch optimisers and schedulers, or
            dictionaries as above. Written down after each round, and put back after a restart; it never
            leaves the site.
        evaluate: Measures the federation's model at this site; called after each round, with `model`,
            which holds it (a module in evaluation mode). Returns the number of examples and the metrics by
            name, as `report` takes them: `{"examples": len(y), "accuracy": 0.9}`. The plan then has a task
            `evaluate`.

    Raises:
        TaskError: The model is something else, or this is the script's second loop.
    """
    read_model(model)
    running = CURRENT.get()
    if running is None:
        return _alone(model, evaluate)
    running.claim_loop()
    return _federated(running, model, keep or {}, evaluate)


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


def _federated(
    running: RunningScript, model: Any, keep: Mapping[str, Any], evaluate: Evaluate | None
) -> Iterator[ScriptRound]:
    kept = {name: _copies(read_kept(keep[name])) for name in keep}
    message: Ready | Done = Ready(read_model(model), kept, evaluate is not None)
    while (begin := running.hand_over(message)) is not None:
        task, parameters, kept_before = begin
        write_model(model, parameters)
        if task.name == EVALUATE and evaluate is not None:
            seed_generators(task.seed)
            message = Done(_measured(evaluate, model, doing(task)), {})
            continue
        restored = (
            [] if kept_before is None else [write_kept(name, keep[name], kept_before[name]) for name in keep]
        )
        seed_generators(task.seed)
        current = ScriptRound(task.round_number, task.settings, task, model)
        yield current
        report = current.reported()
        result = TaskResult(report.num_examples, report.metrics, read_model(model))
        message = Done(
            checked_result(result, parameters, f"round {task.round_number}"),
            {name: read_kept(keep[name]) for name in keep},
            tuple(filter(None, restored)),
        )


def _alone(model: Any, evaluate: Evaluate | None) -> Iterator[ScriptRound]:
    only = ScriptRound(1, {})
    yield only
    told = _numbers(only.reported())
    if evaluate is not None:
        told += f"; evaluated: {_numbers(_measured(evaluate, model, 'the evaluation'))}"
    sys.stdout.write(f"hanse: no federation, so one round alone: {told}\n")


def _numbers(result: TaskResult) -> str:
    numbers = {"examples": result.num_examples, **result.metrics}
    return ", ".join(
        f"{name} {'not given' if number is None else f'{number:.6g}'}" for name, number in numbers.items()
    )


def _measured(evaluate: Evaluate, model: Any, doing: str) -> TaskResult:
    with in_evaluation_mode(model):
        numbers = evaluate(model)
    if not isinstance(numbers, Mapping) or "examples" not in numbers:
        got = "no `examples`" if isinstance(numbers, Mapping) else a_kind_of(numbers)
        raise TaskError(
            f"the function given to hanse.rounds() as `evaluate` gave back {got}",
            mend="Return the number of examples with the metrics: "
            '`{"examples": len(y), "accuracy": accuracy}`.',
        )
    metrics = {name: value for name, value in numbers.items() if name != "examples"}
    return TaskResult(checked_count(numbers["examples"], doing), checked_metrics(metrics, doing))


class ScriptSession:
    """Runs a site's script and drives its loop; a `Session` with the tasks `train` and perhaps `evaluate`.

    The script starts at the first call, with the generators seeded with `site.seed`, waits in its loop
    between the rounds, and after a round that failed is run again from the start.

    Args:
        script: The script, run as `python script argv...` would.
        site: What `hanse.site()` gives it.
        state_dir: Folder for what it keeps; made when there is something to keep.
        argv: Its arguments.
        main_thread: The main thread of the process, where the script has the process alone. None: it has a
            thread, and shares the process.
        end_limit_s: Longest that `close` waits for what the script does after its loop, in seconds.
    """

    def __init__(
        self,
        script: Path,
        site: Site,
        state_dir: Path,
        argv: Sequence[str] = (),
        *,
        main_thread: MainThread | None = None,
        end_limit_s: float = END_LIMIT_S,
    ) -> None:
        if not script.is_file():
            raise PlanError(f"there is no script {script}")
        self._script = script
        self._site = site
        self._store = StateStore(state_dir)
        self._argv = argv
        self._main_thread = main_thread
        self._end_limit_s = end_limit_s
        self._imported: frozenset[str] = frozenset()
        self._running: tuple[RunningScript, Ready] | None = None
        self._version: int | None = None
        """Which version of what is kept the script holds; None: the one it began with; or `_UNKNOWN`."""
        self._rules_state: dict[str, Parameters] = {}
        """State of the plan's local rules, in the same version."""

    @property
    def imported(self) -> frozenset[str]:
        """Files of the user's own modules that the script has imported so far."""
        return self._imported

    @property
    def opened(self) -> frozenset[str]:
        """Nothing: in one process with other sites, which script reads a file is not known."""
        return frozenset()

    @property
    def dealt(self) -> bool:
        """False: in one process with its simulation, who asks for shares is noted where they are dealt."""
        return False

    def evaluates(self) -> bool:
        """Start the script; whether it gives a function that evaluates the federation's model.

        Raises:
            TaskError: The script failed before its loop.
        """
        return self._started()[1].evaluates

    def initial_parameters(self) -> Parameters:
        """See `Session`."""
        _, ready = self._started()
        return _copies(ready.parameters)

    def perform(
        self, task: Task, parameters: Parameters, *, sequence: int, counted: int | None = None
    ) -> TaskResult:
        """See `Session`."""
        running, ready = self._started()
        self._check_task(task, ready)
        if problem := mismatch(specs(parameters), specs(ready.parameters)):
            raise UpdateError(f"the parameters do not fit the model of {self._script.name}: {problem}")
        version = self._store.roll_back(sequence - 1 if counted is None else counted)
        kept = None
        if task.name != EVALUATE and version != self._version:
            state = ready.kept if version is None else self._store.load(version)
            kept, self._rules_state = of_user(state), of_rules(state)
        rules = rules_of(task)
        if rules is not None:
            rules.begin(task, parameters, kept_of(self._rules_state, task.name))
        self._running = None  # a script that failed or was interrupted is not used again
        answer = running.resume(Begin(task, parameters, kept))
        self._imported |= running.imported
        if not isinstance(answer, Done):
            raise _why(answer) or TaskError(
                f"{self._script.name} left its loop over hanse.rounds() in round {task.round_number}, "
                "but the run continues",
                mend="Do not end the loop by `break`: it ends with the run.",
            )
        for text in answer.notices:
            notice(text)
        result = answer.result
        if rules is not None:
            result, of_task = rules.end(result)
        if task.name == EVALUATE:
            self._running = (running, ready)
            return result
        self._running, self._version = (running, ready), _UNKNOWN
        if rules is not None:
            self._rules_state = with_kept(self._rules_state, task.name, of_task)
        if kept_now := {**checked_of_user(answer.kept), **self._rules_state}:
            self._store.save(sequence, task.round_number, kept_now, started_from=version)
            version = sequence
        self._version = version
        return result

    def _check_task(self, task: Task, ready: Ready) -> None:
        if task.name == TRAIN or (task.name == EVALUATE and ready.evaluates):
            return
        script = self._script.name
        if task.name == EVALUATE:
            raise TaskError(
                f"{script} has no task {EVALUATE!r}: hanse.rounds() was given no function for it",
                mend="Write hanse.rounds(model, evaluate=function), or remove the task from the plan.",
            )
        raise TaskError(
            f"{script} has no task {task.name!r}: a script has only the tasks {TRAIN!r} and {EVALUATE!r}",
            mend="Remove the task from the plan, or write a learner.",
        )

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
        self._imported |= running.imported
        if error := _why(answer):
            raise error

    def _started(self) -> tuple[RunningScript, Ready]:
        if self._running is None:
            running = RunningScript(self._script, self._site, self._argv, self._main_thread)
            answer = running.start()
            self._imported |= running.imported
            if not isinstance(answer, Ready):
                raise _why(answer) or TaskError(
                    f"{self._script.name} ended without a loop over hanse.rounds(model)",
                    mend="Write `for round in hanse.rounds(model):` around its training.",
                )
            self._running = (running, answer)
            self._version, self._rules_state = None, {}
        return self._running


def _why(message: Message) -> HanseError | None:
    return message.error if isinstance(message, Ended) else None


def _copies(arrays: Parameters) -> dict[str, Array]:
    return {name: np.array(array) for name, array in arrays.items()}
