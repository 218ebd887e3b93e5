import os
from io import BytesIO

import pytest
from tests.blobs import named

from hanse.core.values.digests import ALGORITHMS, Algorithm, digest_of_bytes
from hanse.files.copying import Writeback, copy_hashed

MEGABYTE = 1 << 20
DATA = bytes(range(251)) * (3 * MEGABYTE // 251)


class Trickling(BytesIO):
    """Gives less than it is asked for, as pipes and network file systems do."""

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        return super().readinto(buffer[:70_001])


@pytest.mark.parametrize("size", [0, 1, MEGABYTE, MEGABYTE + 1, len(DATA)])
@pytest.mark.parametrize("kind", [BytesIO, Trickling])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_copy_is_the_same_and_so_is_its_digest(
    kind: type[BytesIO], size: int, algorithm: Algorithm
) -> None:
    copy = BytesIO()

    told = copy_hashed(kind(DATA[:size]), copy, size, algorithm)

    assert copy.getvalue() == DATA[:size]
    assert told == (digest_of_bytes(DATA[:size], algorithm), size)


def test_what_is_written_behind_the_end_meanwhile_is_not_copied() -> None:
    copy = BytesIO()

    told = copy_hashed(BytesIO(DATA), copy, 100, "blake3")

    assert copy.getvalue() == DATA[:100]
    assert told == (named(DATA[:100]), 100)


def test_it_is_told_how_much_is_copied() -> None:
    told: list[int] = []

    copy_hashed(Trickling(DATA), BytesIO(), len(DATA), "blake3", told.append)

    assert told == sorted(told)
    assert told[-1] == len(DATA)


def test_the_disk_is_given_each_byte_once_and_in_large_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(
        os, "posix_fadvise", lambda _, begin, length, advice: given.append((begin, length)), raising=False
    )
    writeback = Writeback(3)

    for size in (MEGABYTE, 9 * MEGABYTE, 9 * MEGABYTE + 1, 40 * MEGABYTE):
        writeback.reached(size)

    assert given == [(0, 8 * MEGABYTE), (8 * MEGABYTE, 32 * MEGABYTE)]
