"""Compressed tensors as a stranger sends them: the updates of sites, and what is new in a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from tests.unit.compression.chains import LOSSY, compression, normal

from hanse.compression.delta import apply_delta, model_delta
from hanse.compression.update import UpdateCodec
from hanse.core.values.parameters import Parameters, specs
from hanse.wire import tensors

CHAINS = {
    name: LOSSY[name]
    for name in ("bf16", "int8-blocks", "rotate-int4", "eden-4", "random_k", "stc", "top_k-int8-zstd")
} | {"zstd": ["zstd"]}
SEED = 11


def update() -> Parameters:
    """What a site sends, before it is compressed."""
    return {"weight": normal(300).reshape(30, 10), "bias": normal(7), "steps": np.arange(20)}


def update_reader(name: str) -> Callable[[bytes], None]:
    """An update, held against what was declared and then read, as the aggregator does."""

    def run(data: bytes) -> None:
        codec, expected = UpdateCodec(compression(*CHAINS[name])), specs(update())
        encoded = tensors.decode(data)
        codec.check(encoded, expected, SEED, "task train at a")
        found = {key: np.asarray(array) for key, array in codec.decode(encoded, expected, SEED).items()}
        assert specs(found) == expected
        assert all(np.isfinite(array).all() for array in found.values())

    return run


def update_seeds(name: str) -> Callable[[], Sequence[bytes]]:
    """Updates as that list of transforms writes them."""

    def seeds() -> Sequence[bytes]:
        codec = UpdateCodec(compression(*CHAINS[name]))
        return [tensors.encode({each.name: each.data for each in codec.encode(update(), SEED)})]

    return seeds


def read_delta(data: bytes) -> None:
    """What is new in a model, put on the model before, as a site does."""
    found = {name: np.asarray(array) for name, array in apply_delta(tensors.decode(data), update()).items()}
    assert specs(found) == specs(update())


def deltas() -> Sequence[bytes]:
    """One between two models."""
    newer = {name: array + array.dtype.type(1) for name, array in update().items()}
    return [tensors.encode(dict(model_delta(newer, update(), 1)))]
