"""Reading of JSON from strangers: bounded in size and depth, without duplicate keys, fractions or NaN."""

from __future__ import annotations

import json
from typing import Any

from hanse.errors import EvidenceError

MAX_JSON = 512 * 1024
"""Bytes of a document."""
MAX_DEPTH = 16
"""Arrays and objects inside each other."""


def read_json(data: bytes, what: str, most: int = MAX_JSON) -> Any:
    """Read a JSON document whose numbers are whole.

    Args:
        data: The document.
        what: What it is, for messages.
        most: Bytes that it may have.

    Raises:
        EvidenceError: It is not one, too large, too deep, or an object has a key twice.
    """
    if len(data) > most:
        raise EvidenceError(f"{what} has {len(data)} bytes, more than {most}")

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(found)
        if len(value) != len(found):
            keys = [key for key, _ in found]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise EvidenceError(f"{what}: the key {twice[:40]!r} stands twice in one object")
        return value

    def refused(text: str) -> Any:
        raise EvidenceError(f"{what}: {text[:40]} is not a whole number")

    try:
        text = data.decode("utf-8")
        if _depth(text) > MAX_DEPTH:
            raise EvidenceError(f"{what} is nested deeper than {MAX_DEPTH} levels")
        return json.loads(text, object_pairs_hook=pairs, parse_float=refused, parse_constant=refused)
    except (ValueError, RecursionError) as error:
        raise EvidenceError(f"{what} is not JSON: {str(error)[:200]}") from None


def _depth(text: str) -> int:
    """The greatest depth of brackets outside strings."""
    depth = deepest = 0
    # What stands between quotes is every second part, once escaped quotes are out of the way.
    outside = text.replace("\\\\", "").replace('\\"', "").split('"')[::2]
    for part in outside:
        for character in part:
            if character in "[{":
                depth += 1
                deepest = max(deepest, depth)
            elif character in "]}":
                depth -= 1
    return deepest
