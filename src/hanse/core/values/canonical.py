"""One way to write a value as bytes, so that its SHA-256 means something."""

from __future__ import annotations

import hashlib
import json
from typing import Any

_encoder = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: Any) -> bytes:
    """Write a JSON value with sorted keys and no spaces, in UTF-8.

    Raises:
        ValueError: The value holds a NaN or an infinity, which JSON lacks.
    """
    return _encoder.encode(value).encode("utf-8")


def sha256(data: bytes) -> str:
    """SHA-256 in hexadecimal, 64 characters."""
    return hashlib.sha256(data).hexdigest()


def digest_of(value: Any) -> str:
    """SHA-256 of a JSON value's canonical form."""
    return sha256(canonical_json(value))
