"""Lends a worker the module `hanse.trials`, and takes system calls away from it as a poorer machine would."""

import errno
import os
from pathlib import Path
from typing import Any

import hanse
from hanse.sandbox import kernel, namespaces, seccomp

hanse.__path__.append(str(Path(__file__).parent))


write_text = Path.write_text


def map_no_user(path: Path, *text: Any, **how: Any) -> int:
    if path == Path("/proc/self/uid_map"):
        raise PermissionError(errno.EPERM, "no user can be mapped")
    return write_text(path, *text, **how)


mount_new = namespaces._mount_new


def mount_no_processes(kind: str, target: Path, *how: Any, **more: Any) -> None:
    if kind == "proc":
        raise PermissionError(errno.EPERM, "parts of it are hidden")
    mount_new(kind, target, *how, **more)


if os.environ.get("TRIAL_REFUSED") == "uid_map":
    Path.write_text = map_no_user  # type: ignore[method-assign]
elif os.environ.get("TRIAL_REFUSED") == "proc":
    namespaces._mount_new = mount_no_processes
elif refused := os.environ.get("TRIAL_REFUSED"):
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS)
    seccomp.install(families=(1, 2, 10, 16), refused=refused.split())
