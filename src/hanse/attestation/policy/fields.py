"""Values of appraisal policies: hexadecimal measurements, and `any` with a reason."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field

from hanse.core.values.schema import Strict

T = TypeVar("T")


class Anything(Strict):
    """A field that accepts every value: written as `{ any = "reason" }`, and shown in the review."""

    any: str = Field(min_length=8, max_length=300, description="Why every value is accepted, for the review.")


def _hexadecimal(size: int | None) -> AfterValidator:
    def check(value: str) -> str:
        try:
            data = bytes.fromhex(value)
        except ValueError:
            raise ValueError(f"{value[:20]!r} should be hexadecimal") from None
        if value != data.hex():
            raise ValueError("should be hexadecimal in small letters, without spaces")
        if size is not None and len(data) != size:
            raise ValueError(f"should have {size} bytes, written with {2 * size} digits, and has {len(data)}")
        return value

    return AfterValidator(check)


Hex = Annotated[str, Field(min_length=2, max_length=256), _hexadecimal(None)]
"""Bytes, hexadecimal."""
Hex1 = Annotated[str, _hexadecimal(1)]
Hex4 = Annotated[str, _hexadecimal(4)]
Hex8 = Annotated[str, _hexadecimal(8)]
Hex16 = Annotated[str, _hexadecimal(16)]
Hex20 = Annotated[str, _hexadecimal(20)]
Hex32 = Annotated[str, _hexadecimal(32)]
Hex48 = Annotated[str, _hexadecimal(48)]
Hex64 = Annotated[str, _hexadecimal(64)]


def accepts(expected: T | Anything, seen: T) -> bool:
    """Decide whether a field of a policy accepts a value."""
    return isinstance(expected, Anything) or expected == seen


def in_words(value: object) -> str:
    """Say a value, or which values a field of a policy accepts, for people; flags are set or not."""
    if isinstance(value, bool):
        return "set" if value else "not set"
    return f"any ({value.any})" if isinstance(value, Anything) else str(value)


def bits(value: str) -> int:
    """The number that a field of flags stands for, least byte first as processors write it."""
    return int.from_bytes(bytes.fromhex(value), "little")
