"""The weighted mean of updates that come one by one and are not kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from hanse.aggregation.answers import summed_up
from hanse.aggregation.dtypes import check_dtypes, misfit
from hanse.aggregation.fold import add_term, quotient, total_weight
from hanse.core.values.lazy import LazyTensor, flat_reader
from hanse.core.values.parameters import Array, Parameters, TensorSpec, mismatch, specs
from hanse.core.values.update import Aggregate, Update
from hanse.errors import UpdateError

_BLOCK = 1 << 16
"""Numbers that are added at a time."""


class RunningMean:
    """Takes updates one after another, and gives their weighted mean at the end.

    The same bits and the same errors as `hanse.aggregation.fold.weighted_mean`, which reads all updates
    side by side. This one reads each update once, when it is added, and needs memory for a float64 for
    each number of a single update, however many there are.
    """

    def __init__(self) -> None:
        self._specs: dict[str, TensorSpec] = {}
        self._dtypes: dict[str, np.dtype[Any]] = {}
        self._sums: dict[str, Array] = {}
        self._scratch = np.empty(0)
        self._weights: list[float] = []
        self._unusable: UpdateError | None = None
        self._misfit: tuple[int, str] | None = None

    def add(self, update: Parameters, weight: float) -> None:
        """Add an update, whose arrays are not needed afterwards.

        What is wrong with it is said by `mean`: only then is it known which problem comes first.

        Args:
            update: Tensors of the names, shapes and dtypes of the updates before.
            weight: Finite, at least 0. An update of weight 0 is not read.
        """
        if not self._weights:
            self._begin(update)
        elif self._misfit is None and (problem := mismatch(specs(update), self._specs)):
            self._misfit = (len(self._weights) + 1, problem)
        self._weights.append(weight)
        if weight and self._unusable is None and self._misfit is None:
            for name, array in update.items():
                self._add(name, array, weight)

    def mean(self) -> dict[str, Array]:
        """The mean of all updates, computed from their sum where it is read; see `LazyTensor`.

        Raises:
            UpdateError: The updates do not fit together, have a dtype without a mean, or have no weight.
            ValueError: A weight is negative or not finite.
        """
        total = total_weight(self._weights)
        if self._unusable is not None:
            raise self._unusable
        if self._misfit is not None:
            number, problem = self._misfit
            raise misfit(number, len(self._weights), problem)
        return {name: self._mean(name, total).as_array for name in self._specs}

    def _begin(self, first: Parameters) -> None:
        self._specs = specs(first)
        self._dtypes = {name: array.dtype.newbyteorder("=") for name, array in first.items()}
        try:
            check_dtypes(first, "mean")
        except UpdateError as error:
            self._unusable = error

    def _add(self, name: str, array: Array, weight: float) -> None:
        read, block = flat_reader(array)
        step = -(-_BLOCK // block) * block
        if name not in self._sums:
            self._sums[name] = np.zeros(array.size)
        if len(self._scratch) < min(step, array.size):
            self._scratch = np.empty(min(step, array.size))
        folded = self._sums[name]
        for begin in range(0, array.size, step):
            end = min(begin + step, array.size)
            add_term(folded[begin:end], self._scratch[: end - begin], read(begin, end), weight)

    def _mean(self, name: str, total: float) -> LazyTensor:
        folded, dtype = self._sums[name], self._dtypes[name]
        return LazyTensor(
            self._specs[name].shape,
            dtype,
            lambda begin, end: quotient(folded[begin:end].copy(), total, dtype),
        )


def running_fed_avg(updates: Iterable[Update], *, uniform: bool = False, weighs: bool = True) -> Aggregate:
    """As `hanse.aggregation.fedavg.lazy_fed_avg`, of updates whose arrays hold until the next is taken.

    Raises:
        UpdateError: As `fed_avg`, once all updates have been taken.
    """
    mean = RunningMean()
    answers: list[Update] = []
    without: list[str] = []
    for update in updates:
        answers.append(replace(update, delta=None))
        if update.delta is None:
            without.append(update.site)
        else:
            mean.add(update.delta, min(update.num_examples, 1) if uniform else update.num_examples)
        del update  # or it would be held while the next one is made
    return summed_up(answers, without, mean.mean, weighs=weighs)
