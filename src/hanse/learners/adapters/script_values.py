"""Model and kept values that a script hands to `hanse.rounds`, read and written in place."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from hanse.core.values.parameters import Array, Parameters, TensorSpec
from hanse.errors import TaskError
from hanse.learners.read_back import check_arrived
from hanse.learners.results import a_kind_of, is_masked

_OVERLAP = (
    "Do two of its entries share their memory? Give each an array of its own, or leave one of them out."
)


def read_model(model: Any) -> dict[str, Array]:
    """A model's arrays by name, not copied where they need not be.

    Args:
        model: A `torch.nn.Module`, or a dictionary of NumPy arrays or torch tensors.

    Raises:
        TaskError: It is neither, or empty; or it has an entry that cannot be averaged, which is named.
    """
    entries = _entries(model)
    if not entries:
        raise TaskError("hanse.rounds() was given a model without any array")
    return {name: _array(name, value) for name, value in entries.items()}


def write_model(model: Any, parameters: Parameters, *, keep: Collection[str] = ()) -> None:
    """Write parameters, whose names are the model's, into the model, and read them back.

    The arrays and tensors that are there are written to, so that other holders of them see the change.
    What cannot be written to (a NumPy scalar, an array of another shape or dtype) is replaced in the
    dictionary.

    Args:
        model: See `read_model`.
        parameters: Arrays by name.
        keep: Names of the model's tensors that are not written, and not among the parameters.

    Raises:
        UpdateError: The parameters do not fit the module; or the model is another afterwards than what was
            written. Names the tensor.
    """
    if _is_module(model):
        from hanse.learners.adapters.torch_model import state_tensors, write_tensors

        tensors = {name: tensor for name, tensor in state_tensors(model).items() if name not in keep}
        write_tensors(model, tensors, parameters, "the parameters")
        return
    entries = _entries(model)
    for name, array in parameters.items():
        present = entries[name]
        fits = _spec(_array(name, present)) == _spec(array)
        if _is_tensor(present):
            from hanse.learners.adapters.torch_arrays import as_tensor, assign

            if fits:
                assign(present, array)
            else:
                entries[name] = as_tensor(array).to(present.device)
        elif fits and isinstance(present, np.ndarray) and present.flags.writeable:
            np.copyto(present, array)
        else:
            entries[name] = np.array(array)
    check_arrived(read_model(model), parameters, "the dictionary given to hanse.rounds()", {"": _OVERLAP})


@contextmanager
def in_evaluation_mode(model: Any) -> Iterator[None]:
    """Have a module in evaluation mode, and afterwards each of its parts in the mode that it was in."""
    if not _is_module(model):
        yield
        return
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def read_kept(value: Any) -> dict[str, Array]:
    """The state of something that a script keeps: an optimiser, or a dictionary as `read_model` takes.

    Raises:
        TaskError: It is neither.
    """
    if hasattr(value, "state_dict"):
        from hanse.learners.adapters.torch_arrays import pack

        return pack(value.state_dict())
    if not isinstance(value, MutableMapping):
        raise TaskError(
            f"hanse.rounds() cannot keep {a_kind_of(value)}",
            mend="It keeps torch optimisers and schedulers, and dictionaries of arrays or tensors.",
        )
    return read_model(value)


def write_kept(name: str, value: Any, state: Parameters) -> str:
    """Put back what `read_kept` gave.

    Returns:
        A sentence for the site's log where an optimiser does not take it back as it was; else empty.

    Raises:
        UpdateError: As `write_model`.
    """
    if hasattr(value, "state_dict"):
        from hanse.learners.adapters.torch_arrays import load_packed

        return load_packed(value, state, f"what is kept as {name!r}")
    write_model(value, state)
    return ""


def _entries(model: Any) -> MutableMapping[str, Any]:
    if _is_module(model):
        from hanse.learners.adapters.torch_model import state_tensors

        return dict(state_tensors(model))
    if isinstance(model, MutableMapping):
        return model
    raise TaskError(
        f"hanse.rounds() was given {a_kind_of(model)}",
        mend="It takes a torch.nn.Module, or a dictionary of NumPy arrays or torch tensors by name.",
    )


def _array(name: Any, value: Any) -> Array:
    if is_masked(value):
        raise TaskError(f"the model's entry {name!r} has masked numbers", mend="Give it filled().")
    if isinstance(name, str) and isinstance(value, np.ndarray | np.generic):
        return np.asarray(value)
    if isinstance(name, str) and _is_tensor(value):
        from hanse.learners.adapters.torch_arrays import array_problem, as_array

        if problem := array_problem(value):
            raise TaskError(f"the entry {name!r} is {problem}", mend="Give it as a dense tensor, in float32.")
        return as_array(value)
    raise TaskError(
        f"the model's entry {name!r} is {a_kind_of(value)}",
        mend="Names must be text, and values NumPy arrays or torch tensors.",
    )


def _is_module(model: Any) -> bool:
    # Where torch was not imported, nothing is of it; so nothing here imports it for nothing.
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _spec(array: Array) -> TensorSpec:
    return TensorSpec(array.shape, array.dtype.name)
