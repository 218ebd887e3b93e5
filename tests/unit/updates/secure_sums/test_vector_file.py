"""The file of a vector: one tensor of words, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hanse.core.values.digests import Algorithm, digest_of_bytes
from hanse.core.values.parameters import Array, TensorSpec
from hanse.errors import DisclosureError, UpdateError
from hanse.privacy.secagg.grid import Ring
from hanse.privacy.secagg.layout import Declared, DeclaredTensor, Layout, Range, layout_of
from hanse.updates.secure_sums.vector_file import (
    blocks_of,
    check_vector,
    open_vector,
    vector_file_size,
    write_vector,
)
from hanse.wire.tensors import write_file


def layout(words: int, ring: Ring = 32) -> Layout:
    """A layout of so many words; one is `#clipped`."""
    tensor = DeclaredTensor(TensorSpec((words - 1,), "float32"), "mean", Range(-1, 1), clipped=True)
    return layout_of(Declared({"w": tensor}), ring=ring, members=4)


@pytest.mark.parametrize("algorithm", ["sha256", "blake3"])
@pytest.mark.parametrize("ring", [32, 64])
def test_words_come_back_with_the_digest_of_the_file(
    tmp_path: Path, algorithm: Algorithm, ring: Ring
) -> None:
    words = np.arange(300_001, dtype=f"<u{ring // 8}") * 12_345

    written = write_vector(
        tmp_path / "q", layout(300_001, ring), iter((words[:7], words[7:])), algorithm, durable=True
    )

    assert written.digest == digest_of_bytes((tmp_path / "q").read_bytes(), algorithm)
    assert written.size == (tmp_path / "q").stat().st_size == vector_file_size(300_001, ring)
    assert np.array_equal(open_vector(tmp_path / "q", layout(300_001, ring)), words)


def test_of_q_the_digest_is_of_the_words_alone(tmp_path: Path) -> None:
    words = np.arange(10, dtype="<u4")

    written = write_vector(tmp_path / "q", layout(10), [words], "sha256", header_too=False)

    assert written.digest == digest_of_bytes(words.tobytes(), "sha256")


def test_a_vector_is_for_its_owner_only(tmp_path: Path) -> None:
    write_vector(tmp_path / "q", layout(10), [np.zeros(10, "<u4")], "sha256")

    assert (tmp_path / "q").stat().st_mode & 0o777 == 0o600


def test_blocks_have_a_mebibyte_but_the_last() -> None:
    sizes = [block.nbytes for block in blocks_of(np.zeros(600_000, "<u4"))]

    assert sizes == [1 << 20, 1 << 20, 600_000 * 4 - (2 << 20)]


def test_a_vector_of_another_length_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(UpdateError, match="9 words, and should have 10"):
        write_vector(tmp_path / "q", layout(10), [np.zeros(9, "<u4")], "sha256")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("tensors", "named"),
    [
        ({"masked": np.zeros(9, "<u4")}, r"'masked' has shape \(9,\)"),
        ({"masked": np.zeros((10, 1), "<u4")}, "'masked' has shape"),
        ({"masked": np.zeros(10, "<i4")}, "'masked' has dtype int32"),
        ({"masked": np.zeros(10, "<u8")}, "'masked' has dtype uint64"),
        ({"masked": np.zeros(10, "<u4"), "note": np.zeros(1)}, "'note' was not expected"),
        ({"words": np.zeros(10, "<u4")}, "'words' was not expected"),
    ],
)
def test_anything_but_the_one_vector_is_refused(
    tmp_path: Path, tensors: dict[str, Array], named: str
) -> None:
    with pytest.raises(DisclosureError, match=f"train at a is not one vector of the sum.*{named}"):
        check_vector(tensors, 10, 32, "train at a")
    write_file(tmp_path / "y", tensors)
    with pytest.raises(UpdateError, match=named):
        open_vector(tmp_path / "y", layout(10))
