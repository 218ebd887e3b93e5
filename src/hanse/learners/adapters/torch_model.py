"""A torch module's parameters and buffers: taken from its `state_dict`, written to, and read back."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from hanse.core.values.parameters import Parameters, TensorSpec, mismatch, specs
from hanse.errors import TaskError, UpdateError
from hanse.learners.adapters.torch_arrays import (
    array_problem,
    as_arrays,
    as_tensor,
    assign,
    torch_dtype_name,
)
from hanse.learners.read_back import check_arrived
from hanse.learners.results import a_kind_of

EXTRA_STATE = "_extra_state"
"""End of the name of an entry of a `state_dict` that `get_extra_state` gives."""

_WRAPPERS = {"module.": "torch.nn.DataParallel", "_orig_mod.": "torch.compile"}
"""Wrappers by the prefix that they give the names of all tensors."""


def state_tensors(model: nn.Module, leave: Collection[str] = ()) -> dict[str, Tensor]:
    """A module's own parameters and buffers, by their names in its `state_dict`.

    Args:
        model: The module.
        leave: Names of entries that are not looked at.

    Raises:
        TaskError: An entry is not a tensor, or one that cannot be averaged: quantised, sparse, complex or
            without values; names the entry.
    """
    found = {}
    for name, value in model.state_dict().items():
        if name in leave or value is None:  # `get_extra_state` of a module that has none
            continue
        problem = _problem(value)
        if problem:
            raise TaskError(
                f"the entry {name!r} of the model's state_dict is {problem}, which cannot be averaged over "
                "sites",
                mend=_mend(name, value),
            )
        found[name] = value
    return found


def write_tensors(model: nn.Module, tensors: Mapping[str, Tensor], arrays: Parameters, what: str) -> None:
    """Write arrays into a module, and read them back.

    Args:
        model: The module.
        tensors: Those of its tensors that are written, as `state_tensors` gives them.
        arrays: Values by the same names.
        what: What the arrays are, for the error: `the parameters`.

    Raises:
        UpdateError: Names, shapes or dtypes differ, and nothing was written; or what was written is not in
            the module's `state_dict` afterwards. Names the tensor.
    """
    expected = {
        name: TensorSpec(tuple(tensor.shape), torch_dtype_name(tensor.dtype))
        for name, tensor in tensors.items()
    }
    if problem := mismatch(specs(arrays), expected):
        raise UpdateError(
            f"{what} do not fit the torch model: {problem}",
            mend=_prefixed(arrays.keys(), tensors.keys())
            or "Every party has to make the same model from the same plan.",
        )
    own = {_place(tensor) for tensor in (*model.parameters(), *model.buffers())}
    if all(_place(tensor) in own for tensor in tensors.values()):
        for name, tensor in tensors.items():
            assign(tensor, arrays[name])
    else:  # copies, such as a hook makes: only the module knows where they belong
        model.load_state_dict({name: as_tensor(arrays[name]) for name in tensors}, strict=False)
        # An override that reads back what it has kept elsewhere, such as averaged weights, shows nothing.
        inside = dict((*model.named_parameters(), *model.named_buffers()))
        copies = [name for name in tensors if not name.endswith(EXTRA_STATE)]
        reached = as_arrays({n: inside[n].detach().to(tensors[n].dtype) for n in copies if n in inside})
        check_arrived(reached, {name: arrays[name] for name in copies}, "the torch model", {"": _COPIES})
    after = model.state_dict()
    found = as_arrays({name: after[name] for name in tensors if isinstance(after.get(name), Tensor)})
    check_arrived(found, arrays, "the torch model", {"": _COPIES} | dict(_shared(tensors)))


def extra_state(model: nn.Module, names: Collection[str]) -> dict[str, Any]:
    """The entries of these names in a module's `state_dict`, whatever they are."""
    return {name: value for name, value in model.state_dict().items() if name in names}


_COPIES = (
    "Does the model's state_dict() give copies, by a hook or an override? It has to give the model's own "
    "parameters and buffers, or what load_state_dict() takes without a change."
)


def _problem(value: Any) -> str:
    if not isinstance(value, Tensor):
        return a_kind_of(value)
    if is_lazy(value):
        return "a parameter of a lazy module that has not seen an example"
    if value.is_complex():
        return f"a complex tensor ({torch_dtype_name(value.dtype)})"
    return array_problem(value)


def _mend(name: str, value: Any) -> str:
    if name.endswith(EXTRA_STATE) and not isinstance(value, Tensor):
        return (
            "Have get_extra_state() give a tensor; or keep the entry at the site: with a TorchLearner by "
            f'`personal: ["{name}"]` in the plan, in a script by giving hanse.rounds() a dictionary of the '
            "tensors that are to be exchanged."
        )
    if is_lazy(value):
        return "Show the model an example before it is federated."
    return (
        "Federate the model as it is before it is quantised or packed, in float32, float64, bfloat16 or "
        "float16, or give hanse.rounds() a dictionary of the tensors that are to be exchanged."
    )


def _spec(tensor: Tensor) -> TensorSpec:
    return TensorSpec(tuple(tensor.shape), torch_dtype_name(tensor.dtype))


def _place(tensor: Tensor) -> int:
    """Where a tensor's memory begins."""
    return tensor.untyped_storage().data_ptr()


def _shared(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, str]]:
    """Tensors whose memory another one has too, each with what to do about it."""
    first: dict[int, str] = {}
    for name, tensor in tensors.items():
        if not tensor.numel():
            continue
        other = first.setdefault(tensor.data_ptr(), name)
        if other != name:
            mend = (
                f"{other!r} and {name!r} are one tensor in the model, and two different ones in what was "
                "received. Start from a model in which they are the same, compress by other steps than "
                "`eden`, `drive`, `rotate` and `random_k`, or exchange one of them, with a TorchLearner by "
                f'`personal: ["{name}"]` in the plan.'
            )
            yield from ((other, mend), (name, mend))


def _prefixed(found: Collection[str], expected: Collection[str]) -> str:
    """Say what to do where names differ by the prefix of a wrapper; else empty."""
    for prefix, wrapper in _WRAPPERS.items():
        for plain, wrapped in ((found, expected), (expected, found)):
            if {f"{prefix}{name}" for name in plain} == set(wrapped):
                whose = "the model here" if wrapped is expected else "the model that was received"
                return (
                    f"The names of {whose} begin with {prefix!r}, as {wrapper} makes them: give the module "
                    "inside of the wrapper at every site."
                )
    return ""
