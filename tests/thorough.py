"""How much of all that could be tried the tests try: a sample, or everything where THOROUGH=1 is set."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

THOROUGH = os.environ.get("THOROUGH") == "1"


def examples(thorough: int) -> int:
    """How many examples of a property Hypothesis tries: a quarter, of other random ones at each run."""
    return thorough if THOROUGH else max(10, thorough // 4)


def sample(cases: Sequence[T], most: int) -> list[T]:
    """At most so many of the cases, always the same ones and in their order, or all."""
    if THOROUGH or len(cases) <= most:
        return list(cases)
    chosen = sorted(random.Random(0).sample(range(len(cases)), most))
    return [cases[number] for number in chosen]
