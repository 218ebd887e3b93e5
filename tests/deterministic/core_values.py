"""In place of tensors: digests that are others wherever anything that went into them is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from hanse.core.values.model_ref import ModelRef


def value_of(*parts: Any) -> str:
    """A digest of all parts."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def result_of(model: ModelRef) -> str:
    """The result that is committed with a model."""
    return value_of("result", model.digest)


def first_model(site: str) -> str:
    """What a site gives where the plan brings no model."""
    return value_of("first", site)


def update_of(site: str, round_number: int, task: str, model: ModelRef) -> str:
    """What a task comes to: the same whenever it is performed again."""
    return value_of("update", site, round_number, task, model.digest)


def examples_of(site: str) -> int:
    """How much data a site has."""
    return 10 + ord(site)


def sum_of(updates: Mapping[str, str]) -> str:
    """In place of a fold: every update with its weight, in site order."""
    return value_of("sum", [(site, update, examples_of(site)) for site, update in sorted(updates.items())])


def next_model(model: ModelRef, aggregate: str) -> ModelRef:
    """In place of a server optimiser."""
    return ModelRef(value_of("model", model.digest, aggregate))
