"""The environment of a worker: a few variables of ours, none that could carry a secret."""

from __future__ import annotations

import os
import site
from collections.abc import Mapping
from pathlib import Path

_KEPT = ("PATH", "LANG", "LANGUAGE", "TZ", "VIRTUAL_ENV")
_KEPT_FAMILIES = (
    "LC_",
    # Threads of the numerical libraries.
    *("OMP_", "OPENBLAS_", "MKL_", "KMP_", "GOTO_", "BLIS_", "NUMEXPR_", "VECLIB_"),
    # Which graphics processors to use.
    *("CUDA_", "NVIDIA_", "HIP_", "ROCR_", "HSA_"),
)
_MEMORY = {
    # glibc gives freed memory back to the system, and the next task pays for each of its pages anew;
    # that costs more than what is then done with them. So much of it is kept instead.
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
    # Setting one of them holds both: the most that glibc takes, below which blocks are reused.
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
}
_PATH_LISTS = ("PYTHONPATH", "LD_LIBRARY_PATH")


_THREADS = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"),
    *("BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),
)


def arithmetic_threads(threads: int) -> dict[str, str]:
    """Variables by which libraries of linear algebra use this many threads, once they are loaded."""
    return dict.fromkeys(_THREADS, str(threads))


def worker_environment(
    inherited: Mapping[str, str], workspace: Path, extra: Mapping[str, str]
) -> dict[str, str]:
    """Choose the variables that a worker gets.

    Args:
        inherited: Our own environment.
        workspace: The worker's home.
        extra: Variables to set besides; these win.
    """
    kept = {
        name: value for name, value in inherited.items() if name in _KEPT or name.startswith(_KEPT_FAMILIES)
    }
    lists = {name: _absolute(inherited[name]) for name in _PATH_LISTS if name in inherited}
    return {
        **kept,
        **{name: value for name, value in lists.items() if value},
        "HOME": str(workspace),
        "TMPDIR": str(workspace / "tmp"),
        # Not below the new home: Python runs code from there before the worker is confined.
        "PYTHONUSERBASE": site.getuserbase(),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        # A worker that is killed leaves its last words in the log.
        "PYTHONUNBUFFERED": "1",
        "PYTHONFAULTHANDLER": "1",
        **_MEMORY,
        **extra,
    }


def _absolute(paths: str) -> str:
    """Without the entries that mean the working directory."""
    return os.pathsep.join(path for path in paths.split(os.pathsep) if Path(path).is_absolute())
