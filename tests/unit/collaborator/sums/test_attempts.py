"""A masked task from its question to the sum of its cell."""

from __future__ import annotations

import numpy as np
from tests.unit.collaborator.sums.cells import CellSite


def test_a_result_leaves_masked_and_the_sum_of_the_cell_is_that_of_the_vectors(cell: CellSite) -> None:
    cell.exchange()

    (total,) = cell.upstream.opened
    assert np.array_equal(total, cell.q())
    assert cell.kinds == ["SumPrepared", "ReadyReleased", "RosterAccepted", "ResultReleased"]
    assert (cell.outcome.outcome, cell.outcome.num_examples, cell.outcome.metrics) == ("done", 0, {})
