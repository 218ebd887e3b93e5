"""Grouped bytes and Zstandard frames, a stranger's among them."""

from __future__ import annotations

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.thorough import examples
from tests.unit.compression.chains import normal

from hanse.compression.lossless import compress, compressed_bound, decompress, ungroup
from hanse.core.plan.transforms import SEGMENT
from hanse.errors import UpdateError


@given(
    st.sampled_from(["uint8", "int8", "float16", "bfloat16", "float32", "float64"]),
    st.binary(min_size=8, max_size=800),
)
def test_every_bit_comes_back(dtype: str, raw: bytes) -> None:
    kind = np.dtype(np.uint16 if dtype == "bfloat16" else dtype)
    data = np.frombuffer(raw[: len(raw) // 8 * 8], np.uint8)
    vector = data.view(kind)

    planes = decompress(compress([vector], 1), vector.nbytes)

    assert ungroup(planes, dtype, vector.size).tobytes() == vector.tobytes()


@given(st.binary(max_size=5000), st.sampled_from([1, 3, 10]))
@settings(max_examples=examples(30))
def test_a_frame_is_never_longer_than_its_bound(raw: bytes, level: int) -> None:
    assert compress([np.frombuffer(raw, np.uint8)], level).size <= compressed_bound(len(raw))


def test_noise_of_a_whole_segment_is_within_the_bound() -> None:
    noise = np.random.default_rng(0).integers(0, 256, 4 * SEGMENT, np.uint8)

    assert compress([noise], 1).size <= compressed_bound(noise.size)


def test_grouping_makes_numbers_compress() -> None:
    values = normal(SEGMENT)

    plain = len(zstandard.ZstdCompressor(level=1).compress(values.tobytes()))

    assert compress([values], 1).size < 0.95 * plain


def refused(frame: bytes, size: int) -> str:
    with pytest.raises(UpdateError) as refusal:
        decompress(np.frombuffer(frame, np.uint8), size)
    return str(refusal.value)


def test_a_frame_that_states_more_than_is_due_is_refused_before_it_is_read() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(1 << 28))

    assert len(bomb) < 1 << 16
    assert "states other than the 100 bytes" in refused(bomb, 100)


def test_a_frame_that_does_not_state_its_size_is_refused() -> None:
    writer = zstandard.ZstdCompressor(write_content_size=False)

    assert "states other than" in refused(writer.compress(bytes(100)), 100)


@pytest.mark.parametrize("window", [0x50, 0xF8])  # 1 MiB, and more than any machine has
def test_a_frame_that_asks_for_a_large_window_is_refused(window: int) -> None:
    # Magic, descriptor with a size of 8 bytes, window, size, one last block: a run of zeros.
    head = b"\x28\xb5\x2f\xfd\xc0" + bytes([window]) + (100).to_bytes(8, "little")

    assert "frame" in refused(head + b"\x23\x03\x00\x00", 100)


def test_a_second_frame_behind_the_first_is_refused() -> None:
    frame = compress([np.zeros(100, np.uint8)], 1).tobytes()

    assert "cannot be decompressed" in refused(frame + frame, 100)


@given(st.binary(max_size=200))
def test_anything_else_is_refused(junk: bytes) -> None:
    assert refused(junk, 100)


@given(st.data())
def test_a_damaged_frame_gives_as_many_bytes_or_is_refused(data: st.DataObject) -> None:
    frame = bytearray(compress([normal(50)], 1).tobytes())
    frame[data.draw(st.integers(0, len(frame) - 1))] ^= data.draw(st.integers(1, 255))

    try:
        found = decompress(np.frombuffer(bytes(frame), np.uint8), 200)
    except UpdateError:
        return
    assert found.size == 200
