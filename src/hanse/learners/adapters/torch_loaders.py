"""Data loaders with processes of their own, where those cannot pass their batches on: refused at once.

What a process of a `DataLoader` cannot pass on is lost in a thread of `multiprocessing`, and the loop over
the loader waits for ever. Nothing here imports torch: code that does without is not to pay for it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from hanse.errors import TaskError

_MODULE = "torch.utils.data.dataloader"


def refuse_loader_processes(reason: str) -> None:
    """Have each loop over a `DataLoader` with `num_workers` fail, also where torch is imported later.

    Args:
        reason: Why its processes cannot pass on what they read.
    """
    if _MODULE in sys.modules:
        _refuse(sys.modules[_MODULE], reason)
    else:
        sys.meta_path.insert(0, _WhenImported(reason))


class _WhenImported(MetaPathFinder):
    """Waits for the module to be imported, once."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See `MetaPathFinder`."""
        if fullname != _MODULE:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(fullname)
        if spec is not None and spec.loader is not None:
            execute, reason = spec.loader.exec_module, self._reason

            def execute_and_refuse(module: ModuleType) -> None:
                execute(module)
                _refuse(module, reason)

            spec.loader.exec_module = execute_and_refuse  # type: ignore[method-assign]
        return spec


def _refuse(module: ModuleType, reason: str) -> None:
    loop = module.DataLoader.__iter__

    def checked_loop(loader: Any) -> Iterator[Any]:
        if loader.num_workers > 0:
            raise TaskError(
                f"a DataLoader with num_workers={loader.num_workers} cannot work here: {reason}",
                mend="Use num_workers=0, or a machine that has what `hanse doctor` misses.",
            )
        begun: Iterator[Any] = loop(loader)
        return begun

    module.DataLoader.__iter__ = checked_loop
