"""Preparation of a result that is to be masked: what fails alike, and what never fails."""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.updates.secure_sums.plans import UPDATE, plan_of, summed
from tests.unit.updates.secure_sums.sums import context_of, mask_keys, randomness

from hanse.core.plan.group_tensors import Received
from hanse.core.plan.plan import Plan
from hanse.core.values.parameters import Array, specs
from hanse.errors import DataError, DisclosureError
from hanse.privacy.secagg.grid import signed_sum
from hanse.updates.drafts import MemoryDraft
from hanse.updates.origin import Origin
from hanse.updates.outgoing import Outgoing, release
from hanse.updates.residuals import Residuals
from hanse.updates.secure_sums.layout import sum_layout
from hanse.updates.secure_sums.masked_file import write_masked
from hanse.updates.secure_sums.prepare import prepare, prepared_words
from hanse.updates.secure_sums.vector_file import open_vector

MODEL = {"w": np.zeros(3), "n": np.zeros(2, np.int64)}
SECURE = {
    "model": {"clip": 1.0, "norm": "max", "integers": (-5, 5)},
    "examples": {"least": 8, "most": 100, "max_share": 1.0},
}
GROUPS = {"g": {"float32": [2], "range": [0, 2]}}


def plan(**told: Any) -> Plan:
    discloses = UPDATE | {"metrics": ("loss",), "groups": {"g": "mean"}}
    return plan_of(discloses, **{"secure": SECURE, "groups": GROUPS} | told)


def words(
    tensors: Mapping[str, Any], metrics: Any = None, num_examples: int = 10, **told: Any
) -> dict[str, Any]:
    """Words of q as whole numbers, by entry."""
    result = {name: np.asarray(value) for name, value in tensors.items()}
    origin = Origin(plan(**told), "train", "a", 1, Received(specs(MODEL)))
    layout = sum_layout(origin.plan, "train", origin.received)
    outgoing = Outgoing(num_examples, {"loss": 1.0} if metrics is None else metrics, MemoryDraft(result))
    made = np.concatenate(list(prepared_words(outgoing, origin, layout, context_of("all"), randomness(1))))
    return {
        name: signed_sum(made[begin : begin + entry.size], 2**31).tolist()
        for name, (entry, begin) in layout.places().items()
    }


WHOLE: dict[str, Any] = {
    "w": [0.5, -0.25, 1.0],
    "n": [3, -4],
    "@g": np.array([1, 2], np.float32),
}


def test_a_result_is_rounded_to_its_grid() -> None:
    found = words(WHOLE, num_examples=100)

    assert found["#examples"] == [100]
    assert found["w"] == [2**27, -(2**26), 2**28]
    assert found["n"] == pytest.approx([3 * 2**28 / 5, -4 * 2**28 / 5], abs=1)
    assert found["@g"] == [2**27, 2**28]
    assert (found["#clipped"], found["#out_of_range"]) == ([0], [0])


@pytest.mark.parametrize(
    ("tensors", "clipped", "out"),
    [
        ({"w": [5.0, 0, 0]}, 1, 0),
        ({"n": [6, 0]}, 0, 1),
        ({"@g": np.array([-1, 0], np.float32)}, 0, 1),
    ],
)
def test_what_is_out_of_range_is_clipped_and_counted(tensors: Any, clipped: int, out: int) -> None:
    found = words(WHOLE | tensors, num_examples=100)

    assert (found["#clipped"], found["#out_of_range"]) == ([clipped], [out])
    assert max(map(abs, found["w"] + found["n"] + found["@g"])) <= 2**28


@pytest.mark.parametrize(
    ("tensors", "metrics", "num_examples"),
    [
        ({"w": [np.nan, 0, 0]}, None, 10),
        ({"w": [0, np.inf, 0]}, None, 10),
        ({"@g": np.array([np.inf, 0], np.float32)}, None, 10),
        ({}, {"loss": np.nan}, 10),
        ({}, {"loss": None}, 10),
        ({}, {}, 10),
        ({}, None, 7),
        ({}, None, 0),
        ({}, None, -1),
    ],
)
def test_every_reason_that_lies_in_the_data_is_one_kind_of_failure(
    tensors: Any, metrics: Any, num_examples: int
) -> None:
    with pytest.raises(DataError) as caught:
        words(WHOLE | tensors, metrics, num_examples)

    assert caught.value.code == "data"


def test_an_update_that_overflows_its_norm_is_scaled() -> None:
    secure = SECURE | {"model": {"clip": 1.0, "norm": "l2", "integers": (-5, 5)}}

    found = words(WHOLE | {"w": [3e200, 4e200, 0.0]}, num_examples=100, secure=secure)

    assert found["w"] == pytest.approx([0.6 * 2**28, 0.8 * 2**28, 0], abs=1)


@pytest.mark.parametrize(
    ("tensors", "metrics"),
    [
        ({"patients": np.ones(2)}, None),
        ({"w": np.ones(4)}, None),
        ({"w": np.ones(3, np.float32)}, None),
        ({}, {"loss": 1.0, "age": 50.0}),
    ],
)
def test_what_is_not_declared_is_refused_as_such(tensors: Any, metrics: Any) -> None:
    with pytest.raises(DisclosureError):
        words(WHOLE | tensors, metrics)


def test_nothing_that_is_masked_leaves_as_it_is(tmp_path: Path) -> None:
    origin = Origin(plan(), "train", "a", 1, Received(specs(MODEL)))
    result = Outgoing(10, {}, MemoryDraft({name: np.asarray(value) for name, value in WHOLE.items()}))

    with pytest.raises(DisclosureError, match="nothing of it leaves unmasked"):
        release(result, origin, Residuals(tmp_path))


def test_another_q_than_the_one_prepared_has_another_digest(tmp_path: Path) -> None:
    declared = plan_of(summed(groups={"n": "total"}), groups={"n": {"int64": [4], "range": [0, 9]}})
    origin = Origin(declared, "train", "a", 1, Received({}))
    layout = sum_layout(declared, "train", origin.received)
    q, y = tmp_path / "q", tmp_path / "y"
    result = Outgoing(10, {}, MemoryDraft({"@n": np.arange(4)}))
    prepared = prepare(result, origin, layout, context_of("all"), randomness(1), q)

    data = bytearray(q.read_bytes())
    data[-1] ^= 1
    q.write_bytes(data)
    written = write_masked(q, y, layout, mask_keys("abcd", "a"), "sha256")

    assert prepared.digest != written.q_digest
    assert not np.array_equal(open_vector(y, layout), open_vector(q, layout))


def test_without_a_key_no_file_is_written(tmp_path: Path) -> None:
    declared = plan_of(summed(groups={"n": "total"}), groups={"n": {"int64": [4], "range": [0, 9]}})
    layout = sum_layout(declared, "train", Received({}))

    with pytest.raises(ValueError, match="without a key"):
        write_masked(tmp_path / "q", tmp_path / "y", layout, [], "sha256")
    assert not list(tmp_path.iterdir())


def test_memory_does_not_grow_with_the_update(tmp_path: Path) -> None:
    peaks = [peak_of(size, tmp_path) for size in (1_000_000, 5_000_000)]

    assert peaks[1] < peaks[0] + 3_000_000  # the update grows by 16 MB, q and y by as much


def peak_of(size: int, folder: Path) -> int:
    """Most bytes that preparing and masking an update takes beside the update."""
    update: dict[str, Array] = {"w": np.zeros(size, np.float32) + np.float32(1e-4)}
    secure = {"model": {"clip": 0.01}}
    origin = Origin(plan_of(UPDATE, secure=secure), "train", "a", 1, Received(specs(update)))
    layout = sum_layout(origin.plan, "train", origin.received)
    tracemalloc.start()
    prepare(Outgoing(10, {}, MemoryDraft(update)), origin, layout, context_of("all"), np.random.bytes,
            folder / "q")  # fmt: skip
    write_masked(folder / "q", folder / "y", layout, mask_keys("abcd", "a"), "sha256")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak
