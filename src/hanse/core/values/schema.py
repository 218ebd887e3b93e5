"""What every schema is built of: strict tables, and the kinds of values that may stand in them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, ValidationError

from hanse.core.values.digests import DIGEST_PATTERN
from hanse.core.values.identity import check_name
from hanse.errors import ConfigError

DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
"""Seconds by unit."""

SIZE_UNITS = {
    "B": 1,
    "kB": 10**3,
    "KiB": 2**10,
    "MB": 10**6,
    "MiB": 2**20,
    "GB": 10**9,
    "GiB": 2**30,
    "TB": 10**12,
    "TiB": 2**40,
}
"""Bytes by unit."""

MAX_DURATION_S = 366 * 86400.0

MOST_OF_PATH = 200
"""Characters in the path of a file of a plan."""

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d)")

_SIZE = re.compile(r"([0-9]{1,16}(?:\.[0-9]{1,6})?)\s*(B|[kKMGT]B|[KMGT]iB)")

_LABEL = re.compile(r"[A-Za-z_][\w.\-/]{0,62}")

_REFERENCE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")

_MOST_ERRORS = 1_000


class Strict(BaseModel):
    """Base of every schema: frozen, and refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem of a table that is found where the table is looked at as a whole.

    Attributes:
        place: Keys and indices that lead to it: `("cohort", "minimum")`.
        text: What is wrong, and what to write instead.
    """

    place: tuple[str | int, ...]
    text: str


class PlacedError(ValueError):
    """Problems that a validator of a whole table has found, each with its place in the table."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Take all that was found, at least one."""
        self.problems = tuple(problems)
        super().__init__("; ".join(problem.text for problem in self.problems))


def problem_of(error: ValidationError) -> str:
    """Where a value is not what its schema says, and how; short, however long the value is."""
    count = error.error_count()
    if count > _MOST_ERRORS:  # to list them, which pydantic does as a whole, would take a second or more
        return f"{count} things in it are not what they should be"
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "the whole"
    return f"{where[:200]}: {first['msg'][:500]}"


def parse_duration(value: Any) -> Any:
    """Turn `90s`, `30m`, `1.5h` into seconds; numbers are seconds already."""
    if isinstance(value, str):
        match = _DURATION.fullmatch(value.strip())
        if match is None:
            raise ValueError(f"{value!r} is not a duration; write for example 90s, 30m or 1.5h")
        return float(match[1]) * DURATION_UNITS[match[2]]
    return value


def parse_size(value: Any) -> Any:
    """Turn `512MB` or `1.5GiB` into bytes; numbers are bytes already."""
    if isinstance(value, str):
        match = _SIZE.fullmatch(value.strip())
        if match is None:
            raise ValueError(f"{value[:80]!r} is not a size; write for example 512MB, 8GB or 1GiB")
        return int(Decimal(match[1]) * SIZE_UNITS[match[2].replace("KB", "kB")])
    return value


def _party_name(value: str) -> str:
    try:
        return check_name(value)
    except ConfigError as error:
        raise ValueError(str(error)) from None


def _label(value: str) -> str:
    if not _LABEL.fullmatch(value):
        raise ValueError(
            f"{value[:80]!r} is not a name: write 1 to 63 letters, digits, _ . - and /, a letter or _ first"
        )
    return value


def check_code_path(value: str) -> str:
    """Refuse what is not a plain relative path inside a folder."""
    path = PurePosixPath(value)
    plain = str(path) == value and value.isprintable() and "\\" not in value
    if not plain or not path.name or path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{value!r} must be a plain relative path inside the plan's folder")
    return value


def check_reference(value: str) -> str:
    """Refuse what is not `module:function`."""
    if not _REFERENCE.fullmatch(value):
        raise ValueError(f"{value!r} must be written as module:function")
    return value


def _format(name: str) -> dict[str, JsonValue]:
    """What kind of text or number a value is, for whoever reads the schema."""
    return {"format": name}


Duration = Annotated[
    float,
    Field(gt=0, le=MAX_DURATION_S, json_schema_extra=_format("duration")),
    BeforeValidator(parse_duration),
]

Size = Annotated[
    int, Field(ge=0, le=1 << 50, json_schema_extra={"format": "size"}), BeforeValidator(parse_size)
]
"""A number of bytes."""

Name = Annotated[str, Field(json_schema_extra=_format("name")), AfterValidator(_party_name)]

CodePath = Annotated[
    str, Field(max_length=MOST_OF_PATH, json_schema_extra=_format("path")), AfterValidator(check_code_path)
]

Reference = Annotated[
    str, Field(max_length=200, json_schema_extra=_format("module:function")), AfterValidator(check_reference)
]

Pattern = Annotated[str, Field(min_length=1, max_length=200)]

Label = Annotated[str, Field(json_schema_extra=_format("name")), AfterValidator(_label)]

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256, of plans, certificates and records."""

BlobDigest = Annotated[str, Field(pattern=f"^{DIGEST_PATTERN}$")]
"""Of a model or an update; see `hanse.core.values.digests`."""

Fraction = Annotated[float, Field(gt=0, le=1)]
