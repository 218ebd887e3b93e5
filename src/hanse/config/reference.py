"""The reference pages of plan and settings, written from their schemas."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hanse.config.schema import Node, spell
from hanse.config.settings import (
    AGGREGATOR_FILE,
    OPERATOR_FILE,
    SITE_FILE,
    AggregatorSettings,
    OperatorSettings,
    SiteSettings,
)
from hanse.config.write import readable
from hanse.core.plan.local_rules import LOCAL_RULES
from hanse.core.plan.plan import Plan
from hanse.core.plan.section import SINCE
from hanse.core.plan.transforms import TRANSFORMS
from hanse.core.values.schema import Strict

_KINDS = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "object": "table",
}
_FORMATS = {
    "duration": "duration (`90s`, `30m`, `1.5h`)",
    "size": "size (`512MB`, `8GB`, `1GiB`)",
    "rest": "`10 rounds`, or a duration with its unit",
}


def plan_reference() -> str:
    """The reference of `plan.yaml`, in Markdown."""
    intro = (
        "A plan is one YAML file beside the code that it names. What is not listed here is refused. "
        "Durations are numbers of seconds, or have a unit: ms, s, m, h, d. "
        "`algorithm: {name: fedprox, mu: 0.01}`, or a name alone, stands for other keys, which replace it "
        "when the file is read: see [Algorithms](../algorithms.md)."
    )
    return f"# Plan\n\n{intro}\n\n{tables_of('plan.yaml', Plan)}\n{_local_rules()}\n\n{_transforms()}"


def settings_reference() -> str:
    """The reference of `site.yaml`, `aggregator.yaml` and `operator.yaml`, in Markdown."""
    intro = (
        "Each party has one YAML file of settings. What is not listed here is refused. "
        "Sizes are numbers of bytes, or have a unit: B, kB, MB, GB, TB, KiB, MiB, GiB, TiB."
    )
    files: dict[str, type[Strict]] = {
        SITE_FILE: SiteSettings,
        AGGREGATOR_FILE: AggregatorSettings,
        OPERATOR_FILE: OperatorSettings,
    }
    return "\n".join([f"# Settings\n\n{intro}\n", *(tables_of(file, model) for file, model in files.items())])


def tables_of(file: str, model: type[Strict]) -> str:
    """Write one Markdown table for each table of a schema.

    Args:
        file: Heading of the top table.
        model: The schema.
    """
    parts = []
    for loc, node in Node.of(model).tables():
        heading = f"## {file}" if not loc else f"### {spell(loc)}"
        parts += [
            heading,
            "",
            node.spec["description"],
            "",
            "| key | value | default | |",
            "| --- | --- | --- | --- |",
        ]
        parts += [_row(key, child) for key, child in node.keys.items()]
        parts.append("")
    return "\n".join(parts)


def _transforms() -> str:
    """One Markdown table for the entries of the lists under `compression`."""
    intro = (
        "An entry of `compression` is a name, or a table with the name and settings: "
        "`[int8, {name: zstd, level: 9}]`. [Compression](../compression.md) says how to choose."
    )
    return _named_entries("Transforms", intro, TRANSFORMS)


def _local_rules() -> str:
    """One Markdown table for the entries of `local` of a task."""
    intro = (
        "An entry of `local` is a name, or a table with the name and settings: "
        "`[{name: proximal, mu: 0.01}]`. [Local rules](../local-rules.md) says what they compute."
    )
    return _named_entries("Local rules", intro, LOCAL_RULES)


def _named_entries(title: str, intro: str, models: Sequence[type[Strict]]) -> str:
    lines = [
        f"### {title}",
        "",
        intro,
        "",
        "| name, settings | value | default | |",
        "| --- | --- | --- | --- |",
    ]
    for model in models:
        node = Node.of(model)
        name = node.keys["name"].spec["const"]
        lines.append(f"| `{name}` | | | {node.spec['description']} |")
        lines += [_row(f"{name}: {key}", child) for key, child in node.keys.items() if key != "name"]
    return "\n".join(lines)


def _row(key: str, node: Node) -> str:
    description = node.spec.get("description", "")
    if SINCE in node.spec:
        description = f"{description} Since {node.spec[SINCE]}.".lstrip()
    cells = (f"`{key}`", _kind(node), _default(node), description)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _kind(node: Node) -> str:
    """What may stand there: its kind and range."""
    spec, entry = node.spec, node.entry
    if "enum" in spec:
        return ", ".join(f"`{choice}`" for choice in spec["enum"])
    if "format" in spec:
        return _FORMATS.get(spec["format"], str(spec["format"]))
    if node.keys:
        return "table, below"
    if entry is None:
        return " ".join([_KINDS.get(spec.get("type", ""), "anything"), *_range(spec)])
    shape = "list" if spec["type"] == "array" else "by name"
    return f"{shape}: {_kind(entry)}"


def _range(spec: Mapping[str, Any]) -> Iterator[str]:
    words = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
    for bound, word in words.items():
        if bound in spec:
            yield f"{word} {spec[bound]:,}"


def _default(node: Node) -> str:
    if node.required:
        return "required"
    default = readable(node.spec.get("default"), node)
    if default is None:
        return "unset" if "default" in node.spec else ""
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"
