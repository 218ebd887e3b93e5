"""Plans and settings as text for people: durations and sizes with their units, defaults left out."""

from __future__ import annotations

import textwrap
from typing import Any

from hanse.config.dialect import dump
from hanse.config.schema import Node
from hanse.config.units import format_duration, format_size
from hanse.core.plan.plan import Plan
from hanse.core.values.schema import Strict


def to_yaml(plan: Plan) -> str:
    """Write a plan as its author would: in the order of the schema, without what is default anyway.

    Reading it gives back the same plan.
    """
    return dump(non_default_values(plan))


def non_default_values(model: Strict) -> dict[str, Any]:
    """What a model holds beyond its defaults, readable."""
    top = Node.of(type(model))
    own = _with_names(
        model.model_dump(mode="json", exclude_defaults=True), model.model_dump(mode="json"), top
    )
    return dict(readable(own, top))


def _with_names(own: Any, whole: Any, node: Node | None) -> Any:
    """Put back what a choice is made by: it is its kind's default, and yet says which kind it is.

    Args:
        own: What is not default.
        whole: The same with the defaults.
        node: Its schema.
    """
    if node is None:
        return own
    if isinstance(own, list):
        return [_with_names(part, all_of_it, node.entry) for part, all_of_it in zip(own, whole, strict=True)]
    if not isinstance(own, dict):
        return own
    key = node.spec.get("discriminator", {}).get("propertyName")
    kind = node.variants[whole[key]] if key else node
    named = {key: whole[key]} if key else {}
    return named | {
        name: _with_names(part, whole[name], kind.at((name,))) for name, part in own.items() if name != key
    }


def readable(value: Any, node: Node | None) -> Any:
    """Write durations and sizes with their units, wherever they stand in a JSON value."""
    if node is None or value is None:
        return value
    if isinstance(value, dict):
        return {key: readable(inner, node.at((key,))) for key, inner in value.items()}
    match node.spec.get("format"):
        case "duration":
            return format_duration(value)
        case "size":
            return format_size(value)
        case _:
            return value


def commented(model: Strict, heading: str) -> str:
    """Write settings with every key that there is: its description above, defaults commented out.

    Reading it gives back the same settings.

    Args:
        model: The settings.
        heading: What stands at the top, to tell what the file is.
    """
    top = Node.of(type(model))
    lines = _table(readable(model.model_dump(mode="json"), top), non_default_values(model), top)
    return "\n".join([*_comment(heading), "", *lines, ""])


def _table(values: dict[str, Any], own: dict[str, Any], node: Node) -> list[str]:
    """The lines of one table.

    Args:
        values: All of its values.
        own: Those that are not default.
        node: Its schema.
    """
    lines: list[str] = []
    for key, child in node.keys.items():
        lines += ["", *_comment(child.spec["description"])]
        if child.keys and values[key] is not None:
            lines += [
                f"{key}:",
                *(f"  {line}".rstrip() for line in _table(values[key], own.get(key, {}), child)),
            ]
        else:
            mark = "" if key in own or child.required else "# "
            lines += [mark + line for line in dump({key: values[key]}).splitlines()]
    return lines[1:]


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, 98)]
