"""Tensors of a torch learner's model: which are exchanged, which stay at the site, and which never change."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from torch import Tensor, nn

from hanse.core.values.parameters import Array, Parameters, personal_names
from hanse.learners.adapters.torch_arrays import as_arrays, pack, unpack
from hanse.learners.adapters.torch_model import EXTRA_STATE, extra_state, state_tensors, write_tensors
from hanse.learners.read_back import check_arrived, difference

_TAKE_BACK = "set_extra_state() has to restore what get_extra_state() gave."


class ModelTensors:
    """Tensors of a model by what becomes of them; the model itself holds the values.

    Args:
        model: The model.
        exchange: Patterns of the entries of its `state_dict` that are exchanged.
        personal: Patterns of those that stay at the site, whatever `exchange` says: tensors are among the
            parameters that the learner gets and gives, for its session to keep; the rest is kept here.
        fixed: Whether buffers that are neither are put back before each task.

    Raises:
        ValueError: A pattern that nothing fits; nothing is exchanged; or a tensor that would be trained is
            neither exchanged nor personal.
        TaskError: An entry cannot be averaged; names it.
    """

    def __init__(
        self, model: nn.Module, exchange: Sequence[str] = ("*",), personal: Sequence[str] = (), *, fixed: bool
    ) -> None:
        self._model = model
        state = model.state_dict()
        self._personal = set(personal_names(state, personal))
        everything = tuple(exchange) == ("*",)
        self._exchanged = (set(state) if everything else matching(state, exchange)) - self._personal
        self._extra = {name for name in self._personal if _is_extra(name, state[name])}
        self._left = {*self._extra, *state.keys() - self._personal - self._exchanged}
        if not self.exchanged():  # what cannot be exchanged is refused before a run begins
            raise ValueError("every tensor of the model is personal: nothing would be exchanged")
        self._check_trained()
        self._fixed = self._buffers() if fixed else {}

    def exchanged(self) -> dict[str, Tensor]:
        """The tensors that are exchanged, by their names in the `state_dict`."""
        return self._of(self._exchanged)

    @property
    def kept_as_state(self) -> set[str]:
        """Names of personal entries that are not tensors."""
        return set(self._extra)

    def all(self) -> dict[str, Tensor]:
        """The tensors that are exchanged or personal."""
        return self._of({*self._exchanged, *self._personal - self._extra})

    def write_all(self, arrays: Parameters) -> None:
        """Write what `all` gave, as a model that is kept here.

        Raises:
            UpdateError: It does not fit, or is not what is in the model afterwards.
        """
        write_tensors(self._model, self.all(), arrays, "the tensors of the model kept here")

    def load(self, parameters: Parameters, own: Mapping[str, Parameters]) -> None:
        """Write what was received into the model, what is personal included.

        Args:
            parameters: Tensors as `all` gives them.
            own: What `read_own` gave.

        Raises:
            UpdateError: They do not fit, or are not what is in the model afterwards.
        """
        for name, buffer in self._model.named_buffers():
            if name in self._fixed:
                buffer.detach().copy_(self._fixed[name])
        # In this order: a personal tensor may be tied to one that is exchanged, whose value counts.
        self.write_own(own)
        personal, exchanged = self._of(self._personal - self._extra), self.exchanged()
        given = {name: array for name, array in parameters.items() if name not in personal}
        kept = {name: array for name, array in parameters.items() if name in personal}
        write_tensors(self._model, personal, kept, "the personal tensors kept here")
        write_tensors(self._model, exchanged, given, "the parameters")

    def read_own(self) -> dict[str, Parameters]:
        """Copies of personal entries that are not tensors: virtual sites may share one module."""
        if not self._extra:
            return {}
        return {"personal_state": copies(pack(extra_state(self._model, self._extra)))}

    def write_own(self, own: Mapping[str, Parameters]) -> None:
        """Write what `read_own` gave.

        Raises:
            UpdateError: It does not fit, or is not what is in the model afterwards.
        """
        if "personal_state" in own:
            self._model.load_state_dict(unpack(own["personal_state"]), strict=False)
            found = pack(extra_state(self._model, self._extra))
            check_arrived(found, own["personal_state"], "the torch model", {"": _TAKE_BACK})

    def stood_still(self, received: Parameters) -> bool:
        """Check that of what is exchanged and can be trained nothing was; buffers may have changed."""
        trainable = {
            parameter.data_ptr() for parameter in self._model.parameters() if parameter.requires_grad
        }
        tensors = self.exchanged()
        trained = as_arrays({name: t for name, t in tensors.items() if t.data_ptr() in trainable})
        before = {name: received[name] for name in trained}
        if not trained or any(np.may_share_memory(trained[name], before[name]) for name in trained):
            return False
        # Where buffers have not changed either, the caller of the task says so.
        exchanged = {name: received[name] for name in tensors}
        return not difference(trained, before) and bool(difference(as_arrays(tensors), exchanged))

    def _of(self, names: Collection[str]) -> dict[str, Tensor]:
        tensors = state_tensors(self._model, leave=self._left)
        return {name: tensor for name, tensor in tensors.items() if name in names}

    def _check_trained(self) -> None:
        places = {tensor.data_ptr() for tensor in self._of({*self._exchanged, *self._personal}).values()}
        for name, parameter in self._model.named_parameters():
            known = name in self._exchanged or name in self._personal or parameter.data_ptr() in places
            # A module may show its parameters under other names; then all of them are exchanged.
            if parameter.requires_grad and not known and self._left - self._extra:
                raise ValueError(
                    f"the tensor {name!r} would be trained and is neither exchanged nor personal: its "
                    "training would be lost. Freeze it with requires_grad_(False), or add it to "
                    "`exchange` or `personal`"
                )

    def _buffers(self) -> dict[str, Tensor]:
        """Copies of buffers that are neither exchanged nor personal, but may change in training."""
        others = {*self._exchanged, *self._personal}
        buffers = self._model.named_buffers()
        return {name: buffer.detach().clone() for name, buffer in buffers if name not in others}


def matching(names: Iterable[str], patterns: Sequence[str]) -> set[str]:
    """The names that fit one of the patterns; each pattern must fit one.

    Raises:
        ValueError: A pattern fits none.
    """
    known = list(names)
    found: set[str] = set()
    for pattern in patterns:
        fitting = {name for name in known if fnmatchcase(name, pattern)}
        if not fitting:
            raise ValueError(f"no tensor of the model fits {pattern!r}; there are: {', '.join(known[:20])}")
        found |= fitting
    return found


def copies(arrays: Parameters) -> dict[str, Array]:
    """The same arrays in memory of their own."""
    return {name: np.array(array) for name, array in arrays.items()}


def _is_extra(name: str, value: Any) -> bool:
    return name.endswith(EXTRA_STATE) and not isinstance(value, Tensor)
