"""The schema of a file of settings as something to walk: which keys, of what kind, with what default."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

from hanse.config.dialect import Loc

NAME = "NAME"
"""Stands in a path for a key that is the author's own, such as the name of a task."""

ITEM = 0
"""Stands in a path for any place in a list."""


@dataclass(frozen=True, slots=True)
class Node:
    """One place in a schema.

    Attributes:
        spec: The JSON schema of what may stand there, with references and `null` resolved.
        required: Whether the table around it has to have it.
    """

    spec: Mapping[str, Any]
    required: bool
    _definitions: Mapping[str, Any]

    @staticmethod
    @lru_cache(64)  # a plan's takes 30 ms, and every command needs it several times
    def of(model: type[BaseModel]) -> Node:
        """The schema of a model, from its top."""
        spec = model.model_json_schema()
        return Node(spec, True, spec.get("$defs", {}))

    @property
    def keys(self) -> dict[str, Node]:
        """The keys that may stand here, in order; empty where it is no table with known keys."""
        required = self.spec.get("required", ())
        return {
            key: self._child(spec, required=key in required)
            for key, spec in self.spec.get("properties", {}).items()
        }

    @property
    def entry(self) -> Node | None:
        """What each item of a list is, or each value of a table with names of the author's own."""
        specs = [self.spec.get("items"), *self.spec.get("patternProperties", {}).values()]
        specs.append(self.spec.get("additionalProperties"))
        return next((self._child(spec, required=False) for spec in specs if isinstance(spec, dict)), None)

    def at(self, loc: Loc) -> Node | None:
        """The place that keys, indices and names of variants lead to; None where nothing is known of it."""
        here: Node | None = self
        for part in loc:
            if here is None:
                return None
            here = here.variants.get(str(part)) or here.keys.get(str(part)) or here.entry
        return here

    @property
    def variants(self) -> dict[str, Node]:
        """What may stand here, by the name that an author chooses it by; empty where there is no choice."""
        chosen = self.spec.get("discriminator", {}).get("mapping", {})
        return {name: self._child({"$ref": ref}, required=False) for name, ref in chosen.items()}

    def tables(self, loc: Loc = ()) -> Iterator[tuple[Loc, Node]]:
        """Every table with known keys, from here down, and where it stands."""
        if self.keys:
            yield loc, self
        for key, node in self.keys.items():
            yield from node.tables((*loc, key))
        if self.entry is not None:
            yield from self.entry.tables((*loc, ITEM if self.spec.get("type") == "array" else NAME))

    def _child(self, spec: Mapping[str, Any], *, required: bool) -> Node:
        own = {key: value for key, value in spec.items() if key not in ("$ref", "anyOf", "allOf")}
        inner = [*spec.get("anyOf", ()), *spec.get("allOf", ())]
        if "$ref" in spec:
            inner.append(self._definitions[spec["$ref"].removeprefix("#/$defs/")])
        for choice in inner:
            if choice.get("type") != "null":
                own = {**self._child(choice, required=required).spec, **own}
        return Node(own, required, self._definitions)


def spell(loc: Loc) -> str:
    """Write where something stands: `tasks.train.discloses.metrics[0]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return text.removeprefix(".")
