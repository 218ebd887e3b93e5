"""Tensors put aside lie in a file without a name."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest

from hanse.errors import StorageError
from hanse.wire.spool import Spool


def test_tensors_come_back_as_they_were_put_aside(tmp_path: Path) -> None:
    tensors = {"a": np.arange(3, dtype=np.int8), "b": np.eye(2), "c": np.zeros((0, 2), np.float32)}

    with Spool(tmp_path) as spool:
        for name, array in tensors.items():
            spool.add(name, array)
        found = spool.tensors()

        for name, array in tensors.items():
            np.testing.assert_array_equal(found[name], array, strict=True)


def test_a_process_that_is_killed_leaves_nothing_of_it(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        spool.add("a", np.ones(100_000))

        assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_a_storage_error(
    tmp_path: Path, largest_file: Callable[[int], AbstractContextManager[None]]
) -> None:
    with Spool(tmp_path) as spool, largest_file(100), pytest.raises(StorageError, match="cannot write in"):
        spool.add("a", np.ones(100_000))
