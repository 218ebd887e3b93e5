"""Arrays of NumPy, torch and JAX in one arithmetic; no framework is imported that is not there already."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from hanse.core.values.parameters import Array, Parameters, is_floating
from hanse.errors import TaskError

_SINGLE = 4
"""Bytes of a number in single precision."""


class Constants:
    """Tensors that stay as they are throughout a task, each turned into its gradient's framework once.

    Args:
        arrays: By name; copied where they are turned into another framework, dtype or device.
    """

    def __init__(self, arrays: Parameters) -> None:
        self._arrays = arrays
        self._converted: dict[str, Any] = {}

    def like(self, name: str, gradient: Any) -> Any:
        """The tensor of this name in the framework, the dtype and on the device of a gradient."""
        if name not in self._converted:
            self._converted[name] = converted(self._arrays[name], gradient)
        return self._converted[name]


def converted(array: Array, like: Any) -> Any:
    """An array in the framework, the dtype and on the device of another one."""
    if isinstance(like, np.ndarray | np.generic):
        return array.astype(like.dtype, copy=False)
    # By way of a dtype that every framework can read, whose rounding to the gradient's own is exact.
    plain = np.array(array, dtype=np.float32 if array.dtype.itemsize < _SINGLE else None)
    if is_torch(like):
        return sys.modules["torch"].from_numpy(plain).to(device=like.device, dtype=like.dtype)
    if "jax" in sys.modules and isinstance(like, sys.modules["jax"].Array):
        return sys.modules["jax.numpy"].asarray(plain, dtype=like.dtype)
    raise _unknown(like)


def as_numpy(array: Any, like: Array) -> Array:
    """An array of any framework as one of NumPy, in the dtype of `like`."""
    if is_torch(array):
        array = array.detach().cpu().numpy()
    return np.asarray(array).astype(like.dtype.newbyteorder("="), copy=False)


def single(array: Any) -> Any:
    """The same in float32 where it is in half precision or less: a sum of many would lose all but the first.

    In float64 it stays as it is.
    """
    if is_torch(array):
        return array.float() if array.element_size() < _SINGLE else array
    return array.astype(np.float32) if array.dtype.itemsize < _SINGLE else array


def in_dtype(array: Any, like: Any) -> Any:
    """An array of NumPy in the dtype of another one; other frameworks keep theirs by themselves."""
    # Arithmetic makes a scalar of an array without dimensions, and float32 of bfloat16 and a Python number.
    if isinstance(array, np.ndarray | np.generic):
        return np.asarray(array).astype(like.dtype, copy=False)
    return array


def checked(value: Any, what: str) -> Any:
    """An array that arithmetic can be done with, cut off from what would be differentiated.

    Raises:
        TaskError: It is not an array of NumPy, torch or JAX with real numbers, or it is one that JAX traces.
    """
    if is_torch(value):
        if value.is_sparse:
            raise TaskError(f"{what} is sparse", mend="Local rules need dense gradients (`sparse=False`).")
        if value.dtype.is_floating_point:
            return value.detach()
    jax = sys.modules.get("jax")
    if jax is not None and isinstance(value, jax.core.Tracer):
        raise TaskError(
            f"{what} is traced by JAX, which would correct one step and repeat that",
            mend="Call `correct` between two functions under `jax.jit`: the gradient's and the optimiser's.",
        )
    if isinstance(value, np.ndarray | np.generic) or (jax is not None and isinstance(value, jax.Array)):
        if is_floating(value.dtype):
            return value
        raise TaskError(f"{what} has dtype {value.dtype}, expected floating-point numbers")
    raise _unknown(value, what)


def is_torch(value: Any) -> bool:
    """Check whether a value is a torch tensor."""
    # Where torch was not imported, nothing is of it; so nothing here imports it for nothing.
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _unknown(value: Any, what: str = "a gradient") -> TaskError:
    kind = f"{type(value).__module__}.{type(value).__name__}"
    return TaskError(
        f"{what} is a {kind}, which local rules cannot compute with",
        mend="Give arrays of NumPy, torch or JAX by the names of the model's tensors.",
    )
