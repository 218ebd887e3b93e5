"""The local rules that a plan can name: from its entries to rules, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from hanse.core.plan.local_rules import LocalEntry
from hanse.local.base import LocalRule
from hanse.local.clip import Clip
from hanse.local.control_variates import ControlVariates
from hanse.local.dynamic import Dynamic
from hanse.local.normalise import Normalise
from hanse.local.proximal import Proximal

RULES: Mapping[str, type[Any]] = {
    kind.name: kind for kind in (Proximal, ControlVariates, Dynamic, Normalise, Clip)
}
"""Each rule by its name in a plan; its settings are those of the plan's entry."""


def local_rules(entries: Sequence[LocalEntry]) -> tuple[LocalRule, ...]:
    """The rules that a task of a plan names."""
    return tuple(made(entry.model_dump()) for entry in entries)


def made(entry: Mapping[str, Any]) -> LocalRule:
    """The rule of an entry that was checked: its name and settings.

    Raises:
        KeyError: No rule has this name.
        ValueError: A setting is out of its range.
    """
    settings = {key: value for key, value in entry.items() if key != "name"}
    rule: LocalRule = RULES[entry["name"]](**settings)
    return rule


def written(rule: Any) -> dict[str, Any]:
    """A rule as the entry that `made` reads."""
    return {"name": rule.name, **asdict(rule)}
