"""Keys that file keys are wrapped to."""

import copy
import pickle
from collections.abc import Callable

import pytest

from hanse.errors import SealError
from hanse.sealing.keys import PUBLIC_BYTES, SEED_BYTES, WRAPPED_BYTES, SealKey, wrap_key

KEY = bytes(range(32))
OURS = SealKey.generate()
THEIRS = SealKey.generate()


def test_a_wrapped_key_opens_with_the_private_key() -> None:
    wrapped = wrap_key(KEY, OURS.public, b"this file")

    assert OURS.unwrap(wrapped, b"this file") == KEY
    assert (len(OURS.public), len(wrapped)) == (PUBLIC_BYTES, WRAPPED_BYTES)


def test_a_seed_makes_the_same_key_again() -> None:
    seed = bytes(range(SEED_BYTES))

    assert SealKey(seed).unwrap(wrap_key(KEY, SealKey(seed).public, b""), b"") == KEY


def test_two_wraps_of_one_key_have_nothing_in_common() -> None:
    assert wrap_key(KEY, OURS.public, b"") != wrap_key(KEY, OURS.public, b"")


def test_a_key_opens_only_for_what_it_was_wrapped_for() -> None:
    with pytest.raises(SealError, match="for another file"):
        OURS.unwrap(wrap_key(KEY, OURS.public, b"this file"), b"that file")


def test_a_key_opens_only_with_the_key_it_was_wrapped_to() -> None:
    with pytest.raises(SealError, match="another key"):
        THEIRS.unwrap(wrap_key(KEY, OURS.public, b""), b"")


@pytest.mark.parametrize("place", [0, 1_087, 1_088, 1_119, 1_120, 1_167])
def test_a_flipped_bit_in_a_wrapped_key_is_refused(place: int) -> None:
    wrapped = bytearray(wrap_key(KEY, OURS.public, b""))
    wrapped[place] ^= 1

    with pytest.raises(SealError, match="altered"):
        OURS.unwrap(bytes(wrapped), b"")


@pytest.mark.parametrize("size", [0, WRAPPED_BYTES - 1, WRAPPED_BYTES + 1])
def test_a_wrapped_key_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(SealError, match=f"{size} bytes instead of {WRAPPED_BYTES}"):
        OURS.unwrap(bytes(size), b"")


def test_a_public_key_of_another_size_is_refused() -> None:
    with pytest.raises(SealError, match="1215 bytes instead of 1216"):
        wrap_key(KEY, OURS.public[:-1], b"")


@pytest.mark.parametrize(
    "public",
    [
        pytest.param(b"\xff" * PUBLIC_BYTES, id="numbers beyond the modulus of ML-KEM"),
        pytest.param(OURS.public[:-32] + bytes(32), id="a point of small order"),
    ],
)
def test_a_malformed_public_key_is_refused(public: bytes) -> None:
    with pytest.raises(SealError, match="malformed"):
        wrap_key(KEY, public, b"")


def test_a_private_key_of_another_size_is_refused() -> None:
    with pytest.raises(SealError, match="95 bytes instead of 96"):
        SealKey(bytes(95))


def test_a_file_key_of_another_size_is_a_slip_of_the_caller() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        wrap_key(bytes(16), OURS.public, b"")


def test_a_printed_key_is_its_fingerprint_alone() -> None:
    assert repr(OURS) == f"SealKey({OURS.fingerprint[:16]})"


@pytest.mark.parametrize("leave", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_key_is_neither_copied_nor_pickled(leave: Callable[[SealKey], object]) -> None:
    with pytest.raises(TypeError, match="never copied"):
        leave(OURS)
