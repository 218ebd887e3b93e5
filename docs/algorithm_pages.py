"""The parts of the page on algorithms that are made from the registry: the shelf, methods and settings."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from hanse.algorithms.base import Algorithm
from hanse.algorithms.examples import EXAMPLES, written
from hanse.algorithms.masked_sums import needs_of_masks
from hanse.algorithms.registry import ALGORITHMS
from hanse.core.plan.built_in import BUILT_IN
from hanse.core.values.wording import named

Table = Callable[[Iterable[str], Iterable[Iterable[str]]], str]

_KINDS = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}
_BOUNDS = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}


def algorithm_tables(table: Table) -> str:
    """One table a field: each algorithm with its settings, what travels, what stays, and its paper."""
    fields: dict[str, list[Algorithm]] = {}
    for algorithm in ALGORITHMS.values():
        fields.setdefault(algorithm.field, []).append(algorithm)
    told = ("what travels", "sums are enough", "masked sums", "what stays at the site", "results")
    head = ("algorithm", "settings", *told)
    parts = (
        f"### {field.capitalize()}\n\n{table((*head, 'paper'), map(_shelved, shelf))}"
        for field, shelf in fields.items()
    )
    return "\n".join(parts).rstrip()


def _shelved(algorithm: Algorithm) -> list[str]:
    return [
        f"[`{algorithm.name}`](#{algorithm.name})" if _own_settings(algorithm) else f"`{algorithm.name}`",
        ", ".join(f"`{name}`" for name in _own_settings(algorithm)),
        algorithm.travels,
        "yes" if algorithm.sums_suffice else "no",
        needs_of_masks(algorithm),
        algorithm.stays,
        algorithm.results or "the model",
        algorithm.paper,
    ]


def _own_settings(algorithm: Algorithm) -> list[str]:
    return [name for name in algorithm.settings.model_fields if name != "rule"]


# -------------------------------------------------------------------- methods


def method_table(table: Table) -> str:
    """Methods that algorithms ask beside those of federated averaging, with what they receive and give."""
    rows = (row for algorithm in ALGORITHMS.values() for row in _methods(algorithm))
    return table(("algorithm", "method", "receives", "gives"), rows).rstrip()


def _methods(algorithm: Algorithm) -> Iterator[list[str]]:
    keys = algorithm.keys(algorithm.settings.model_validate(EXAMPLES.get(algorithm.name, {})))
    numbers = BUILT_IN[keys["workflow"]].numbers
    for name, task in keys.get("tasks", {}).items():
        receives = task.get("receives", ["model"])
        groups = task.get("discloses", {}).get("groups", {})
        by_rule = "local" in task and name == "train"
        if by_rule or (name in ("train", "evaluate") and not groups and receives == ["model"]):
            continue
        given = "; ".join(f"{_group(keys, group)}: {numbers[group]}" for group in groups)
        if not given:
            given = "the trained model, as ever" if name == "train" else "metrics, and nothing of the model"
        yield [
            f"`{algorithm.name}`",
            f"`{name}`",
            named([f"`{group}`" if group == "model" else _group(keys, group) for group in receives])
            or "nothing",
            given,
        ]


def _group(keys: Mapping[str, Any], group: str) -> str:
    """A group with its arrays: `survival` (`events`, `leaving`)."""
    arrays = [name for name, shape in keys["groups"][group].items() if isinstance(shape, Mapping)]
    return f"`{group}`" + (f" ({', '.join(f'`{name}`' for name in arrays)})" if arrays else "")


# ------------------------------------------------------------------- settings


def settings_tables(table: Table) -> str:
    """A table for each algorithm that has settings: name, value, default and meaning, and an example."""
    return "\n".join(_settings(algorithm, table) for algorithm in ALGORITHMS.values()).strip()


def _settings(algorithm: Algorithm, table: Table) -> str:
    names = _own_settings(algorithm)
    if not names:
        return ""
    properties = algorithm.settings.model_json_schema()["properties"]
    required = algorithm.settings.model_json_schema().get("required", ())
    rows = (
        [
            f"`{name}`",
            _kind(properties[name]),
            "required" if name in required else _default(properties[name]),
            properties[name].get("description", ""),
        ]
        for name in names
    )
    example = written(algorithm.name, EXAMPLES.get(algorithm.name, {}))
    tables = table(("setting", "value", "default", ""), rows)
    return f"### {algorithm.name}\n\n`algorithm: {example}`\n\n{tables}"


def _default(spec: Mapping[str, Any]) -> str:
    default = spec.get("default")
    return "unset" if default is None else f"`{default if isinstance(default, str) else json.dumps(default)}`"


def _kind(spec: Mapping[str, Any]) -> str:
    match spec:
        case {"anyOf": choices}:
            kinds = dict.fromkeys(_kind(choice) for choice in choices if choice.get("type") != "null")
            return " or ".join(kinds)
        case {"$ref": _}:
            return "column of categories"
        case {"enum": values}:
            return ", ".join(f"`{value}`" for value in values)
        case {"type": "array", "prefixItems": items}:
            return " and ".join(_kind(item) for item in items)
        case {"type": "array", "items": items}:
            return f"list: {_kind(items)}"
        case {"type": "object"}:
            inner = [*spec.get("patternProperties", {}).values(), spec.get("additionalProperties")]
            return f"by column: {_kind(next(each for each in inner if isinstance(each, dict)))}"
        case _:
            bounds = [f"{word} {spec[bound]:,}" for bound, word in _BOUNDS.items() if bound in spec]
            return " ".join([_KINDS[spec["type"]], *bounds])
