"""Results as files that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from hanse.errors import UpdateError
from hanse.wire.result_files import write_results


def test_each_result_is_a_file_of_numpy(tmp_path: Path) -> None:
    written = write_results(tmp_path / "results", {"grid": np.arange(6.0).reshape(2, 3)}, {})

    assert written == {"result grid": tmp_path / "results" / "grid.npz"}
    with np.load(tmp_path / "results" / "grid.npz") as found:
        assert found["grid"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_each_table_is_a_file_of_text(tmp_path: Path) -> None:
    curve = {
        "category": np.array(["a, b", "c"], object),
        "survival": np.array([1, 1 / 3]),
        "known": np.array([True, False]),
    }

    written = write_results(tmp_path, {}, {"curve": curve})

    assert written == {"table curve": tmp_path / "curve.csv"}
    assert (tmp_path / "curve.csv").read_text() == (
        'category,survival,known\n"a, b",1.0,True\nc,0.3333333333333333,False\n'
    )


def test_arrays_may_be_called_as_the_parameters_of_savez_are(tmp_path: Path) -> None:
    write_results(tmp_path, {"r": {"file": np.zeros(2), "allow_pickle": np.ones(2)}}, {})

    with np.load(tmp_path / "r.npz") as found:
        assert sorted(found) == ["allow_pickle", "file"]
        assert found["allow_pickle"].tolist() == [1, 1]


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn])
def test_dtypes_that_numpy_does_not_know_are_written_as_float32(dtype: type, tmp_path: Path) -> None:
    write_results(tmp_path, {"r": np.array([0.5, 2], dtype)}, {})

    with np.load(tmp_path / "r.npz") as found:
        assert (found["r"].dtype, found["r"].tolist()) == (np.float32, [0.5, 2])


def test_without_results_there_is_no_folder(tmp_path: Path) -> None:
    assert write_results(tmp_path / "results", {}, {}) == {}
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    "results",
    [{"../precious": np.ones(2)}, {"curve": {"=cmd()": np.ones(2)}}, {"curve": {"../a": np.ones(2)}}],
)
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, results: Any) -> None:
    with pytest.raises(UpdateError, match="has a name that no result has"):
        write_results(tmp_path / "results", results, {})

    assert not list((tmp_path / "results").glob("*"))
