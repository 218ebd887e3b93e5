"""Results of a run as files that other programs read: NumPy's `.npz`, and `.csv` for tables of vectors."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np

from hanse.core.values.groups import ARRAY_NAME, RESULT_NAME, Group, Groups
from hanse.core.values.parameters import Array
from hanse.errors import UpdateError
from hanse.files.atomic import writing
from hanse.files.errors import file_errors

_USER_DEFINED = 256
"""Number of the first dtype that NumPy itself does not have, `NPY_USERDEF` in its headers."""


def write_results(folder: Path, results: Groups) -> dict[str, tuple[Path, ...]]:
    """Write each result as `NAME.npz`, and as `NAME.csv` too where it is made of vectors of one length.

    Args:
        folder: The folder; made where it is missing and there are results.
        results: Arrays and tables of arrays, by name.

    Returns:
        The files of each result.

    Raises:
        StorageError: A file cannot be written.
        UpdateError: A result or an array has a name that none may have.
    """
    written: dict[str, tuple[Path, ...]] = {}
    if results:
        with file_errors(f"make the folder {folder}"):
            folder.mkdir(parents=True, exist_ok=True)
    for name, value in results.items():
        _check_names(name, value)
        columns = _columns(name, value)
        path = folder / f"{name}.npz"
        with file_errors(f"write {path}"), writing(path) as file:
            _write_npz(file, columns)
        written[name] = (path,)
        if is_table(columns):
            written[name] = (path, _write_csv(folder / f"{name}.csv", columns))
    return written


def _check_names(name: str, value: Group) -> None:
    """Refuse names that would lead to other files, or be read as formulas: they may be a stranger's."""
    arrays = list(value) if isinstance(value, Mapping) else []
    if not re.fullmatch(RESULT_NAME, name) or not all(map(ARRAY_NAME.fullmatch, arrays)):
        raise UpdateError(f"the result {name[:80]!a} has a name that no result has, or such an array")


def is_table(columns: Mapping[str, Array]) -> bool:
    """Check if arrays are vectors of one length."""
    lengths = {array.shape[0] if array.ndim == 1 else -1 for array in map(np.asarray, columns.values())}
    return len(lengths) == 1 and -1 not in lengths


def _columns(name: str, value: Group) -> dict[str, Array]:
    found = dict(value) if isinstance(value, Mapping) else {name: value}
    return {key: _readable(np.asarray(array)) for key, array in found.items()}


def _readable(array: Array) -> Array:
    """The same numbers in a dtype that NumPy reads without further packages: of bfloat16, float32."""
    return array.astype(np.float32) if array.dtype.num >= _USER_DEFINED else array


def _write_npz(file: IO[bytes], arrays: Mapping[str, Array]) -> None:
    # Not by `numpy.savez`, of which some names are parameters.
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _write_csv(path: Path, columns: Mapping[str, Array]) -> Path:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(columns)
    rows.writerows(zip(*(np.asarray(array).tolist() for array in columns.values()), strict=True))
    with file_errors(f"write {path}"), writing(path) as file:
        file.write(text.getvalue().encode())
    return path
