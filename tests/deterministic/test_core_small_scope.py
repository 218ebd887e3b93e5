"""Small runs, in every way in which they can go."""

from __future__ import annotations

from typing import Any

import pytest
from tests.deterministic.core_small_scope import FIRST, Budget, begin, explore
from tests.deterministic.core_values import next_model, sum_of, update_of

from hanse.core.values.model_ref import ModelRef

pytestmark = pytest.mark.slow


def model_of(*sites: str) -> ModelRef:
    return next_model(FIRST, sum_of({site: update_of(site, 1, "train", FIRST) for site in sites}))


BOTH = (("a", "b"), model_of("a", "b"))
ONE_OF_TWO: dict[str, Any] = {"quorum": 0.5}


@pytest.mark.parametrize(
    "faults",
    [
        Budget(crashes=2),
        Budget(crashes=1, losses=1, duplicates=1),
        Budget(crashes=1, deaths=1, forgeries=1),
        Budget(crashes=1, failures=1),
        Budget(crashes=1, waits=3),
        Budget(failures=2, duplicates=1),
    ],
    ids=str,
)
def test_where_both_sites_are_needed_every_way_ends_with_the_one_model(faults: Budget) -> None:
    found = explore(begin(faults))

    assert found.ends == {BOTH}
    assert not found.stuck


@pytest.mark.parametrize(
    "faults", [Budget(failures=1, duplicates=1), Budget(waits=2, crashes=1), Budget(leaves=1)], ids=str
)
def test_where_one_site_is_enough_every_way_ends_with_the_model_of_who_took_part(faults: Budget) -> None:
    found = explore(begin(faults, **ONE_OF_TWO))

    assert found.ends <= {BOTH, (("a",), model_of("a")), (("b",), model_of("b"))}
    assert BOTH in found.ends
    assert len(found.ends) > 1
    assert not found.stuck


@pytest.mark.parametrize(
    "faults", [Budget(leaves=1, crashes=1), Budget(leaves=2), Budget(leaves=1, failures=1)], ids=str
)
def test_whoever_leaves_and_comes_back_every_run_comes_to_its_end(faults: Budget) -> None:
    assert not explore(begin(faults, minimum=2)).stuck
    assert not explore(begin(faults, minimum=1)).stuck


def test_without_a_fault_there_are_few_ways_and_one_end() -> None:
    found = explore(begin(Budget()))

    assert found.ends == {BOTH}
    assert 10 < found.states < 100
