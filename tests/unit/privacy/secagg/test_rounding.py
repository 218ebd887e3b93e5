"""Random bytes of the rounding: a stream for each tensor, the same for tensors that are one."""

from __future__ import annotations

import os

import pytest

from hanse.core.values.parameters import TensorSpec
from hanse.privacy.secagg.layout import Declared, DeclaredTensor, Range, layout_of
from hanse.privacy.secagg.rounding import RoundingStreams

NAMES = ("body", "embed", "head")


def streams(**ties: str) -> RoundingStreams:
    """Of tensors of ten numbers each, behind one that counts."""
    tensor = DeclaredTensor(TensorSpec((10,), "float32"), "mean", Range(-1, 1), clipped=True)
    layout = layout_of(Declared(dict.fromkeys(NAMES, tensor)), ring=32, members=4)
    return RoundingStreams(layout, os.urandom, ties)


def test_tensors_that_are_one_are_rounded_alike_however_they_are_cut() -> None:
    made = streams(head="embed")

    body, embed, head = made(40), made(24) + made(16), made(40)

    assert embed == head
    assert len({body, embed}) == 2


def test_streams_differ_from_one_vector_to_the_next() -> None:
    assert len({streams()(40) for _ in range(4)}) == 4


def test_bytes_of_two_tensors_are_not_drawn_at_once() -> None:
    with pytest.raises(ValueError, match="41 random bytes"):
        streams()(41)
