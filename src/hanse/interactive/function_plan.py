"""Plans of functions: keys that the keywords leave out, and the algorithm that they name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hanse.algorithms import presets
from hanse.algorithms.registry import ALGORITHMS
from hanse.config.document import Document
from hanse.core.plan.built_in import BUILT_IN
from hanse.errors import PlanError

CALL = "hanse.simulate"
"""The place of keywords, for messages."""

_TRAIN, _EVALUATE = "train", "evaluate"
_DISCLOSED = {_TRAIN: {"update": "aggregate", "aggregated_by": "aggregator"}}
"""Disclosures of tasks for which the keywords name none; the metrics that they report are added."""
_METRICS = "metrics"
_GOALS = ("keep_best", "early_stop")


def completed(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> tuple[Document, frozenset[str]]:
    """A plan of what the keywords say, what their algorithm stands for, and what both leave out.

    Args:
        settings: Keys of the plan, with the key `algorithm` perhaps.
        defaults: Values of keys that neither the keywords nor the algorithm have.

    Returns:
        The plan, not yet checked; and the tasks of which the metrics are those that the learner reports.

    Raises:
        PlanError: The algorithm is not known, a setting is wrong, or the keywords contradict it.
    """
    settings = dict(settings)
    tasks = settings.pop("tasks", None)
    written = {name: {} for name in _changed_tasks(settings)} if tasks is None else tasks
    if not isinstance(written, dict) or not all(isinstance(task, dict) for task in written.values()):
        settings["tasks"] = written  # which the schema refuses
        return _document(settings, defaults), frozenset()
    opened = _open(written)
    if written or tasks is not None:
        settings["tasks"] = _disclosing(written)
    document = _document(settings, defaults)
    there = document.value.get("tasks", {})
    if tasks is None and (
        not there or _TRAIN in there or document.value.get("workflow", "fedavg") == "fedavg"
    ):
        added: dict[str, dict[str, Any]] = {name: {} for name in (_TRAIN, _EVALUATE) if name not in there}
        opened |= _open(added)
        document.value["tasks"] = {**there, **_disclosing(added)}
    opened |= _opened_by_algorithm(settings, written, document.value)
    _check_individual(document.value, written)
    _disclose_goals(document.value, opened)
    return document, opened


def _document(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> Document:
    document = presets.expanded(Document(CALL, dict(settings), {}, PlanError))
    return Document(CALL, {**defaults, **document.value}, {}, PlanError)


def _changed_tasks(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Tasks that an algorithm leaves to the author of a plan to write."""
    given = settings.get(presets.ALGORITHM)
    name = given.get("name") if isinstance(given, dict) else given
    return ALGORITHMS[name].changes if isinstance(name, str) and name in ALGORITHMS else ()


def _opened_by_algorithm(
    settings: Mapping[str, Any], written: Mapping[str, Any], plan: dict[str, Any]
) -> frozenset[str]:
    """Tasks of the algorithm that measure, where neither its settings nor the keywords say their metrics."""
    given = settings.get(presets.ALGORITHM)
    if given is None or (isinstance(given, Mapping) and _METRICS in given):
        return frozenset()
    measures = ALGORITHMS[given["name"] if isinstance(given, Mapping) else given].measures
    opened = frozenset(name for name in measures if _METRICS not in _disclosure(written.get(name, {})))
    for name in opened:
        plan["tasks"][name]["discloses"] = {**plan["tasks"][name]["discloses"], _METRICS: []}
    return opened


def _check_individual(plan: Mapping[str, Any], written: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse a workflow that needs each site's own update, where the keywords do not say that it is shown."""
    workflow = plan.get("workflow", "fedavg")
    needs = BUILT_IN[workflow].tasks if isinstance(workflow, str) and workflow in BUILT_IN else {}
    for name, task in needs.items():
        if task.update == ("individual",) and "discloses" not in written.get(name, {}):
            others = "".join(f', "{other}": {{}}' for other in plan["tasks"] if other != name)
            raise PlanError(
                f"{CALL}: workflow {workflow} sees each site's own update, and by default it sees their sum",
                mend=f'Add: tasks={{"{name}": {{"discloses": {{"update": "individual"}}}}{others}}}',
            )


def _open(tasks: Mapping[str, Mapping[str, Any]]) -> frozenset[str]:
    return frozenset(name for name, task in tasks.items() if _METRICS not in _disclosure(task))


def _disclosure(task: Mapping[str, Any]) -> Mapping[str, Any]:
    said = task.get("discloses", {})
    # What is not a table the schema refuses.
    return said if isinstance(said, Mapping) else {_METRICS: ()}


def _disclosing(tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: {"discloses": dict(_DISCLOSED.get(name, {})), **task} for name, task in tasks.items()}


def _disclose_goals(plan: dict[str, Any], opened: frozenset[str]) -> None:
    """Declare the metrics that the run is to be judged by, of the task that measures the averaged model."""
    goals = [plan[key].get("metric") for key in _GOALS if isinstance(plan.get(key), dict)]
    measuring = next((name for name in (_EVALUATE, _TRAIN) if name in opened), None)
    if measuring is None:
        return
    metrics = plan["tasks"][measuring]["discloses"].setdefault("metrics", [])
    metrics += sorted({goal for goal in goals if isinstance(goal, str)} - set(metrics))
