"""Schedules that once went wrong."""

from __future__ import annotations

import pytest
from tests.deterministic.core_world import CoreWorld
from tests.deterministic.regressions import CORE, SERVICE
from tests.deterministic.service_world import ServiceWorld


@pytest.mark.parametrize("seed", CORE)
def test_what_went_wrong_around_the_core_does_not_any_more(seed: int) -> None:
    CoreWorld(seed).run()


@pytest.mark.parametrize("seed", SERVICE)
def test_what_went_wrong_between_services_does_not_any_more(seed: int) -> None:
    ServiceWorld(seed).run()
