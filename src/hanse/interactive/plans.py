"""Plans of simulations from Python: of functions, scripts and plan files, with keys given as keywords."""

from __future__ import annotations

import inspect
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

from hanse.algorithms import presets
from hanse.assembly.plan_file import load_plan
from hanse.assembly.simulation import SCRIPT_ROUNDS, Simulation
from hanse.config.document import Document
from hanse.config.load import LoadedPlan, gather
from hanse.config.script import script_plan
from hanse.config.write import non_default_values
from hanse.core.plan.built_in import BUILT_IN
from hanse.core.plan.plan import Plan
from hanse.errors import ConfigError, PlanError
from hanse.files.paths import given_path
from hanse.interactive.function_plan import CALL, completed
from hanse.interactive.sites import Sites, are_paths, dealing, places
from hanse.interactive.values import as_json
from hanse.simulation.functions import Functions
from hanse.simulation.simulate import ENGINES, VirtualSite

STUB = "session"
"""Module that a plan of functions names; it holds no code."""

_OF_FILES = ("code", "script", "arguments", "requires")
_INITIAL = "initial.safetensors"


@dataclass(frozen=True, slots=True)
class Asked:
    """Arguments of `hanse.simulate`, beside those of how to run.

    Attributes:
        source: The first one.
        sites: The second one.
        learner: The learner, where the first argument is a workflow.
        partition: How one data set is dealt out.
        keys: Keys of the plan.
        engine: Name of the engine.
        threads: Threads of linear algebra at each site.
    """

    source: Any
    sites: Sites
    learner: Any
    partition: str | None
    keys: Mapping[str, Any]
    engine: str = "inline"
    threads: int = 1


def prepared(asked: Asked, folder: Path) -> Simulation:
    """Make the plan and the sites of a simulation.

    Args:
        asked: What was asked for.
        folder: An empty folder, for the files of a plan of functions; kept as long as the simulation.

    Raises:
        PlanError: The keywords are not keys of a plan, or the plan is wrong.
        ConfigError: The engine, the sites or the first argument are not what they should be.
        MissingDataError: There is no such file or folder, or a site lacks a data source.
    """
    if not isinstance(asked.engine, str) or asked.engine not in ENGINES:
        raise ConfigError(
            f"there is no engine {asked.engine!r} in this version", mend="Leave engine= out: inline is used."
        )
    if isinstance(asked.threads, bool) or not isinstance(asked.threads, int) or asked.threads < 1:
        raise ConfigError(f"threads={asked.threads!r} is not a number of threads", mend="Give 1 or more.")
    match asked.source:
        case str() | PathLike():
            path = given_path(asked.source, "the first argument")
            _no_learner(asked, f"{path.name} names its own")
            return (
                _of_script(path, asked)
                if path.suffix == ".py"
                else _of_plan(load_plan(path, _keys(asked)), asked)
            )
        case LoadedPlan() | Plan():
            _no_learner(asked, "a plan names its own")
            return _of_plan(_loaded(asked.source, _keys(asked)), asked)
        case _ if callable(asked.source):
            return _of_functions(asked, folder)
        case _:
            raise ConfigError(
                f"the first argument is a {type(asked.source).__name__}",
                mend="Give a function that makes a learner, the path of a plan or a script, or a workflow "
                "function with learner=.",
            )


def _no_learner(asked: Asked, why: str) -> None:
    if asked.learner is not None:
        raise ConfigError(
            f"learner= is for a workflow function as the first argument; {why}", mend="Leave learner= out."
        )


def _keys(asked: Asked) -> dict[str, Any]:
    return {key: as_json(key, value) for key, value in asked.keys.items()}


def _sources(keys: Mapping[str, Any]) -> Sequence[str] | None:
    """The data sources that the keywords name; None where they name none."""
    names = keys.get("data")
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise PlanError(
            f"{CALL}: data: should be a list of the names of data sources, is {repr(names)[:60]}",
            mend="Write data=['table'], and give the data themselves with the sites.",
        )
    return names


# ---------------------------------------------------------------------- files


def _of_plan(loaded: LoadedPlan, asked: Asked) -> Simulation:
    plan = loaded.manifest.plan
    found = places(asked.sites, plan.data)
    if plan.script is not None:
        _must_be_paths(plan.script, are_paths(found))
    source = Path(f"{plan.name}.yaml")
    if isinstance(asked.source, str | PathLike):
        source = given_path(asked.source, "the first argument")
    return _simulation(asked, source, loaded, found)


def _loaded(plan: LoadedPlan | Plan, keys: Mapping[str, Any]) -> LoadedPlan:
    """A plan that was read before, with other values of these keys; files are found in the current folder."""
    own, root = (plan, Path()) if isinstance(plan, Plan) else (plan.manifest.plan, plan.root)
    # Without what is default: an algorithm fills in what is absent.
    document = Document(f"plan {own.name}", {**non_default_values(own), **keys}, {}, PlanError)
    document = presets.expanded(document)
    return gather(document.check(Plan), document, root)


def _of_script(script: Path, asked: Asked) -> Simulation:
    keys = _keys(asked)
    found = places(asked.sites, _sources(keys))
    _must_be_paths(script.name, are_paths(found))
    loaded = script_plan(
        script,
        rounds=SCRIPT_ROUNDS,
        seed=0,
        sites=len(found),
        code=keys.pop("code", ()),
        arguments=keys.pop("arguments", ()),
    )
    loaded = _loaded(loaded, {"data": sorted(found[0].data), **keys})
    return _simulation(asked, script, loaded, found)


def _simulation(asked: Asked, source: Path, loaded: LoadedPlan, sites: Sequence[VirtualSite]) -> Simulation:
    dealt = dealing(asked.partition, asked.sites)
    return Simulation(source, loaded, sites, dealt, asked.engine, asked.threads)


def _must_be_paths(script: str, paths: bool) -> None:
    if not paths:
        raise ConfigError(
            f"{script} is a script, which runs in a process of its own and finds files only",
            mend="Give each site paths, or write a learner function.",
        )


# ------------------------------------------------------------------ functions


def _of_functions(asked: Asked, folder: Path) -> Simulation:
    keys = _keys(replace(asked, keys={k: v for k, v in asked.keys.items() if k != "workflow"}))
    learner, workflow = _learner_and_workflow(asked)
    for key in _OF_FILES:
        if key in keys:
            raise PlanError(
                f"{CALL}: `{key}` is for a plan or a script; a function is used as it is",
                mend=f"Leave {key}= out, or give the path of a plan.",
            )
    found = places(asked.sites, _sources(keys))
    named = workflow if workflow is not None else learner
    settings = {**keys, "code": [f"{STUB}.py"], "learner": f"{STUB}:learner"}
    if workflow is not None or "workflow" in asked.keys:
        settings["workflow"] = f"{STUB}:workflow" if workflow is not None else asked.keys["workflow"]
    _write_files(settings, folder)
    defaults = {
        "name": _plan_name(named),
        "rounds": SCRIPT_ROUNDS,
        "cohort": {"minimum": len(found)},
        "data": sorted(found[0].data),
    }
    document, open_tasks = completed(settings, defaults)
    loaded = gather(document.check(Plan), document, folder)
    functions = Functions(learner, workflow, open_tasks)
    return replace(_simulation(asked, folder / f"{STUB}.yaml", loaded, found), functions=functions)


def _learner_and_workflow(asked: Asked) -> tuple[Callable[..., Any], Callable[..., Any] | None]:
    """The functions: the first argument is the workflow where there is a learner beside it."""
    workflow = asked.keys.get("workflow")
    if asked.learner is None:
        if _takes_federation(asked.source):
            raise ConfigError(
                f"`{_name(asked.source)}` is a workflow function, and there is no learner",
                mend=f"Add one: {CALL}({_name(asked.source)}, sites, learner=...).",
            )
        if workflow is None or (isinstance(workflow, str) and workflow in BUILT_IN):
            return asked.source, None
        if callable(workflow):
            return asked.source, workflow
        raise PlanError(
            f"{CALL}: workflow: {repr(workflow)[:60]} is neither a function nor one of {', '.join(BUILT_IN)}",
            mend="Give the function itself.",
        )
    if workflow is not None:
        raise ConfigError("there are two workflows: the first argument and workflow=", mend="Give one.")
    if not callable(asked.learner):
        raise ConfigError(
            f"learner= is a {type(asked.learner).__name__}", mend="Give a function that makes a learner."
        )
    return asked.learner, asked.source


def _takes_federation(function: Callable[..., Any]) -> bool:
    try:
        first = next(iter(inspect.signature(function).parameters.values()), None)
    except (TypeError, ValueError):  # of built-in functions and of classes that do not say
        return False
    kind = getattr(first.annotation, "__name__", first.annotation) if first else ""
    return first is not None and (first.name == "federation" or str(kind).endswith("Federation"))


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _plan_name(function: Callable[..., Any]) -> str:
    return re.sub(r"[^a-z0-9]+", "-", _name(function).lower())[:63].strip("-") or "learner"


def _write_files(settings: dict[str, Any], folder: Path) -> None:
    """Write the files that a plan has to name: the functions themselves are in no file."""
    lines = ['"""Stands for functions of a session of Python, which are in no file."""']
    lines += [f"\n\ndef {name}(_: object) -> None: ..." for name in ("learner", "workflow")]
    (folder / f"{STUB}.py").write_text("\n".join([*lines, ""]), "utf-8")
    first = settings.get("initial_model")
    if not isinstance(first, str) or not first.endswith(".safetensors"):
        return
    path = given_path(first, "initial_model")
    if not path.is_file():
        raise PlanError(f"{CALL}: initial_model: there is no file {path.absolute()}", mend="Check the path.")
    shutil.copyfile(path, folder / _INITIAL)
    settings["initial_model"] = _INITIAL
