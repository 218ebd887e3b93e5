"""Floors on disk: the least versions of collateral that a store still takes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from hanse.attestation.base import Floors
from hanse.attestation.dcap.strict_json import MAX_JSON, read_json
from hanse.core.values.schema import Strict, problem_of
from hanse.errors import StorageError, TamperedError
from hanse.files.atomic import write_file
from hanse.files.errors import file_errors

FLOORS_FILE = "floors.json"
_FORMAT = "%Y-%m-%dT%H:%M:%SZ"

_Document = Annotated[str, Field(min_length=1, max_length=400)]
_Time = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$")]


class _File(Strict):
    format: Literal["hanse-floors-1"]
    evaluation: dict[_Document, Annotated[int, Field(ge=0, le=0xFFFFFFFF)]]
    issued: dict[_Document, _Time]


def read_floors(path: Path, others: Floors | None = None) -> Floors:
    """Read floors; those of two stores count together, the higher of each.

    Raises:
        StorageError: The file cannot be read.
        TamperedError: It is malformed. Without it, older collateral would be taken.
    """
    with file_errors(f"read {path}"), path.open("rb") as file:
        data = file.read(MAX_JSON + 1)
    found = parse_floors(data, str(path))
    return found if others is None else found.raised(others.evaluation, others.issued)


def parse_floors(data: bytes, file: str) -> Floors:
    """Read the bytes of a file of floors.

    Raises:
        TamperedError: They are malformed; names `file`.
    """
    try:
        read = _File.model_validate(read_json(data, file))
        issued = {
            name: datetime.strptime(at, _FORMAT).replace(tzinfo=UTC) for name, at in read.issued.items()
        }
    except ValidationError as error:
        raise TamperedError(f"{file}: {problem_of(error)}", mend="Restore it from a backup.") from None
    except ValueError as error:
        raise TamperedError(f"{file}: {error}", mend="Restore it from a backup.") from None
    return Floors(read.evaluation, issued)


def write_floors(path: Path, floors: Floors) -> None:
    """Write floors, whole or not at all, and have them on the disk.

    Raises:
        StorageError: The disk refuses.
    """
    value = {
        "format": "hanse-floors-1",
        "evaluation": dict(sorted(floors.evaluation.items())),
        "issued": {name: f"{at.astimezone(UTC):{_FORMAT}}" for name, at in sorted(floors.issued.items())},
    }
    data = json.dumps(value, indent=2).encode() + b"\n"
    if len(data) > MAX_JSON:
        raise StorageError(f"{path} would be longer than {MAX_JSON} bytes")
    with file_errors(f"write {path}"):
        write_file(path, data)
