"""A whole update: encoded at a site, checked where it arrives, read block by block.

Error feedback adds what compression left out to the next update: Karimireddy, Rebjock,
Stich and Jaggi (2019), "Error Feedback Fixes SignSGD and other Gradient Compression
Schemes", ICML, Algorithm 1; https://arxiv.org/abs/1901.09847. Without it, what is never
among the largest is never learned.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import ml_dtypes
import numpy as np

from hanse.compression.chain import Chain
from hanse.compression.registry import make_chain
from hanse.compression.tensor import TensorCodec
from hanse.compression.tied import TiedTensors
from hanse.core.plan.plan import Plan
from hanse.core.plan.privacy.cells import masks
from hanse.core.plan.tasks import INITIALISE
from hanse.core.plan.transforms import SEGMENT, Compression
from hanse.core.values.groups import MARK, group_of
from hanse.core.values.lazy import LazyTensor
from hanse.core.values.parameters import Array, Parameters, TensorSpec, in_words, mismatch, not_finite, specs
from hanse.core.values.seeds import derive
from hanse.errors import DisclosureError, UpdateError

_ANY = TensorSpec((), "")
"""Stands for a tensor where only names are compared."""


@dataclass(frozen=True, slots=True, eq=False)
class EncodedTensor:
    """One tensor on its way out.

    Attributes:
        name: Its name, the same before and after.
        data: What travels.
        left_out: What the next update makes up for, flat; None without error feedback.
    """

    name: str
    data: Array
    left_out: Array | None = None


class UpdateCodec:
    """Takes updates to what travels and back, as a plan's `compression: upload` says.

    Immutable; may be used from any thread.
    """

    def __init__(self, compression: Compression, *, grouped: bool = True) -> None:
        """Read the list.

        Args:
            compression: Of the plan.
            grouped: Whether the plan has groups, whose tensors have names of their own.
        """
        self._chain = make_chain(compression.upload)
        self._smallest = compression.smallest
        self._grouped = grouped
        self._groups = frozenset(compression.groups)
        self.error_feedback = compression.error_feedback

    def tensor(self, spec: TensorSpec, name: str = "") -> TensorCodec | None:
        """Codec of a tensor; None for a tensor that travels as it is."""
        size = math.prod(spec.shape)
        real = spec.dtype.startswith(("float", "bfloat"))
        group = group_of(name) if self._grouped and name.startswith(MARK) else None
        lossy = real and (group is None or group in self._groups)
        # Whole numbers and truth values lose nothing: they count things, and choose.
        chain = self._chain if lossy else Chain((), self._chain.level)
        if size < max(self._smallest, 1) or not (chain.steps or chain.level is not None):
            return None
        return TensorCodec(spec, chain)

    def encode(
        self, update: Parameters, seed: int, memory: Parameters | None = None
    ) -> Iterator[EncodedTensor]:
        """Write an update, tensor by tensor.

        Args:
            update: Finite tensors.
            seed: Of this update, see `update_seed`.
            memory: What earlier updates left out, flat, by name; may lack tensors.

        Raises:
            UpdateError: Numbers that a step cannot take, or not finite ones; names the tensor.
        """
        tied = TiedTensors(self._chain)
        for name, array in update.items():
            codec = self.tensor(TensorSpec(tuple(array.shape), array.dtype.name), name)
            if codec is None:
                yield EncodedTensor(name, array)
                continue
            before = (memory or {}).get(name)
            try:
                yield self._encode(name, codec, array, derive(seed, tied.first(name, array)), before)
            except UpdateError as error:
                raise UpdateError(
                    f"{in_words(name)} cannot be compressed: {error.message}", mend=error.mend
                ) from error

    def check(self, encoded: Parameters, expected: Mapping[str, TensorSpec], seed: int, what: str) -> None:
        """Refuse what is not an encoded update of exactly these tensors; reads all of it once.

        Args:
            encoded: The tensors of the file that came.
            expected: The tensors that were declared, as they are before encoding.
            seed: Of this update.
            what: Who sends, for the message: `task train at cleveland`.

        Raises:
            DisclosureError: A tensor that is not declared, or one of another shape or dtype.
            UpdateError: Its content is none that `encode` writes, or comes to a NaN or an infinity.
        """
        alike = {name: expected[name] for name in encoded.keys() & expected.keys()}
        problem = mismatch(dict.fromkeys(encoded, _ANY), dict.fromkeys(expected, _ANY))
        for name, spec in alike.items():
            codec, found = self.tensor(spec, name), specs({name: encoded[name]})
            if codec is None:
                problem = problem or mismatch(found, {name: spec})
            elif codec.problem(found[name]):
                problem = problem or f"{in_words(name)} {codec.problem(found[name])}"
        if problem:
            raise DisclosureError(f"the update of {what} is not what the plan declares: {problem}")
        for name, spec in expected.items():
            codec = self.tensor(spec, name)
            if codec is not None:
                _check_content(codec, name, encoded[name], derive(seed, name), what)
            elif not_finite({name: encoded[name]}):
                raise UpdateError(f"the update of {what} has a NaN or an infinity in {in_words(name)}")

    def decode(
        self, encoded: Parameters, expected: Mapping[str, TensorSpec], seed: int
    ) -> Mapping[str, Array]:
        """The update that was encoded, decoded as it is read.

        Args:
            encoded: One that `check` accepts.
            expected: The tensors that were declared.
            seed: Of this update.

        Returns:
            Tensors by name; those that were encoded are decoded where they are read.
        """
        found: dict[str, Array] = {}
        for name, spec in expected.items():
            codec = self.tensor(spec, name)
            if codec is None:
                found[name] = encoded[name]
            else:
                found[name] = _decoded(codec, encoded[name], derive(seed, name)).as_array
        return found

    def _encode(
        self, name: str, codec: TensorCodec, array: Array, seed: int, memory: Array | None
    ) -> EncodedTensor:
        flat = np.ascontiguousarray(array).reshape(-1)
        feeds_back = self.error_feedback and bool(codec.chain.steps)
        left = np.empty(flat.size, codec.dtype) if feeds_back else None
        segments = []
        for index in range(codec.num_segments):
            begin, end = codec.bounds(index)
            values = codec.segment(flat, index)
            if left is not None:
                values = _corrected(values, None if memory is None else memory[begin:end])
            segments.append(codec.encode(values, index, seed))
            if left is not None:
                left[begin:end] = _left_out(values, codec.decode(segments[-1], index, seed))
        return EncodedTensor(name, codec.join(segments), left)


def _corrected(update: Array, memory: Array | None) -> Array:
    """Input of the codec: the update and what was left out before (line 4: p = g + e)."""
    return update if memory is None else np.asarray(update + memory)


def _left_out(corrected: Array, sent: Array) -> Array:
    """Residual that the next update makes up for (line 6: e' = p - C(p))."""
    return np.asarray(corrected - sent.astype(corrected.dtype, copy=False))


def _decoded(codec: TensorCodec, encoded: Array, seed: int) -> LazyTensor:
    """A tensor that is decoded where it is read."""
    spec, segments = codec.spec, codec.split(encoded)
    special = spec.dtype.startswith(("bfloat", "float8"))
    dtype = np.dtype(getattr(ml_dtypes, spec.dtype) if special else spec.dtype)

    def read(begin: int, end: int) -> Array:
        first, last = begin // SEGMENT, -(-end // SEGMENT)
        pieces = [codec.decode(segments[i], i, seed) for i in range(first, last)]
        whole = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
        return whole[begin - first * SEGMENT : end - first * SEGMENT]

    return LazyTensor(spec.shape, dtype, read, SEGMENT)


def update_seed(plan_seed: int, site: str, exchange: int) -> int:
    """Seed of the compression of one update: known to both ends, the same when the task is run again."""
    return derive(plan_seed, "compression", site, exchange)


def _check_content(codec: TensorCodec, name: str, encoded: Array, seed: int, what: str) -> None:
    try:
        for index, segment in enumerate(codec.split(encoded)):
            codec.decode(segment, index, seed)
    except UpdateError as error:
        raise UpdateError(f"the update of {what} is unusable in {in_words(name)}: {error.message}") from error


def upload_codec(plan: Plan, task: str) -> UpdateCodec | None:
    """Codec of a task's updates; None where they travel as they are.

    The first model always does: nobody else knows yet what its tensors are. So does what is masked, in which
    nothing can be compressed any more; `hanse.updates.secure_sums.codec` acts before.
    """
    if task == INITIALISE or not plan.compression.upload or masks(plan, task):
        return None
    return UpdateCodec(plan.compression, grouped=bool(plan.groups))
