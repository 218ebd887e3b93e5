"""Seeds for every random choice, all from the plan's one seed."""

from __future__ import annotations

import hashlib


def derive(seed: int, *names: str | int) -> int:
    """Derive a seed for one purpose.

    The same seed and names give the same result on every machine; different
    names give unrelated ones.

    Returns:
        A whole number from 0 to 2**63 - 1.
    """
    text = "\x1f".join([str(seed), *(str(name) for name in names)])
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:8], "big") >> 1
