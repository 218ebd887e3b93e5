"""Masked updates that have come: any words may be there, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.updates.secure_sums.plans import UPDATE, plan_of

from hanse.core.plan.group_tensors import Received
from hanse.core.values.parameters import TensorSpec
from hanse.core.values.update import Update
from hanse.errors import DisclosureError, UpdateError
from hanse.updates.incoming import check_incoming, fold, fold_cells, open_incoming
from hanse.updates.origin import Origin
from hanse.updates.secure_sums.opened import CellWords

RECEIVED = Received({"w": TensorSpec((6,), "float32")})
PLAN = plan_of(UPDATE, compression={"upload": ("bf16",), "smallest": 1})
ORIGIN = Origin(PLAN, "train", "a", 1, RECEIVED)
MASKED = {"masked": np.arange(8, dtype=np.uint32)}
"""`#examples`, `#clipped` and six numbers."""


def test_any_words_of_the_right_number_are_taken_as_they_are() -> None:
    check_incoming(MASKED, ORIGIN)

    assert open_incoming(MASKED, ORIGIN) is MASKED


def test_an_update_that_is_not_masked_is_refused() -> None:
    with pytest.raises(DisclosureError, match="task train at a is not one vector"):
        check_incoming({"w": np.zeros(6, np.float32)}, ORIGIN)


def test_masked_answers_are_not_folded_as_plain_ones() -> None:
    with pytest.raises(ValueError, match="masked"):
        fold(PLAN, "train", [Update("a", 1, {}, MASKED)])


def test_without_a_complete_cell_there_is_no_sum() -> None:
    with pytest.raises(UpdateError, match="no cell is complete"):
        fold_cells(PLAN, "train", RECEIVED, [])


def test_noise_is_not_taken_for_a_sum() -> None:
    noise = np.random.default_rng(1).integers(2**32, size=8, dtype=np.uint32)

    with pytest.raises(UpdateError, match="a coordinate that no members have"):
        fold_cells(PLAN, "train", RECEIVED, [CellWords("all", ("a", "b", "c", "d"), "0" * 64, noise)])
