"""Names, shapes and dtypes of the tensors of groups: what a task is sent, and what it has to give.

Workflow, agent, service and audit all compute them here, from the plan and the headers of what a task
receives.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import translate

import numpy as np

from hanse.core.plan.group_rules import fixed_dimension
from hanse.core.plan.groups import MODEL, Dimension, GroupSpec
from hanse.core.plan.plan import Plan
from hanse.core.plan.tasks import INITIALISE
from hanse.core.values.groups import MARK, group_of, tensor_name
from hanse.core.values.lazy import flat_reader
from hanse.core.values.parameters import Array, Parameters, TensorSpec, in_words
from hanse.core.values.wording import named
from hanse.errors import DisclosureError

Specs = Mapping[str, TensorSpec]

_BLOCK = 1 << 18
_FILE_BYTES = 65_536
_HEADER_BYTES = 512
"""Of a tensor in the header of its file."""


@dataclass(frozen=True, slots=True)
class Received:
    """The headers of what a task receives.

    Attributes:
        model: Tensors of the model; None where the task receives none.
        groups: Tensors of the groups, named as `hanse.core.values.groups.flattened` names them.
    """

    model: Specs | None = None
    groups: Specs | None = None


NOTHING = Received()


def receives_model(plan: Plan, task: str) -> bool:
    """Check if a task starts from a model."""
    return task != INITIALISE and MODEL in plan.tasks[task].receives


def received_groups(plan: Plan, task: str) -> tuple[str, ...]:
    """The groups that a task is sent beside the model, in the order of the plan."""
    return () if task == INITIALISE else tuple(g for g in plan.tasks[task].receives if g != MODEL)


def problem_of_received(plan: Plan, task: str, received: Received) -> str:
    """Say in words where groups are not those that a task receives or is to give; empty where they are.

    Args:
        plan: The plan; has the task.
        task: The task.
        received: The groups, and the model that they may be like.
    """
    groups, sizes = received.groups or {}, dict[str, int]()
    wanted = received_groups(plan, task)
    given = {group_of(name) for name in groups}
    if extra := sorted(given - set(wanted)):
        listed = named([repr(name) for name in wanted]) or "none"
        return f"group {extra[0]!r} was not expected; task {task} receives beside the model: {listed}"
    for group in wanted:
        spec = plan.group_specs[group]
        own = _of_group(groups, group)
        if spec.like:
            problem = _unlike(spec, received) or _difference(own, _like(spec, group, received))
        else:
            problem = _misfit(plan, spec, group, own, sizes)
        if problem:
            return f"group {group!r} is not what the plan declares: {problem}"
    for group in () if task == INITIALISE else plan.tasks[task].discloses.groups:
        if plan.group_specs[group].like and (problem := _unlike(plan.group_specs[group], received)):
            return f"group {group!r} cannot be given: {problem}"
    return ""


def disclosed_tensors(plan: Plan, task: str, received: Received) -> dict[str, TensorSpec]:
    """The tensors of all groups that a task has to give.

    Args:
        plan: The plan.
        task: The task.
        received: What it was sent, as `problem_of_received` accepts it.

    Raises:
        DisclosureError: The plan has no such task, or what was sent is not what the plan declares.
    """
    if task == INITIALISE or task not in plan.tasks or not plan.tasks[task].discloses.groups:
        return {}
    problem = problem_of_received(plan, task, received)
    if problem:
        raise DisclosureError(f"task {task} was sent something else than the plan says: {problem}")
    sizes = _bound(plan, task, received.groups or {})
    tensors: dict[str, TensorSpec] = {}
    for group in plan.tasks[task].discloses.groups:
        spec = plan.group_specs[group]
        if spec.like:
            tensors |= _like(spec, group, received)
            continue
        for array, declared in spec.arrays.items():
            shape = tuple(_size(plan, size, sizes) for size in declared.shape)
            tensors[tensor_name(group, array or None)] = TensorSpec(shape, declared.dtype)
    return tensors


def group_bytes(plan: Plan, task: str, model_bytes: int) -> int:
    """Most bytes of the groups that a task gives, file header included, however its dimensions are decided.

    Args:
        plan: The plan; has the task.
        task: The task.
        model_bytes: Size of the model, which groups may be like.
    """
    total = 0
    for group in plan.tasks[task].discloses.groups:
        total += _most_bytes(plan, group, model_bytes)
    return total


def received_bytes(plan: Plan, group: str, model_bytes: int) -> int:
    """Most bytes of the file of a group that a task receives; see `group_bytes`."""
    return _most_bytes(plan, group, model_bytes) + _FILE_BYTES


def _most_bytes(plan: Plan, group: str, model_bytes: int) -> int:
    spec = plan.group_specs[group]
    if spec.like == MODEL:
        return 8 * model_bytes + _HEADER_BYTES  # float64 of what may be float8
    if spec.like:
        return 8 * _most_bytes(plan, spec.like, model_bytes)
    total = 0
    for array in spec.arrays.values():
        sizes = (plan.dimensions[s] if s in plan.dimensions else _size(plan, s, {}) for s in array.shape)
        total += math.prod(sizes) * np.dtype(array.dtype).itemsize + _HEADER_BYTES
    return total


def out_of_range(plan: Plan, tensors: Parameters) -> str:
    """Say in words which tensor of a group has a number outside of the group's `range`; empty for none."""
    for name, array in tensors.items():
        # In a plan without groups the model may have names like these.
        if not name.startswith(MARK) or group_of(name) not in plan.group_specs:
            continue
        bounds = plan.group_specs[group_of(name)].bounds
        if bounds is not None and not _within(array, *bounds):
            return f"{in_words(name)} has a number outside of {bounds[0]:g} to {bounds[1]:g}"
    return ""


def _within(array: Array, low: float, high: float) -> bool:
    read, block = flat_reader(array)
    step = -(-_BLOCK // block) * block
    ranges = ((begin, min(begin + step, array.size)) for begin in range(0, array.size, step))
    return all(
        bool(np.all((values >= low) & (values <= high)))
        for values in (read(begin, end) for begin, end in ranges)
    )


def _of_group(tensors: Specs, group: str) -> dict[str, TensorSpec]:
    whole, prefix = tensor_name(group), tensor_name(group, "")
    return {name: spec for name, spec in tensors.items() if name == whole or name.startswith(prefix)}


def _like(spec: GroupSpec, group: str, received: Received) -> dict[str, TensorSpec]:
    """The tensors of a group that is like another."""
    matches = re.compile("|".join(map(translate, spec.patterns))).match
    return {
        tensor_name(group, name or None): TensorSpec(found.shape, spec.dtype or found.dtype)
        for name, found in _source(spec, received).items()
        if not name or matches(name)
    }


def _source(spec: GroupSpec, received: Received) -> dict[str, TensorSpec]:
    """The floating-point tensors of what a group is like, by name; of a single array, by the empty one."""
    source = dict(received.model or {})
    if spec.like != MODEL:
        prefix = tensor_name(spec.like, "")
        source = {
            name.removeprefix(prefix) if name.startswith(prefix) else "": found
            for name, found in _of_group(received.groups or {}, spec.like).items()
        }
    return {name: found for name, found in source.items() if found.dtype.startswith(("float", "bfloat"))}


def _unlike(spec: GroupSpec, received: Received) -> str:
    """Say in words why a group has no tensors that it should have, those of a pattern; empty otherwise."""
    names = tuple(_source(spec, received))
    if names and (pattern := unfitting(spec.patterns, names)):
        listed = named([repr(name) for name in names])
        return f"its `tensors` have a pattern {pattern!r} that none of `{spec.like}` fits; there are {listed}"
    return "" if names else f"`{spec.like}` has no tensors of real numbers"


# Of one model for each of its tasks: to hold 1000 patterns against 100,000 names takes seconds.
@functools.lru_cache(maxsize=8)
def unfitting(patterns: tuple[str, ...], names: tuple[str, ...]) -> str:
    """The first pattern that no name fits; empty where each fits one."""
    known = set(names)
    return next((p for p in patterns if p not in known and not _fits(p, names)), "")


def _fits(pattern: str, names: tuple[str, ...]) -> bool:
    return any(map(re.compile(translate(pattern)).match, names))


def _misfit(plan: Plan, spec: GroupSpec, group: str, found: Specs, sizes: dict[str, int]) -> str:
    """Where the tensors of a group differ from what is declared; notes the dimensions that they decide."""
    names = {tensor_name(group, array or None): declared for array, declared in spec.arrays.items()}
    if unknown := sorted(found.keys() - names.keys()):
        return f"it has {in_words(unknown[0])}, and should have {_listed(names)}"
    for name, declared in names.items():
        if name not in found:
            return f"{in_words(name)} is missing"
        shape, dtype = found[name].shape, found[name].dtype
        if dtype != declared.dtype:
            return f"{in_words(name)} is {dtype}, and should be {declared.dtype}"
        if len(shape) != len(declared.shape):
            return f"{in_words(name)} has {len(shape)} dimensions, and should have {len(declared.shape)}"
        for size, wanted in zip(shape, declared.shape, strict=True):
            if problem := _other_size(plan, size, wanted, sizes):
                return f"{in_words(name)} has the shape {shape}: {problem}"
    return ""


def _other_size(plan: Plan, size: int, wanted: Dimension, sizes: dict[str, int]) -> str:
    if isinstance(wanted, str) and wanted in plan.dimensions:
        most = plan.dimensions[wanted]
        if size > most:
            return f"{wanted} is {size}, at most {most} by the plan"
        if sizes.setdefault(wanted, size) != size:
            return f"{wanted} is {size} here and {sizes[wanted]} in another array"
        return ""
    fixed = _size(plan, wanted, {})
    return "" if size == fixed else f"{wanted if isinstance(wanted, str) else 'a dimension'} is {fixed}"


def _size(plan: Plan, size: Dimension, sizes: Mapping[str, int]) -> int:
    if isinstance(size, int):
        return size
    fixed = fixed_dimension(plan.options, size)
    return sizes[size] if fixed is None else fixed


def _bound(plan: Plan, task: str, groups: Specs) -> dict[str, int]:
    """The dimensions that groups decide, which are as the plan declares them."""
    sizes: dict[str, int] = {}
    for group in received_groups(plan, task):
        spec = plan.group_specs[group]
        if not spec.like:
            _misfit(plan, spec, group, _of_group(groups, group), sizes)
    return sizes


def _listed(names: Iterable[str]) -> str:
    return named([in_words(name) for name in sorted(names)])


def _difference(found: Specs, wanted: Specs) -> str:
    for name in sorted(found.keys() | wanted.keys()):
        if name not in wanted:
            return f"it has {in_words(name)}, and should have {_listed(wanted)}"
        if name not in found:
            return f"{in_words(name)} is missing"
        if found[name] != wanted[name]:
            return (
                f"{in_words(name)} is {found[name].dtype} of the shape {found[name].shape}, and should be "
                f"{wanted[name].dtype} of the shape {wanted[name].shape}"
            )
    return ""
