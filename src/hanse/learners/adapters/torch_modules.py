"""Models of torch learners: a module that was given, or one a process that a function makes for all sites."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import nn

from hanse.core.values.parameters import Parameters
from hanse.errors import TaskError
from hanse.learners.adapters.torch_arrays import as_arrays
from hanse.learners.adapters.torch_tensors import ModelTensors, copies
from hanse.learners.results import a_kind_of

MakeModel = Callable[[], nn.Module]


@dataclass(frozen=True, slots=True)
class Placing:
    """Where a module is, and which of its tensors are exchanged.

    Attributes:
        device: The device.
        channels_last: Whether its convolutions have their channels last in memory.
        exchange: Patterns of what is exchanged.
        personal: Patterns of what stays at the site.
    """

    device: torch.device
    channels_last: bool = False
    exchange: tuple[str, ...] = ("*",)
    personal: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A module in its place.

    Attributes:
        module: The module; other learners of the process may have it too.
        tensors: Its tensors by what becomes of them.
        own: Personal entries that are not tensors, when the module was made.
        first: Tensors that were exchanged or personal then; None of a module that was given, which holds
            them itself.
    """

    module: nn.Module
    tensors: ModelTensors
    own: Mapping[str, Parameters]
    first: Parameters | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    """A model that a function made, and the random generators before and after that."""

    model: Model
    before: tuple[Any, ...]
    after: tuple[Any, ...]


_MADE: WeakKeyDictionary[MakeModel, dict[Placing, _Made]] = WeakKeyDictionary()


def placed(model: nn.Module | MakeModel, placing: Placing) -> Model:
    """Put a module in its place, or make one.

    What a function makes is made once a process for each state of the random generators, and shared by all
    learners that ask for it: every task writes all that is not the same for all of them. The generators are
    left as the function leaves them, so that a shared module changes no number of what follows.

    Raises:
        TaskError: A function made something else than a module; or as `ModelTensors`.
        ValueError: As `ModelTensors`.
    """
    if isinstance(model, nn.Module):
        return _placed(model, placing, shared=False)
    before = _generators()
    found = _made_before(model).get(placing)
    if found is not None and _same(found.before, before):
        _set_generators(found.after)
        return found.model
    module = model()
    if not isinstance(module, nn.Module):
        raise TaskError(
            f"the function given as `model` returned {a_kind_of(module)}", mend="Return a torch.nn.Module."
        )
    made = _Made(_placed(module, placing, shared=True), before, _generators())
    _made_before(model)[placing] = made
    return made.model


def _placed(module: nn.Module, placing: Placing, *, shared: bool) -> Model:
    module = module.to(placing.device)
    if placing.channels_last:
        module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fixed = shared or placing.exchange != ("*",)
    tensors = ModelTensors(module, placing.exchange, placing.personal, fixed=fixed)
    first = copies(as_arrays(tensors.all())) if shared else None
    return Model(module, tensors, tensors.read_own(), first)


def _made_before(model: MakeModel) -> dict[Placing, _Made]:
    try:
        return _MADE.setdefault(model, {})
    except TypeError:  # a callable that nothing can refer to weakly, or that has no hash
        return {}


def _generators() -> tuple[Any, ...]:
    """The states of Python's, NumPy's and torch's global generators."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    return random.getstate(), np.random.get_state(), torch.get_rng_state(), cuda


def _set_generators(states: tuple[Any, ...]) -> None:
    python, numpy, cpu, cuda = states
    random.setstate(python)
    np.random.set_state(numpy)
    torch.set_rng_state(cpu)
    if cuda:
        torch.cuda.set_rng_state_all(cuda)


def _same(one: tuple[Any, ...], two: tuple[Any, ...]) -> bool:
    numpy = all(np.array_equal(a, b) for a, b in zip(one[1], two[1], strict=True))
    torches = [(one[2], two[2]), *zip(one[3], two[3], strict=False)]
    same = all(torch.equal(a, b) for a, b in torches) and len(one[3]) == len(two[3])
    return bool(one[0] == two[0] and numpy and same)
