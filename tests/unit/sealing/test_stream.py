"""Encrypted streams: as Tink makes them, and refused where a byte is not in its place."""

import hashlib
import hmac
import io
import json
import secrets
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.errors import SealError
from hanse.sealing.stream import (
    FIRST_PLAIN_BYTES,
    HEADER_BYTES,
    PLAIN_BYTES,
    SEGMENT_BYTES,
    TAG_BYTES,
    Segments,
    StreamWriter,
    read_stream,
)

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "streaming_aead.json").read_text())
KEY, ASSOCIATED = bytes.fromhex(VECTORS["key"]), bytes.fromhex(VECTORS["associated_data"])
BORDERS = (0, FIRST_PLAIN_BYTES, FIRST_PLAIN_BYTES + PLAIN_BYTES)
THREE = hashlib.shake_256(b"three segments").digest(FIRST_PLAIN_BYTES + PLAIN_BYTES + 1_000)


def encrypt(plain: bytes, key: bytes = KEY, associated: bytes = ASSOCIATED, start: bytes = b"") -> bytes:
    """A stream; `start` is the salt and the nonces' prefix, else random."""
    given = io.BytesIO(start)
    made = io.BytesIO()
    writer = StreamWriter(made, key, associated, given.read if start else secrets.token_bytes)
    writer.write(plain)
    writer.finish()
    return made.getvalue()


def decrypt(stream: bytes, key: bytes = KEY, associated: bytes = ASSOCIATED) -> bytes:
    return b"".join(bytes(piece) for piece in read_stream(io.BytesIO(stream), key, associated))


def by_the_specification(plain: bytes, salt: bytes, prefix: bytes) -> bytes:
    """A stream as Tink's documentation has it, from HMAC and AES-GCM alone."""
    extracted = hmac.digest(salt, KEY, "sha256")
    aead = AESGCM(hmac.digest(extracted, ASSOCIATED + b"\x01", "sha256"))
    first, rest = plain[:FIRST_PLAIN_BYTES], plain[FIRST_PLAIN_BYTES:]
    parts = [first, *(rest[at : at + PLAIN_BYTES] for at in range(0, len(rest), PLAIN_BYTES))]
    sealed = (
        aead.encrypt(prefix + number.to_bytes(4, "big") + bytes([number == len(parts) - 1]), part, None)
        for number, part in enumerate(parts)
    )
    return bytes([40]) + salt + prefix + b"".join(sealed)


STREAM = encrypt(THREE)


@pytest.mark.parametrize("vector", VECTORS["streams"], ids=lambda vector: f"{vector['plain_bytes']} bytes")
def test_a_stream_is_the_one_that_tink_makes(vector: dict[str, Any]) -> None:
    size = vector["plain_bytes"]
    plain = hashlib.shake_256(b"%d" % size).digest(size)

    stream = encrypt(plain, start=bytes.fromhex(vector["salt"] + vector["nonce_prefix"]))

    assert (len(stream), hashlib.sha256(stream).hexdigest()) == (
        vector["stream_bytes"],
        vector["stream_sha256"],
    )


@pytest.mark.parametrize("size", [0, 1, FIRST_PLAIN_BYTES, len(THREE)])
def test_a_stream_is_what_the_specification_says(size: int) -> None:
    salt, prefix = bytes(range(32)), bytes(range(7))

    assert encrypt(THREE[:size], start=salt + prefix) == by_the_specification(THREE[:size], salt, prefix)


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(BORDERS), st.integers(-2, 2), st.integers(1, 1 << 21))
def test_any_size_comes_back_however_it_is_written(border: int, more: int, piece: int) -> None:
    plain = THREE[: max(0, border + more)]
    made = io.BytesIO()
    writer = StreamWriter(made, KEY, ASSOCIATED, secrets.token_bytes)
    for at in range(0, len(plain), max(piece, 1 << 10)):
        writer.write(plain[at : at + max(piece, 1 << 10)])
    writer.finish()

    assert decrypt(made.getvalue()) == plain


CUTS = {
    "in the header": 10,
    "after the header": HEADER_BYTES,
    "in the tag of nothing": HEADER_BYTES + 3,
    "in the first segment": SEGMENT_BYTES - 1,
    "after the first segment": SEGMENT_BYTES,
    "a byte into the second segment": SEGMENT_BYTES + 1,
    "after the second segment": 2 * SEGMENT_BYTES,
    "a tag into the last segment": 2 * SEGMENT_BYTES + TAG_BYTES,
    "before the last byte": len(STREAM) - 1,
}


@pytest.mark.parametrize("size", CUTS.values(), ids=CUTS)
def test_a_cut_stream_is_refused(size: int) -> None:
    with pytest.raises(SealError):
        decrypt(STREAM[:size])


@pytest.mark.parametrize(
    "more", [b"\0", bytes(TAG_BYTES), STREAM[-1016:], STREAM], ids=["a byte", "a tag", "the end", "all"]
)
def test_bytes_behind_the_end_are_refused(more: bytes) -> None:
    with pytest.raises(SealError):
        decrypt(STREAM + more)


def test_an_empty_last_segment_is_refused_though_it_is_genuine() -> None:
    salt, prefix = STREAM[1:33], STREAM[33:40]
    aead = AESGCM(hmac.digest(hmac.digest(salt, KEY, "sha256"), ASSOCIATED + b"\x01", "sha256"))
    more = aead.encrypt(prefix + (2).to_bytes(4, "big") + b"\x01", b"", None)

    with pytest.raises(SealError, match="cut"):
        decrypt(STREAM[: 2 * SEGMENT_BYTES] + more)


def test_segments_in_another_order_are_refused() -> None:
    plain = THREE[:FIRST_PLAIN_BYTES] + THREE[FIRST_PLAIN_BYTES:] * 2
    stream = encrypt(plain)
    second, third = stream[SEGMENT_BYTES : 2 * SEGMENT_BYTES], stream[2 * SEGMENT_BYTES : 3 * SEGMENT_BYTES]

    with pytest.raises(SealError, match="segment 1 does not open"):
        decrypt(stream[:SEGMENT_BYTES] + third + second)


def test_a_segment_of_another_stream_with_the_same_key_is_refused() -> None:
    other = encrypt(THREE)

    with pytest.raises(SealError, match="segment 1 does not open"):
        decrypt(
            STREAM[:SEGMENT_BYTES] + other[SEGMENT_BYTES : 2 * SEGMENT_BYTES] + STREAM[2 * SEGMENT_BYTES :]
        )


PLACES = [0, 1, 32, 33, 39, 40, SEGMENT_BYTES - 1, SEGMENT_BYTES, 2 * SEGMENT_BYTES, len(STREAM) - 1]


@pytest.mark.parametrize("place", PLACES)
def test_a_flipped_bit_is_refused(place: int) -> None:
    flipped = bytearray(STREAM)
    flipped[place] ^= 0x80

    with pytest.raises(SealError):
        decrypt(bytes(flipped))


def test_another_key_is_refused() -> None:
    with pytest.raises(SealError, match="another key"):
        decrypt(STREAM, key=bytes(32))


def test_another_binding_is_refused() -> None:
    with pytest.raises(SealError, match="first segment"):
        decrypt(STREAM, associated=b"of another file")


def test_nothing_of_an_altered_segment_is_given_out() -> None:
    flipped = bytearray(STREAM)
    flipped[SEGMENT_BYTES + 5] ^= 1
    given: list[bytes] = []

    with pytest.raises(SealError):
        given.extend(bytes(piece) for piece in read_stream(io.BytesIO(flipped), KEY, ASSOCIATED))

    assert b"".join(given) in (b"", THREE[:FIRST_PLAIN_BYTES])


def test_a_key_of_another_size_is_a_slip_of_the_caller() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        encrypt(b"", key=bytes(16))


def segment(folder: Path, stream: bytes, number: int) -> bytes:
    """A segment of a stream that stands in a file behind 5 bytes of something else."""
    path = folder / "stream"
    path.write_bytes(b"12345" + stream)
    with path.open("rb") as file:
        return Segments(file, 5, KEY, ASSOCIATED).read(number)


def test_each_segment_can_be_read_alone(tmp_path: Path) -> None:
    assert b"".join(segment(tmp_path, STREAM, number) for number in range(3)) == THREE


@pytest.mark.parametrize("size", [0, FIRST_PLAIN_BYTES, FIRST_PLAIN_BYTES + 1])
def test_the_last_segment_can_be_read_alone(tmp_path: Path, size: int) -> None:
    number = 1 if size > FIRST_PLAIN_BYTES else 0

    assert segment(tmp_path, encrypt(THREE[:size]), number) == THREE[:size][number * FIRST_PLAIN_BYTES :]


def test_a_segment_says_nothing_of_the_end(tmp_path: Path) -> None:
    cut = STREAM[: 2 * SEGMENT_BYTES + 20]

    assert segment(tmp_path, cut, 1) == THREE[FIRST_PLAIN_BYTES:][:PLAIN_BYTES]
    with pytest.raises(SealError, match="last segment, 2"):
        segment(tmp_path, cut, 2)


def test_a_segment_that_a_cut_makes_the_last_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SealError, match="last segment, 1"):
        segment(tmp_path, STREAM[: 2 * SEGMENT_BYTES], 1)


def test_a_segment_in_the_place_of_another_is_refused(tmp_path: Path) -> None:
    moved = STREAM[:SEGMENT_BYTES] * 2 + STREAM[2 * SEGMENT_BYTES :]

    with pytest.raises(SealError, match="not in its place"):
        segment(tmp_path, moved, 1)


@pytest.mark.parametrize("number", [-1, 3])
def test_there_is_no_segment_beyond_the_ends(tmp_path: Path, number: int) -> None:
    with pytest.raises(IndexError):
        segment(tmp_path, STREAM, number)


def test_a_file_too_short_for_a_stream_has_no_segments(tmp_path: Path) -> None:
    with pytest.raises(SealError, match="does not begin"):
        segment(tmp_path, STREAM[:39], 0)


def test_memory_does_not_grow_with_the_stream(tmp_path: Path) -> None:
    path = tmp_path / "long"
    tracemalloc.start()
    with path.open("w+b") as file:
        writer = StreamWriter(file, KEY, ASSOCIATED, secrets.token_bytes)
        for _ in range(24):
            writer.write(THREE[:SEGMENT_BYTES])
        writer.finish()
        file.seek(0)
        size = sum(len(piece) for piece in read_stream(file, KEY, ASSOCIATED))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert size == 24 * SEGMENT_BYTES
    assert most < 6 * SEGMENT_BYTES
