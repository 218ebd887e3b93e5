"""Canonical JSON: the one way to write a value as bytes that are hashed or signed.

The form is specified in `docs/canonical-json.md`, with test vectors, and never changes: digests
of plans, chains of journals and signatures rest on it.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

_encoder = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: Any) -> bytes:
    """Write a JSON value with keys sorted by code point and no white space, in UTF-8.

    Raises:
        ValueError: The value holds a NaN, an infinity, a lone surrogate, or an integer of more
            than 4,300 digits.
    """
    return _encoder.encode(value).encode("utf-8")


def sha256(data: bytes) -> str:
    """SHA-256 in hexadecimal, 64 characters."""
    return hashlib.sha256(data).hexdigest()


def digest_of(value: Any) -> str:
    """SHA-256 of a JSON value's canonical form."""
    return sha256(canonical_json(value))
