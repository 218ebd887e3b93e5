"""State of local rules at a site, beside the local state of a learner or a script."""

from __future__ import annotations

from collections.abc import Mapping

from hanse.core.values.groups import Groups, flattened, nested
from hanse.core.values.parameters import Parameters
from hanse.errors import TaskError

_MARK = "@local/"
"""Beginning of the names under which rules keep something: `@local/TASK/RULE`."""

State = Mapping[str, Parameters]
"""Local state, as it is stored: groups of arrays by name."""


def of_rules(state: State) -> dict[str, Parameters]:
    """The part of a state that rules keep."""
    return {name: arrays for name, arrays in state.items() if name.startswith(_MARK)}


def of_user(state: State) -> dict[str, Parameters]:
    """The part of a state that is the learner's or script's own."""
    return {name: arrays for name, arrays in state.items() if not name.startswith(_MARK)}


def checked_of_user(state: State) -> State:
    """The state that a learner or a script gave.

    Raises:
        TaskError: It has a name that is taken.
    """
    for name in of_rules(state):
        raise TaskError(f"the local state has a group {name!r}; names that begin with {_MARK!r} are taken")
    return state


def kept_of(state: State, task: str) -> dict[str, Groups]:
    """State of a task's rules, by the names of the rules."""
    prefix = f"{_MARK}{task}/"
    return {
        name.removeprefix(prefix): nested(arrays) for name, arrays in state.items() if name.startswith(prefix)
    }


def with_kept(state: State, task: str, kept: Mapping[str, Groups]) -> dict[str, Parameters]:
    """A state in which the rules of a task keep this, and nothing of what they kept before."""
    prefix = f"{_MARK}{task}/"
    others = {name: arrays for name, arrays in state.items() if not name.startswith(prefix)}
    return others | {f"{prefix}{rule}": flattened(groups) for rule, groups in kept.items() if groups}
