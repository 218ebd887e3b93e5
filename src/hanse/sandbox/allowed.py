"""What a worker may reach: the interpreter, the system's libraries, devices, and what it was given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Flag, auto
from pathlib import Path

from hanse.sandbox.interpreter import interpreter_paths

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - how the processes of one worker pass tensors
PROCESSES = Path("/proc")


class Access(Flag):
    """What may be done with a path and all below it."""

    READ = auto()
    RUN = auto()
    WRITE = auto()
    CONTROL = auto()
    """Device commands (`ioctl`)."""


@dataclass(frozen=True, slots=True)
class Grant:
    """One entry of the list of what is allowed; `path` exists and is absolute."""

    path: Path
    access: Access


@dataclass(frozen=True, slots=True)
class Allowed:
    """The whole list.

    Attributes:
        grants: Without symbolic links, one for each path.
        links: Where a path that was named leads, for those that are or pass through a symbolic link.
    """

    grants: tuple[Grant, ...]
    links: Mapping[Path, Path]

    @staticmethod
    def of(grants: Iterable[Grant]) -> Allowed:
        """Follow symbolic links, and take the grants on one path together."""
        places: dict[Path, Access] = {}
        links = {}
        for grant in grants:
            place = grant.path.resolve()
            places[place] = places.get(place, Access(0)) | grant.access
            if place != grant.path:
                links[grant.path] = place
        return Allowed(tuple(Grant(*entry) for entry in places.items()), links)


_PROGRAMS = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32", "/nix/store", "/opt/rocm")

# Not /etc as a whole: keys are kept there.
_FILES = (
    str(PROCESSES),
    # Not /sys as a whole: below /sys/kernel/config are the reports that attest this machine.
    *(f"/sys/{part}" for part in ("block", "bus", "class", "dev", "devices", "firmware", "fs", "module")),
    *(
        "/sys/hypervisor",
        "/sys/power",
        "/sys/kernel/mm",
        "/sys/kernel/iommu_groups",
        "/sys/kernel/cpu_byteorder",
    ),
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/alternatives",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/passwd",
    "/etc/group",
    "/etc/nsswitch.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/mime.types",
    "/etc/os-release",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/ca-certificates",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/openssl.cnf",
    "/etc/crypto-policies",
    "/etc/OpenCL",
)

_FACTS = (
    *("cpuinfo", "meminfo", "stat", "vmstat", "zoneinfo", "loadavg", "uptime", "version", "filesystems"),
    *("cgroups", "swaps", "devices", "modules", "bus", "driver", "sys"),
)
"""Of `PROCESSES`, what is about the machine and not about a process."""

_DEVICES = ("null", "zero", "full", "random", "urandom", "nvidia*", "dri", "kfd", "accel*")


def system_grants() -> tuple[Grant, ...]:
    """What every worker may reach, as far as it exists here."""
    listed = [
        *((Path(path), Access.READ | Access.RUN) for path in (*_PROGRAMS, *interpreter_paths())),
        *((Path(path), Access.READ) for path in _FILES),
        *((path, Access.READ | Access.WRITE | Access.CONTROL) for path in _devices()),
        (SHARED_MEMORY, Access.READ | Access.WRITE),
    ]
    return tuple(Grant(path, access) for path, access in listed if path.exists())


def apart(grants: Iterable[Grant], *, tree: bool, processes: bool) -> tuple[Grant, ...]:
    """Grants for Landlock: where a part of the tree is the machine's, nothing in it that is other programs'.

    Landlock grants files by where they are. In shared memory it cannot distinguish the worker's own files
    from those of others; of processes it can let this one alone read about itself, not those that it starts.

    Args:
        grants: For a process with a tree of its own.
        tree: Whether it has one, with shared memory of its own.
        processes: Whether `PROCESSES` shows its own processes only.
    """
    kept = [grant for grant in grants if tree or grant.path != SHARED_MEMORY]
    if processes:
        return tuple(kept)
    about = [PROCESSES / name for name in ("self", *_FACTS)]
    return (
        *(grant for grant in kept if grant.path != PROCESSES),
        *(Grant(path.resolve(), Access.READ) for path in about if path.exists()),
    )


def _devices() -> Iterator[Path]:
    for pattern in _DEVICES:
        yield from Path("/dev").glob(pattern)
