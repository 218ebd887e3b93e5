"""Results of a run as files that other programs read: NumPy's `.npz`, and tables as `.csv`."""

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
from hanse.wire.result_tables import Columns, Tables, arrays_of


def write_results(folder: Path, results: Groups, tables: Tables) -> dict[str, Path]:
    """Write each result as `NAME.npz`, and each table as `NAME.csv`.

    Args:
        folder: The folder; made where it is missing and there are results.
        results: Arrays and tables of arrays, by name.
        tables: Tables that were made of the results.

    Returns:
        The files by what they are: `result NAME`, `table NAME`.

    Raises:
        StorageError: A file cannot be written.
        UpdateError: A result or an array has a name that none may have.
    """
    written: dict[str, Path] = {}
    if results:
        with file_errors(f"make the folder {folder}"):
            folder.mkdir(parents=True, exist_ok=True)
    for name, value in results.items():
        _check_names(name, value)
        path = written[f"result {name}"] = folder / f"{name}.npz"
        with file_errors(f"write {path}"), writing(path) as file:
            _write_npz(file, arrays_of(name, value))
    for name, columns in tables.items():
        written[f"table {name}"] = _write_csv(folder / f"{name}.csv", columns)
    return written


def _check_names(name: str, value: Group) -> None:
    """Refuse names that would lead to other files, or be read as formulas: they may be a stranger's."""
    arrays = list(value) if isinstance(value, Mapping) else []
    if not re.fullmatch(RESULT_NAME, name) or not all(map(ARRAY_NAME.fullmatch, arrays)):
        raise UpdateError(f"the result {name[:80]!a} has a name that no result has, or such an array")


def _write_npz(file: IO[bytes], arrays: Mapping[str, Array]) -> None:
    # Not by `numpy.savez`, of which some names are parameters.
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _write_csv(path: Path, columns: Columns) -> Path:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(columns)
    rows.writerows(zip(*(np.asarray(array).tolist() for array in columns.values()), strict=True))
    with file_errors(f"write {path}"), writing(path) as file:
        file.write(text.getvalue().encode())
    return path
