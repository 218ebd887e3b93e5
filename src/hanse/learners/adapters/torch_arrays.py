"""Between torch's tensors and NumPy's arrays: same bits, and no copy where they can share memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from hanse.core.values.parameters import Array, Parameters
from hanse.errors import TaskError
from hanse.learners.read_back import difference

# What NumPy lacks passes as integers of the same width.
_EXTENDED: dict[torch.dtype, tuple[torch.dtype, Any]] = {
    torch.bfloat16: (torch.int16, ml_dtypes.bfloat16),
    torch.float8_e4m3fn: (torch.uint8, ml_dtypes.float8_e4m3fn),
    torch.float8_e5m2: (torch.uint8, ml_dtypes.float8_e5m2),
}
_BITS = {np.dtype(extended): (dtype, bits) for dtype, (bits, extended) in _EXTENDED.items()}

_SKELETON = "skeleton"


def array_problem(tensor: Tensor) -> str:
    """Say in words why a tensor has no array of its values; empty where it has one."""
    if tensor.is_quantized:
        return f"a quantised tensor ({torch_dtype_name(tensor.dtype)})"
    if tensor.is_nested:
        return "a nested tensor"
    if tensor.layout is not torch.strided:
        return f"a sparse tensor ({str(tensor.layout).removeprefix('torch.')})"
    if tensor.is_meta:
        return "a tensor without values (device meta)"
    if tensor.dtype not in _EXTENDED and not hasattr(np, torch_dtype_name(tensor.dtype)):
        return f"a tensor of {torch_dtype_name(tensor.dtype)}"
    return ""


def as_array(tensor: Tensor) -> Array:
    """A tensor as an array: of the same memory if the tensor is on the CPU, else copied from its device."""
    host = tensor.detach().cpu()
    if host.dtype in _EXTENDED:
        bits, extended = _EXTENDED[host.dtype]
        return host.view(bits).numpy().view(extended)
    array: Array = host.numpy()
    return array


def as_arrays(tensors: Mapping[str, Tensor]) -> dict[str, Array]:
    """`as_array` of each."""
    return {name: as_array(tensor) for name, tensor in tensors.items()}


def as_tensor(array: Array) -> Tensor:
    """A new tensor on the CPU with the array's values and dtype."""
    copied = np.array(array)
    if copied.dtype in _BITS:
        dtype, bits = _BITS[copied.dtype]
        return torch.from_numpy(copied.view(torch_dtype_name(bits))).view(dtype)
    return torch.from_numpy(copied)


def assign(tensor: Tensor, array: Array) -> None:
    """Write an array of the tensor's shape and dtype into the tensor."""
    if tensor.device.type == "cpu":
        np.copyto(as_array(tensor), array)
    else:
        tensor.detach().copy_(as_tensor(array))


def pack(state: Any) -> dict[str, Array]:
    """Write a `state_dict` of an optimiser or scheduler as arrays by name.

    Tensors stay as they are, and share their memory; all else becomes JSON in a uint8 array, in which
    numbers keep every bit.

    Raises:
        TaskError: It holds something other than tensors, numbers, text, None, and lists, tuples and
            dictionaries of them.
    """
    tensors: dict[str, Tensor] = {}
    text = json.dumps(_skeleton(state, "state", tensors))
    return {**as_arrays(tensors), _SKELETON: np.frombuffer(text.encode(), dtype=np.uint8)}


def unpack(arrays: Parameters) -> Any:
    """Read back what `pack` wrote; the tensors are new and on the CPU."""
    return _filled(json.loads(arrays[_SKELETON].tobytes()), arrays)


def load_packed(holder: Any, arrays: Parameters, what: str) -> str:
    """Have an optimiser or a scheduler load the state that `pack` wrote, and read it back.

    Args:
        holder: Has `load_state_dict` and `state_dict`.
        arrays: What `pack` gave.
        what: What it is, for the sentence: `the optimiser`.

    Returns:
        A sentence where the state is another afterwards than what was packed; else empty.
    """
    state = unpack(arrays)
    holder.load_state_dict(state)
    if isinstance(holder, Optimizer):
        _keep_dtypes(holder, state.get("state", {}))
    name = difference(pack(holder.state_dict()), arrays)
    if not name:
        return ""
    return (
        f"{what} has another state after a restart than before: load_state_dict() does not restore {name!r} "
        "as state_dict() gave it. From here on results may be others than those of an undisturbed run."
    )


def _keep_dtypes(optimizer: Optimizer, state: Mapping[Any, Mapping[str, Any]]) -> None:
    """Give an optimiser its state in the dtypes that it had: torch loads it in those of the parameters."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for index, parameter in enumerate(parameters):
        loaded = optimizer.state.get(parameter, {})
        for key, value in state.get(index, {}).items():
            now = loaded.get(key)
            if isinstance(value, Tensor) and isinstance(now, Tensor) and value.dtype != now.dtype:
                loaded[key] = value.to(now.device)


def torch_dtype_name(dtype: torch.dtype) -> str:
    """Name of a torch dtype, which is the same in NumPy."""
    return str(dtype).removeprefix("torch.")


def _skeleton(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    match value:
        case Tensor():
            if problem := array_problem(value):
                raise TaskError(f"{path} is {problem}, which cannot be kept from round to round")
            tensors[path] = value
            return {"tensor": path}
        case Mapping():
            return {"dict": [[key, _skeleton(item, f"{path}.{key}", tensors)] for key, item in value.items()]}
        case list() | tuple():
            kind = "list" if isinstance(value, list) else "tuple"
            return {kind: [_skeleton(item, f"{path}.{i}", tensors) for i, item in enumerate(value)]}
        case None | bool() | int() | float() | str():
            return value
        case _:
            raise TaskError(f"{path} is a {type(value).__name__}, which cannot be kept from round to round")


def _filled(value: Any, arrays: Parameters) -> Any:
    match value:
        case {"tensor": path}:
            return as_tensor(arrays[path])
        case {"dict": items}:
            return {key: _filled(item, arrays) for key, item in items}
        case {"list": items}:
            return [_filled(item, arrays) for item in items]
        case {"tuple": items}:
            return tuple(_filled(item, arrays) for item in items)
        case _:
            return value
