"""Requests of a workflow under secure aggregation: no single site, and whole cells."""

import pytest
from tests.unit.core.plan.privacy.secure_plans import TRAIN, secure_plan

from hanse.core.plan.asked_inputs import within_cells
from hanse.core.plan.disclosure import check_asked
from hanse.core.plan.exchange_limits import may_stream
from hanse.errors import DisclosureError

TASKS = {"train": TRAIN, "evaluate": {"discloses": {"metrics": ["loss"]}}}
CELLS = {"north": ["a", "b", "c", "d"], "south": ["e", "f", "g", "h"]}


def test_no_single_site_is_asked_for_what_is_masked_metrics_included() -> None:
    for task in TASKS:
        with pytest.raises(DisclosureError, match=f"{task!r} is summed masked over whole cells"):
            check_asked(secure_plan(tasks=TASKS), task, 1, individually=True)
        check_asked(secure_plan(tasks=TASKS), task, 1, individually=False)


def test_what_is_masked_is_not_streamed() -> None:
    assert not may_stream(secure_plan(tasks=TASKS), "evaluate")
    assert may_stream(secure_plan({"in_the_open": ["evaluate"]}, tasks=TASKS), "evaluate")


def test_a_cell_of_which_a_site_is_missing_is_left_out_as_a_whole() -> None:
    assert within_cells(secure_plan(cells=CELLS), "abcdefg", None) == ("a", "b", "c", "d")
    assert within_cells(secure_plan(cells=CELLS), "abcdefgh", ("south",)) == ("e", "f", "g", "h")
