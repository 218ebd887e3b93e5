"""Masks cancel in the sum of a cell, and what is left of a member's vector beside it is noise."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from tests.masked_sums import altered, masked, masked_all, member, sites

from hanse.privacy.secagg import masks
from hanse.privacy.secagg.grid import Words
from hanse.privacy.secagg.keys import private_key, public_of
from hanse.privacy.secagg.masks import BLOCK_BYTES, MaskKey, add_block, mask_block, stream

KEY = MaskKey(bytes(range(16)), 1)
QUARTER = 2**30
"""Its multiples are a ring of four numbers inside of that of 2^32, small enough to try everything."""


def words(*numbers: int, dtype: str = "<u4") -> Words:
    return np.array(numbers, dtype)


@pytest.mark.parametrize("dtype", ["<u4", "<u8"])
@pytest.mark.parametrize("size", [0, 1, 3, BLOCK_BYTES // 4, BLOCK_BYTES // 2 + 7])
def test_the_sum_of_the_masked_vectors_is_that_of_the_vectors(dtype: str, size: int) -> None:
    rng = np.random.default_rng(1)
    q = {name: rng.integers(0, 2**32, size).astype(dtype) for name in "abcd"}
    total, expected = np.zeros(size, dtype), np.zeros(size, dtype)

    for name, y in masked_all(q).items():
        add_block(total, y)
        add_block(expected, q[name])
        assert size < 3 or not np.any(y[:3] == q[name][:3])

    assert np.array_equal(total, expected)


def test_blocks_are_masked_in_any_order() -> None:
    size = BLOCK_BYTES // 4
    q = np.arange(2 * size + 5, dtype="<u4")
    whole = masked(q, [KEY])

    assert np.array_equal(mask_block(q[2 * size :], 2, [KEY]), whole[2 * size :])
    assert np.array_equal(mask_block(q[:size], 0, [KEY]), whole[:size])


def test_a_block_is_masked_with_the_whole_stream_of_each_pair() -> None:
    other = MaskKey(bytes(range(1, 17)), -1)
    whole, size = np.arange(BLOCK_BYTES // 4, dtype="<u4"), BLOCK_BYTES
    added, subtracted = (np.frombuffer(stream(key.key, 3, size), "<u4") for key in (KEY, other))

    assert np.array_equal(mask_block(whole, 3, [KEY, other]), whole + added - subtracted)


def test_no_two_blocks_have_one_mask() -> None:
    zeros = np.zeros(BLOCK_BYTES // 4, "<u4")

    assert not set(mask_block(zeros, 0, [KEY])[:4096].tolist()) & set(
        mask_block(zeros, 1, [KEY])[:4096].tolist()
    )


def test_a_block_without_a_key_does_not_leave_as_it_is() -> None:
    with pytest.raises(ValueError, match="nothing is masked"):
        mask_block(words(1, 2), 0, [])


@pytest.mark.parametrize(("block", "size"), [(0, BLOCK_BYTES + 1), (2**14, 16), (-1, 16)])
def test_a_block_beyond_what_a_key_masks_is_refused(block: int, size: int) -> None:
    with pytest.raises(ValueError, match="outside of what one key masks"):
        stream(KEY.key, block, size)


def test_a_block_needs_the_memory_of_a_block() -> None:
    q = np.zeros(BLOCK_BYTES // 4, "<u4")
    tracemalloc.start()
    try:
        mask_block(q, 5, [KEY] * 20)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 5 * BLOCK_BYTES


def test_a_mask_looks_like_coins() -> None:
    y = masked(np.zeros(100_000, "<u4"), [KEY])
    ones = np.unpackbits(y.view(np.uint8)).reshape(-1, 32).sum(axis=0)

    assert np.all(np.abs(ones.astype(np.int64) - 50_000) < 5 * math.sqrt(25_000))


class OneWord:
    """A stream of one word."""

    def __init__(self, word: int) -> None:
        self._word = word

    def update_into(self, zeros: memoryview, out: bytearray) -> None:
        out[: len(zeros)] = words(self._word).tobytes()


def streams(table: Mapping[bytes, int]) -> Callable[[bytes, int], OneWord]:
    """Streams of one word, which is as a table says."""
    return lambda key, block: OneWord(table[key] * QUARTER)


class Enumerated:
    """A cell of a, b, c and d whose streams are each possible word in turn.

    Args:
        honest: Members whose common streams the others do not know.
        other_roster: Members that accepted another roster than the rest.
    """

    def __init__(self, honest: str, other_roster: str = "") -> None:
        cell = sites("abcd")
        roster = [site.ready() for site in cell]
        other = [*roster[:3], altered(roster[3], member("d"), public=public_of(private_key(bytes([9]) * 32)))]
        self.honest = honest
        self.keys = {
            site.own.name: site.keys(other if site.own.name in other_roster else roster)
            for site in cell
            if site.own.name in honest
        }
        common = Counter(key.key for keys in self.keys.values() for key in keys)
        # What a colluder shares with an honest member is known, and so fixed; of an honest pair that
        # accepted two rosters, each has a stream that no other party has.
        known = {
            key.key
            for name, keys in self.keys.items()
            for peer, key in zip([n for n in "abcd" if n != name], keys, strict=True)
            if peer not in honest
        }
        self.known = dict.fromkeys(known, 1)
        self.unknown = [key for key in common if key not in known]

    def transcripts(self, q: Mapping[str, int], monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[int, ...]]:
        """How often the colluders see which y, over all streams that they do not know."""
        seen: Counter[tuple[int, ...]] = Counter()
        for drawn in itertools.product(range(4), repeat=len(self.unknown)):
            table = self.known | dict(zip(self.unknown, drawn, strict=True))
            monkeypatch.setattr(masks, "block_stream", streams(table))
            seen[
                tuple(
                    int(mask_block(words(q[n] * QUARTER), 0, self.keys[n])[0]) // QUARTER for n in self.honest
                )
            ] += 1
        return seen


@pytest.mark.parametrize("honest", ["ab", "abc", "abcd"])
def test_all_that_colluders_see_is_the_total_of_the_honest(
    honest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = Enumerated(honest)
    by_total: dict[int, list[Counter[tuple[int, ...]]]] = {}
    choices = list(itertools.product(range(4) if len(honest) < 4 else range(2), repeat=len(honest)))
    if len(honest) == 4:
        choices = [q for q in choices if sum(q) in (1, 2)][:5]
    for q in choices:
        seen = cell.transcripts(dict(zip(honest, q, strict=True)), monkeypatch)
        by_total.setdefault(sum(q) % 4, []).append(seen)

    assert len(by_total) > 1
    for seen in by_total.values():
        assert len(seen) > 1
        assert all(other == seen[0] for other in seen)
    first = [seen[0] for seen in by_total.values()]
    assert all(a != b for a, b in itertools.combinations(first, 2))


def test_a_site_alone_on_its_roster_shows_nothing_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = Enumerated("abc", other_roster="b")

    seen = [cell.transcripts({"a": 1, "b": b, "c": 2}, monkeypatch) for b in range(4)]
    assert all(other == seen[0] for other in seen)


def test_a_site_whose_peers_are_all_colluders_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    # The other way round, so that the tests above can fail: without an honest peer nothing hides a.
    cell = Enumerated("a")

    seen = [cell.transcripts({"a": a}, monkeypatch) for a in range(4)]
    assert len({tuple(other) for other in seen}) == 4
