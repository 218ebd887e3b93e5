"""Schedules that once went wrong."""

from __future__ import annotations

import pytest
from tests.deterministic.core_world import CoreWorld
from tests.deterministic.regressions import CORE


@pytest.mark.parametrize("seed", CORE)
def test_what_went_wrong_around_the_core_does_not_any_more(seed: int) -> None:
    CoreWorld(seed).run()
