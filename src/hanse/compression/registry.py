"""Which step is built for which name in a plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from hanse.compression.base import Step
from hanse.compression.casts import BrainStep, HalfStep
from hanse.compression.chain import Chain
from hanse.compression.eden import EdenStep
from hanse.compression.quantise import QuantiseStep
from hanse.compression.rotate import RotateStep
from hanse.compression.sparsify import RandomKStep, TopKStep
from hanse.compression.stc import TernaryStep
from hanse.core.plan.transforms import (
    Bf16,
    Drive,
    Eden,
    Fp16,
    Int4,
    Int8,
    RandomK,
    Rotate,
    Stc,
    TopK,
    Transform,
    Zstd,
)


def make_chain(transforms: Sequence[Transform]) -> Chain:
    """The chain of a plan's list; its lawful order was checked when the plan was read."""
    level = next((each.level for each in transforms if isinstance(each, Zstd)), None)
    return Chain(tuple(_step(each) for each in transforms if not isinstance(each, Zstd)), level)


def _step(transform: Transform) -> Step:
    match transform:
        case Fp16():
            return HalfStep()
        case Bf16(rounding=rounding):
            return BrainStep(stochastic=rounding == "stochastic")
        case Int8(block=block):
            return QuantiseStep(8, block)
        case Int4(block=block):
            return QuantiseStep(4, block)
        case Drive():
            return EdenStep(1)
        case Eden(bits=bits):
            return EdenStep(bits)
        case TopK(fraction=fraction):
            return TopKStep(fraction)
        case RandomK(fraction=fraction, error_feedback=feedback):
            return RandomKStep(fraction, scaled=not feedback)
        case Rotate():
            return RotateStep()
        case Stc(fraction=fraction):
            return TernaryStep(fraction)
        case Zstd():
            raise ValueError("zstd is not a step of a chain")
        case _:
            assert_never(transform)
