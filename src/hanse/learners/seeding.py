"""Seeds for the global random generators that the user's code may draw from."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np


def seed_generators(seed: int) -> None:
    """Seed Python's, NumPy's and torch's global generators.

    torch is not imported for it: where it is not there yet, its generator is seeded when the user's code
    imports it, so that a fresh process and one that has it already draw the same numbers.

    Args:
        seed: From 0 to 2**63 - 1; NumPy's generator gets its lower 32 bits.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)
    else:
        _SEED_TORCH.seed = seed
        if _SEED_TORCH not in sys.meta_path:
            sys.meta_path.insert(0, _SEED_TORCH)


@contextmanager
def generators_kept() -> Iterator[None]:
    """Put the generators that `seed_generators` seeds back as they were before this block.

    A torch that is first imported in the block is left as it is.
    """
    torch = sys.modules.get("torch")
    python, numpy = random.getstate(), np.random.get_state()
    cpu = None if torch is None else torch.get_rng_state()
    gpus = torch.cuda.get_rng_state_all() if torch is not None and torch.cuda.is_initialized() else None
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        if torch is not None:
            torch.set_rng_state(cpu)
        if torch is not None and gpus is not None:
            torch.cuda.set_rng_state_all(gpus)
        if _SEED_TORCH in sys.meta_path:
            sys.meta_path.remove(_SEED_TORCH)


class _SeedTorch(MetaPathFinder):
    """Seeds torch at the end of its import, once."""

    seed = 0

    def find_spec(self, fullname: str, *_: Any) -> ModuleSpec | None:
        """Find torch by the finders that follow this one."""
        if fullname != "torch":
            return None
        sys.meta_path.remove(self)
        spec = find_spec(fullname)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_seed(module: ModuleType) -> None:
                load(module)
                module.manual_seed(self.seed)

            spec.loader.exec_module = load_and_seed  # type: ignore[method-assign]
        return spec


_SEED_TORCH = _SeedTorch()
