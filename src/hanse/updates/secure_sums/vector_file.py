"""The file of a vector: q, what is sent of it, or a sum. Safetensors with one tensor `masked`.

Written and read by block; memory does not grow with the vector.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hanse.core.values.digests import Algorithm, Hasher
from hanse.core.values.parameters import Parameters, TensorSpec, mismatch, specs
from hanse.errors import DisclosureError, UpdateError
from hanse.files.atomic import writing
from hanse.files.copying import Writeback
from hanse.files.errors import file_errors
from hanse.privacy.secagg.grid import Ring, Words, words_dtype
from hanse.privacy.secagg.layout import Layout
from hanse.privacy.secagg.masks import BLOCK_BYTES
from hanse.wire.tensor_headers import header_of, layout
from hanse.wire.tensors import open_file, tensors_size

MASKED = "masked"
"""Name of the tensor."""


@dataclass(frozen=True, slots=True)
class WrittenVector:
    """A vector that was written.

    Attributes:
        digest: Digest of the file; of q, of its words alone, D of the commitment.
        size: Bytes of the file.
        words: Number of words.
    """

    digest: str
    size: int
    words: int


def vector_spec(words: int, ring: Ring) -> dict[str, TensorSpec]:
    """The tensors of the file of a vector: one."""
    return {MASKED: TensorSpec((words,), words_dtype(ring).name)}


def vector_file_size(words: int, ring: Ring) -> int:
    """Bytes of the file of a vector."""
    return tensors_size(vector_spec(words, ring))


def check_vector(tensors: Parameters, words: int, ring: Ring, what: str) -> None:
    """Refuse tensors that are not one vector of so many words.

    Args:
        tensors: Of the file that came.
        words: m.
        ring: Bits of a word.
        what: Who sends, for the message: `task train at cleveland`.

    Raises:
        DisclosureError: There is another tensor, or it has another shape or dtype.
    """
    if problem := mismatch(specs(tensors), vector_spec(words, ring)):
        raise DisclosureError(f"the masked update of {what} is not one vector of the sum: {problem}")


def write_vector(
    path: Path,
    laid_out: Layout,
    pieces: Iterable[Words],
    algorithm: Algorithm,
    *,
    header_too: bool = True,
    durable: bool = False,
) -> WrittenVector:
    """Write a vector for the owner only, hashed on the way; the file appears whole or not at all.

    Args:
        path: The file; replaced where it exists.
        laid_out: Layout of the vector.
        pieces: Its words in order, flat, `<u4` or `<u8`.
        algorithm: What makes the digest.
        header_too: Whether the digest is that of the file, or of the words alone.
        durable: Whether the file outlasts a power failure once this returns.

    Raises:
        UpdateError: There are more or fewer words than the layout has.
        StorageError: The disk is full or cannot be written.
    """
    header = header_of(layout(vector_spec(laid_out.words, laid_out.ring)))
    dtype, words = words_dtype(laid_out.ring), 0
    hasher = Hasher(algorithm)
    if header_too:
        hasher.update(header)
    with file_errors(f"write {path}"), writing(path, mode=0o600, durable=durable) as file:
        reached = Writeback(file.fileno()).reached if durable else None
        file.write(header)
        for piece in pieces:
            data = np.ascontiguousarray(piece, dtype).view(np.uint8).data
            hasher.update(data)
            file.write(data)
            words += len(piece)
            if reached is not None:
                reached(file.tell())
        if words != laid_out.words:
            raise UpdateError(f"a vector has {words} words, and should have {laid_out.words}")
        size = file.tell()
    return WrittenVector(hasher.digest(), size, words)


def open_vector(path: Path, laid_out: Layout) -> Words:
    """Map the words of a vector's file into memory; nothing is read until it is used.

    Raises:
        UpdateError: It is not the file of such a vector.
        StorageError: It cannot be read.
    """
    tensors = open_file(path)
    if problem := mismatch(specs(tensors), vector_spec(laid_out.words, laid_out.ring)):
        raise UpdateError(f"{path} is not a vector of the sum: {problem}")
    return tensors[MASKED]


def blocks_of(words: Words) -> Iterator[Words]:
    """The blocks of a vector in order, `BLOCK_BYTES` each but the last."""
    step = BLOCK_BYTES // words.itemsize
    for begin in range(0, len(words), step):
        yield words[begin : begin + step]
