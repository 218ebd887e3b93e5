"""Models in fewer bytes: the model before and its difference, made one again."""

from __future__ import annotations

from pathlib import Path

from hanse.compression.delta import apply_delta
from hanse.core.values.digests import algorithm_of
from hanse.errors import UpdateError
from hanse.wire.tensors import open_file, write_hashed


def patch_model(base: Path, delta: Path, *, place: Path, digest: str) -> None:
    """Make a model of the one before and what is new in it.

    Args:
        base: The model before.
        delta: What came.
        place: Where to put the model; it appears whole or not at all.
        digest: What its file has to have.

    Raises:
        UpdateError: What came is none of ours, or does not make that model.
        StorageError: The disk is full or cannot be written.
    """

    def check(found: str) -> None:
        if found != digest:
            raise UpdateError(f"what came makes model {found[:12]}, not {digest[:12]}")

    made = apply_delta(open_file(delta), open_file(base))
    write_hashed(place, made, algorithm_of(digest), check=check)
