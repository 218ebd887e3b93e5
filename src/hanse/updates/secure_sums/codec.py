"""Steps of compression that a sum can be taken through: linear, and the same at every member.

A tensor is cut into segments as everywhere (`hanse.core.plan.transforms.SEGMENT`). The numbers that are
coded are those that the steps leave; after the sum is opened, the steps are undone on the mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hanse.compression.base import Step, Vector
from hanse.compression.registry import make_chain
from hanse.compression.rotate import RotateStep
from hanse.compression.sparsify import RandomKStep
from hanse.core.plan.plan import Plan
from hanse.core.plan.transforms import SEGMENT, Bf16, RandomK, Rotate, Transform, describe
from hanse.core.values.groups import MARK
from hanse.core.values.lazy import LazyTensor, flat_reader
from hanse.core.values.parameters import Array, TensorSpec
from hanse.core.values.seeds import derive
from hanse.errors import PlanError
from hanse.privacy.secagg.context import codec_seed

_LAWFUL = (RandomK, Rotate, Bf16)
_CHOSEN_ALIKE = (RandomKStep, RotateStep)
"""Steps with random choices that all members have to make alike."""

_Seeds = Callable[[int], int]
"""Gives the seed of a step, by its place in the list."""


@dataclass(frozen=True, slots=True)
class SumCodec:
    """Codec between the tensors of an update and the numbers that are summed. Groups pass as they are.

    Attributes:
        transforms: Of the plan, in order.
        steps: The steps that they stand for.
        smallest: Tensors with fewer numbers pass as they are.
    """

    transforms: tuple[Transform, ...]
    steps: tuple[Step, ...]
    smallest: int

    @property
    def stated(self) -> tuple[Mapping[str, Any], ...]:
        """The steps as the digest of the layout has them."""
        if not self.steps:
            return ()
        numbers = {"segment": SEGMENT, "smallest": self.smallest}
        return tuple(step.model_dump(mode="json") | numbers for step in self.transforms)

    @property
    def keeps_ties(self) -> bool:
        """True if equal tensors of two names come to equal numbers."""
        return not any(isinstance(step, _CHOSEN_ALIKE) for step in self.steps)

    def coded(self, name: str, spec: TensorSpec) -> TensorSpec:
        """Shape and dtype of the numbers that are summed of a tensor."""
        if not self._acts_on(name, spec):
            return spec
        size = math.prod(spec.shape)
        whole, rest = divmod(size, SEGMENT)
        coded = whole * self._coded_size(SEGMENT) + (self._coded_size(rest) if rest else 0)
        return TensorSpec(spec.shape if coded == size else (coded,), _wide(spec.dtype).name)

    def encode(self, name: str, array: Array, context: str, own_seed: int) -> Array:
        """Take a tensor to the numbers that are summed, where they are read.

        Args:
            name: Of the tensor.
            array: The tensor, clipped, or a `LazyTensor`.
            context: Digest of the context, from which follows what all members choose alike.
            own_seed: Of this tensor of this site, from which follows what the site rounds by itself.

        Returns:
            A `LazyTensor`, or the array itself where no step acts on it.
        """
        spec = TensorSpec(tuple(array.shape), array.dtype.name)
        if not self._acts_on(name, spec):
            return array
        read, _ = flat_reader(array)
        wide, seeds = _wide(spec.dtype), self._seeds(name, context, own_seed)

        def encoded(index: int) -> Array:
            values = read(index * SEGMENT, min((index + 1) * SEGMENT, array.size)).astype(wide, copy=False)
            for place, step in enumerate(self.steps):
                parts, rest = step.encode(values, derive(seeds(place), index))
                values = parts[0].astype(wide) if rest is None else rest
            return values

        return _by_segment(self.coded(name, spec).shape, wide, self._coded_size(SEGMENT), encoded)

    def decode(self, name: str, spec: TensorSpec, opened: Array, context: str) -> Array:
        """Undo the steps on an opened sum or mean, where it is read.

        Args:
            name: Of the tensor.
            spec: Of the tensor.
            opened: Numbers in the shape that `coded` gives; float64.
            context: As for `encode`.

        Returns:
            float64, in the shape of the tensor.
        """
        if not self._acts_on(name, spec):
            return opened
        read, _ = flat_reader(opened)
        size, coded = math.prod(spec.shape), self._coded_size(SEGMENT)
        seeds = self._seeds(name, context, 0)

        def decoded(index: int) -> Array:
            length = min(SEGMENT, size - index * SEGMENT)
            values = read(index * coded, index * coded + self._coded_size(length))
            return self._undone(values, length, lambda place: derive(seeds(place), index))

        return _by_segment(spec.shape, np.dtype(np.float64), SEGMENT, decoded)

    def _undone(self, values: Array, length: int, seeds: _Seeds) -> Array:
        likes = [Vector("float64", length)]
        for step in self.steps:
            likes.append(Vector("float64", step.layout(likes[-1]).rest or likes[-1].size))
        for place in reversed(range(len(self.steps))):
            step, like = self.steps[place], likes[place]
            if isinstance(step, RandomKStep):
                indices, lengths = step.draw(like.size, seeds(place))
                full = np.zeros(like.size)
                # Scaled up here and not at the sites: what they sent is within the bound of the update.
                full[indices] = values * lengths
                values = full
            elif isinstance(step, RotateStep):
                values = step.decode((), values.copy(), like, seeds(place))
        return values

    def _acts_on(self, name: str, spec: TensorSpec) -> bool:
        floating = spec.dtype.startswith(("float", "bfloat")) and not name.startswith(MARK)
        return bool(self.steps) and floating and math.prod(spec.shape) >= max(self.smallest, 1)

    def _coded_size(self, size: int) -> int:
        for step in self.steps:
            size = step.layout(Vector("float64", size)).rest or size
        return size

    def _seeds(self, name: str, context: str, own_seed: int) -> _Seeds:
        seeds = [
            derive(codec_seed(context, transform.name), name) if isinstance(step, _CHOSEN_ALIKE) else own_seed
            for transform, step in zip(self.transforms, self.steps, strict=True)
        ]
        return seeds.__getitem__


def sum_codec(plan: Plan) -> SumCodec:
    """The codec of a plan's masked sums.

    Raises:
        PlanError: The plan compresses by a step whose results cannot be added.
    """
    compression = plan.compression
    for each in compression.upload:
        if not isinstance(each, _LAWFUL) or getattr(each, "error_feedback", False):
            raise PlanError(
                f"plan {plan.name} compresses by `{describe(each)}`, of which no masked sum can be taken",
                mend="Use `random_k` with `error_feedback: false`, `rotate` or `bf16`, or none.",
            )
    if compression.upload and compression.groups:
        raise PlanError(
            f"plan {plan.name} compresses groups, of which no masked sum can be taken",
            mend="Leave `compression: groups` out.",
        )
    # What is kept is scaled up after decoding, so that no number exceeds the bound to which it was clipped.
    steps = (
        replace(step, scaled=False) if isinstance(step, RandomKStep) else step
        for step in make_chain(compression.upload).steps
    )
    return SumCodec(compression.upload, tuple(steps), compression.smallest)


def _wide(dtype: str) -> np.dtype[Any]:
    return np.dtype(np.float64 if dtype == "float64" else np.float32)


def _by_segment(
    shape: tuple[int, ...], dtype: np.dtype[Any], length: int, segment: Callable[[int], Array]
) -> Array:
    """A tensor of segments of one length, of which the last may be shorter."""

    def read(begin: int, end: int) -> Array:
        first, last = begin // length, -(-end // length)
        pieces = [segment(index) for index in range(first, last)]
        whole = pieces[0] if len(pieces) == 1 else np.concatenate([np.empty(0, dtype), *pieces])
        return whole[begin - first * length : end - first * length]

    return LazyTensor(shape, dtype, read, length).as_array
