"""The key `algorithm` of a plan file, replaced by the keys that it stands for."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

from hanse.algorithms.base import Algorithm, Keys
from hanse.algorithms.examples import EXAMPLES, written
from hanse.algorithms.masked_sums import with_ranges
from hanse.algorithms.registry import ALGORITHMS
from hanse.config.dialect import Loc
from hanse.config.document import Document
from hanse.config.schema import spell
from hanse.core.values.wording import named
from hanse.errors import PlanError

ALGORITHM = "algorithm"
_EVALUATE = "evaluate"


def expanded(document: Document) -> Document:
    """The same plan without the key `algorithm`, with the keys that it stands for.

    Keys that the author wrote stay as they are; lists of metrics are put together.

    Args:
        document: The plan as it was written, not yet checked; one without the key is returned as it is.

    Raises:
        PlanError: The algorithm is not known, a setting is wrong, or the plan contradicts the algorithm.
    """
    if ALGORITHM not in document.value:
        return document
    given = document.value[ALGORITHM]
    name, settings = _named(given, document)
    algorithm = ALGORITHMS[name]
    _check_complete(algorithm, settings, document)
    checked = _part(document, settings, algorithm.settings.model_fields).check(algorithm.settings)
    plan = {key: value for key, value in document.value.items() if key != ALGORITHM}
    problems = _unwritten(algorithm, plan)
    try:
        own = algorithm.keys(checked)
        value = _filled(plan, _measuring(algorithm, own, plan), (), name, problems)
        value = with_ranges(name, own, value)
    except PlanError as error:
        problems.append(str(error))
    if problems:
        raise document.refusal([f"{document.place((ALGORITHM,))}: {problem}" for problem in problems])
    line = document.lines.get((ALGORITHM,), 0)
    new = {(key,): line for key in value if key not in plan} if line else {}
    lines = {loc: number for loc, number in document.lines.items() if loc[:1] != (ALGORITHM,)}
    return replace(document, value=value, lines=lines | new)


def _named(given: Any, document: Document) -> tuple[str, dict[str, Any]]:
    """The algorithm's name and settings, of a name alone or of a table with the name."""
    place = document.place((ALGORITHM,))
    settings = {"name": given} if isinstance(given, str) else given
    if not isinstance(settings, dict) or not isinstance(settings.get("name"), str):
        raise document.refusal(
            [f"{place}: should be a name, or a table with a name: `{{name: fedprox, mu: 0.01}}`"]
        )
    name = settings["name"]
    if name not in ALGORITHMS:
        close = difflib.get_close_matches(name[:100], ALGORITHMS, n=1)
        hint = f"did you mean `{close[0]}`?" if close else f"known are {', '.join(ALGORITHMS)}"
        raise document.refusal([f"{place}: `{name[:100]}` is not a known algorithm; {hint}"])
    return name, {key: value for key, value in settings.items() if key != "name"}


def _check_complete(algorithm: Algorithm, settings: Keys, document: Document) -> None:
    """Refuse settings that lack any without a default, all of them at once."""
    fields = algorithm.settings.model_fields
    missing = [f"`{name}`" for name, field in fields.items() if field.is_required() and name not in settings]
    if missing and set(settings) <= set(fields):
        name, example = algorithm.name, EXAMPLES[algorithm.name]
        line = f"algorithm: {written(name, example)}"
        if not document.lines:  # of a session of Python
            line = f"algorithm={json.dumps({'name': name, **example})}"
        raise document.refusal(
            [f"{document.place((ALGORITHM,))}: {name} lacks {named(missing)}; write for example `{line}`"]
        )


def _part(document: Document, settings: dict[str, Any], known: Iterable[str]) -> Document:
    """The table of the algorithm's settings as a document of its own, with the lines of the file."""
    line = document.lines.get((ALGORITHM,), 0)
    missing = {(key,): line for key in known if key not in settings}
    there = {loc[1:]: line for loc, line in document.lines.items() if loc[:1] == (ALGORITHM,) and loc[1:]}
    return replace(document, value=settings, lines=missing | there)


def _unwritten(algorithm: Algorithm, plan: Keys) -> list[str]:
    """The tasks that the author has to write and has not: a short name does not say what a task discloses."""
    tasks = plan.get("tasks")
    return [
        f"algorithm {algorithm.name} adds to the task `{task}`, which the plan does not have: write it under "
        "`tasks`, with what it discloses"
        for task in algorithm.changes
        if not (isinstance(tasks, Mapping) and task in tasks)
    ]


def _measuring(algorithm: Algorithm, wanted: Keys, plan: Keys) -> Keys:
    """The keys of an algorithm, with the metrics of `evaluate` in those of its tasks that measure too."""
    if not algorithm.measures:
        return wanted
    tasks = dict(wanted["tasks"])
    for name in algorithm.measures:
        metrics = dict.fromkeys([*_metrics(wanted, name), *_metrics(plan, _EVALUATE)])
        tasks[name] = {**tasks[name], "discloses": {"metrics": list(metrics)}}
    return {**wanted, "tasks": tasks}


def _metrics(keys: Keys, task: str) -> list[Any]:
    here: Any = keys
    for key in ("tasks", task, "discloses", "metrics"):
        here = here.get(key) if isinstance(here, Mapping) else None
    return here if isinstance(here, list) else []


def _filled(there: Keys, wanted: Keys, loc: Loc, name: str, problems: list[str]) -> dict[str, Any]:
    """A table with the keys that it lacks; notes each key that has another value than is wanted."""
    filled = dict(there)
    for key, value in wanted.items():
        place, old = (*loc, key), there.get(key)
        if old is None:
            filled[key] = deepcopy(value)
        elif isinstance(old, Mapping) and isinstance(value, Mapping):
            filled[key] = _filled(old, value, place, name, problems)
        elif place[-2:] == ("discloses", "metrics") and isinstance(old, list):
            filled[key] = [*old, *(metric for metric in value if metric not in old)]
        elif json.dumps(old) != json.dumps(value):
            problems.append(
                f"algorithm {name} stands for `{spell(place)}: {_text(value)}`, and the plan has "
                f"`{_text(old)}` there: leave one of the two out"
            )
    return filled


def _text(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:80]}..."
