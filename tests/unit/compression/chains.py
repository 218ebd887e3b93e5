"""The lists of transforms that tests go through, and the numbers they are tried on."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hanse.compression.chain import Chain
from hanse.compression.registry import make_chain
from hanse.core.plan.transforms import Compression
from hanse.core.values.parameters import Array

LOSSY: dict[str, list[Any]] = {
    "fp16": ["fp16"],
    "bf16": ["bf16"],
    "bf16-stochastic": [{"name": "bf16", "rounding": "stochastic"}],
    "int8": ["int8"],
    "int8-blocks": [{"name": "int8", "block": 32}],
    "int4": ["int4"],
    "int4-blocks": [{"name": "int4", "block": 16}],
    "drive": ["drive"],
    "eden-2": [{"name": "eden", "bits": 2}],
    "eden-4": ["eden"],
    "top_k": [{"name": "top_k", "fraction": 0.1}],
    "random_k": [{"name": "random_k", "fraction": 0.1}],
    "random_k-scaled": [{"name": "random_k", "fraction": 0.3, "error_feedback": False}],
    "stc": [{"name": "stc", "fraction": 0.1}],
    "rotate-int8": ["rotate", "int8"],
    "rotate-int4": ["rotate", {"name": "int4", "block": 64}],
    "top_k-fp16": [{"name": "top_k", "fraction": 0.1}, "fp16"],
    "top_k-rotate-int8": [{"name": "top_k", "fraction": 0.2}, "rotate", "int8"],
    "random_k-eden": [{"name": "random_k", "fraction": 0.2}, "eden"],
    "int8-zstd": ["int8", "zstd"],
    "top_k-int8-zstd": [{"name": "top_k", "fraction": 0.1}, "int8", "zstd"],
}
UNBIASED = (
    "bf16-stochastic",
    "int8",
    "int8-blocks",
    "int4",
    "int4-blocks",
    "rotate-int8",
    "rotate-int4",
    "random_k-scaled",
    "drive",
    "eden-2",
    "eden-4",
)


def chain(name: str) -> Chain:
    return make_chain(Compression.model_validate({"upload": LOSSY[name]}).upload)


def compression(*upload: Any, smallest: int = 1) -> Compression:
    return Compression.model_validate({"upload": list(upload), "smallest": smallest})


def vectors(largest: float = 1e30, most: int = 300) -> st.SearchStrategy[Array]:
    """Vectors of float32 and float64: zeros, denormals, tiny and huge numbers among them."""

    def of(kind: Any, width: int) -> st.SearchStrategy[Array]:
        bound = float(np.float32(largest))
        numbers = st.floats(-bound, bound, width=width, allow_subnormal=True)
        return arrays.arrays(kind, st.integers(1, most), elements=numbers)

    return st.one_of(of(np.float32, 32), of(np.float64, 64))


def normal(size: int, seed: int = 0, scale: float = 1e-3) -> Array:
    return (np.random.default_rng(seed).standard_normal(size) * scale).astype(np.float32)
