"""Confining a worker: what it may reach, put into effect by the worker's process on itself.

Several layers, each of use where another is missing: namespaces (the worker sees
only what is granted, has no network and no sight of other processes), Landlock
(the same for files, checked at each access), a filter on system calls, limits on
resources, and no privileges. Whatever cannot be had here is reported, never
passed over.

Nothing here may import numpy, which starts threads: a process that has any
cannot enter namespaces, and would confine one of them only.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hanse.errors import ConfigError
from hanse.sandbox import guard, kernel, landlock, namespaces, seccomp
from hanse.sandbox.allowed import Access, Allowed, Grant, apart, system_grants
from hanse.sandbox.sealed.core_dumps import CORE_BYTES
from hanse.sandbox.sealed.mounts import mounts, writable_disks
from hanse.sandbox.sealed.secret_paths import attestation_devices, reachable
from hanse.sandbox.usage import threads_of_user

OWN_PROCESSES = 3
"""Processes of a worker that are not the plan's own: guards, and the one that the plan's code begins in."""
_BACKSTOP = 8
"""Times the processes that a worker may have, where the kernel counts those of other workers with them."""

_MEMORY_REFUSED = "shared memory (/dev/shm) is refused even between processes of the worker"
_SOCKETS_REFUSED = "local sockets are refused even between processes of the worker"
_MOST_OPEN_FILES = 4_096
"""Files that one process of a worker may open at most: the watch looks at all that are open."""

_NAMESPACES, _OWN_TREE, _LANDLOCK, _FILTER = "namespaces", "own file tree", "landlock", "system call filter"
_ALL_LAYERS = (_NAMESPACES, _OWN_TREE, _LANDLOCK, _FILTER)

_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16


def default_processes() -> int:
    """Most processes and threads of a worker where no number is set: libraries take some for each core."""
    return max(512, 64 * (os.cpu_count() or 1))


@dataclass(frozen=True, slots=True)
class Confinement:
    """Permissions of a worker, beyond running Python and writing in its workspace.

    Attributes:
        read: Files and directories it may read.
        write: Files and directories it may read and change.
        network: Whether it may reach the network.
        memory_bytes: Most memory of all its processes together; None for no limit.
        file_bytes: Most bytes of one file it writes; None for no limit.
        disk_reserve: Bytes of the disk that it has to leave free; None for none.
        processes: Most processes and threads it may have; None for no limit.
        open_files: Files that one process of it may open, unless it asks for more (4,096 at most); None
            to leave that.
        in_memory: Whether nothing that it holds may come to a disk, as a file, as a core dump or as output.
        secrets: Files and sockets that it must not be able to open, besides the devices that attest the
            machine. Each is tried, once confined.
    """

    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()
    network: bool = False
    memory_bytes: int | None = None
    file_bytes: int | None = None
    disk_reserve: int | None = None
    processes: int | None = None
    open_files: int | None = None
    in_memory: bool = False
    secrets: tuple[Path, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """As a JSON object."""
        paths = {name: [str(path) for path in getattr(self, name)] for name in ("read", "write", "secrets")}
        return asdict(self) | paths

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Confinement:
        """Rebuild from what `as_json` gave."""
        paths = {name: tuple(map(Path, value[name])) for name in ("read", "write", "secrets")}
        return Confinement(**{**value, **paths})


@dataclass(frozen=True, slots=True)
class Confined:
    """Confinement that took effect.

    Attributes:
        layers: What is in use, as `landlock 7`; for people.
        files: Whether only granted files can be reached or seen, and no secret is among them.
        network: Whether the network is out of reach.
        processes: Whether other processes can neither be signalled nor looked into, nor how they were
            started be read.
        gaps: What is not confined, or only by refusing too much, and why; empty is best.
        watched: Limits that are looked at from time to time and not held by the kernel, and why.
        counted: Whether the kernel holds the worker to the number of its processes.
    """

    layers: tuple[str, ...]
    files: bool
    network: bool
    processes: bool
    gaps: tuple[str, ...]
    watched: tuple[str, ...] = ()
    counted: bool = False

    def lacking(self) -> tuple[str, ...]:
        """Name what keeps a worker from being locked in by every layer; empty where nothing does."""
        missing = (layer for layer in _ALL_LAYERS if not any(own.startswith(layer) for own in self.layers))
        return (*(f"the layer {layer}" for layer in missing), *self.gaps)

    def locked_in(self, *, network: bool = False) -> bool:
        """Say whether all that `sandbox: required` asks for took effect.

        Args:
            network: Whether the settings grant the network.
        """
        return self.files and self.processes and (network or self.network)

    @property
    def not_shared(self) -> str:
        """Why processes of the worker cannot pass each other tensors; empty where they can."""
        return next((gap for gap in self.gaps if gap.startswith((_MEMORY_REFUSED, _SOCKETS_REFUSED))), "")

    def as_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Confined:
        """Rebuild from what `as_json` gave."""
        lists = {name: tuple(value[name]) for name in ("layers", "gaps", "watched")}
        return Confined(**{**value, **lists})


@dataclass(slots=True)
class Layers:
    """Layers put in place so far.

    Attributes:
        namespaces: Whether user, processes and, unless granted, network are the worker's own.
        tree: Whether the tree of files holds only what is granted.
        own_processes: Whether `/proc` in that tree shows the worker's processes only.
        landlock: ABI in effect; 0 for none.
        filter: Whether system calls are filtered.
        superuser: Whether the user is one whose processes the kernel does not count.
        group: Whether the kernel holds the limits on memory and processes of all together, by a cgroup.
        disks: Places on a disk that the worker can write to, where none may be.
        refused: Why those that are missing are missing.
    """

    namespaces: bool = False
    tree: bool = False
    own_processes: bool = False
    landlock: int = 0
    filter: bool = False
    superuser: bool = field(default_factory=lambda: os.getuid() == 0)
    group: bool = False
    disks: tuple[Path, ...] = ()
    refused: list[str] = field(default_factory=list)

    @property
    def local_sockets(self) -> bool:
        """Say whether sockets with a path reach no process outside, so that the worker may have its own."""
        return self.tree or self.landlock >= landlock.LOCAL_SOCKETS_SINCE

    @property
    def counted(self) -> bool:
        """Say whether the kernel holds the worker to the number of its processes."""
        return self.group or (self.namespaces and not self.superuser)

    def families(self, *, network: bool) -> tuple[int, ...]:
        """Address families in which the worker may open sockets, given the other layers."""
        local = (_AF_UNIX,) if self.local_sockets else ()
        inet = (_AF_INET, _AF_INET6, _AF_NETLINK) if network or self.namespaces else ()
        return local + inet


def confine(
    confinement: Confinement, workspace: Path, *, parent: int, channel: int, no_group: str = ""
) -> Confined:
    """Confine this process, for good, and all that it starts.

    Returns in a descendant: the calling process, and where there are namespaces one
    below it, stay behind as guards (see `guard`). The working directory is then the
    workspace, and `TMPDIR` its `tmp`.

    Args:
        confinement: What is allowed.
        workspace: Directory that the worker may write in; holds a directory `tmp`.
        parent: Writing end of a pipe that only the parent reads from.
        channel: Descriptor that the guards are to close.
        no_group: Why this process is not in a cgroup of the worker's own; empty where it is.

    Raises:
        ConfigError: A path to be granted does not exist, is the whole disk, or is where
            an earlier worker could have laid a symbolic link, and did.
        OSError: The kernel took a step and refused the next, which it should not.
    """
    allowed = Allowed.of((*system_grants(), *_granted(confinement, workspace)))
    workspace = workspace.resolve()
    secrets = (*confinement.secrets, *attestation_devices())
    layers = Layers(group=not no_group)
    if not kernel.supported():
        layers.refused.append("confinement needs Linux on x86_64 or aarch64")
        guard.go_on_guarded(parent, channel)
        _limit(confinement, layers)
    else:
        _enter_namespaces(layers, confinement, parent, channel)
        if layers.namespaces:
            _enter_tree(layers, allowed, workspace / "tmp", confinement.memory_bytes)
            guard.go_on_below_init(channel)
        _limit(confinement, layers)
        if confinement.in_memory:
            layers.disks = tuple(writable_disks(mounts()))
            with suppress(OSError):  # only now: what cannot be looked into enters no user namespace
                kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        kernel.drop_capabilities()
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS)
        _enter_landlock(layers, allowed, confinement)
        _enter_filter(layers, confinement)
    os.chdir(workspace)
    os.environ["TMPDIR"] = str(namespaces.TEMPORARY if layers.tree else workspace / "tmp")
    return assess(confinement, layers, tuple(reachable(secrets)), no_group)


def assess(
    confinement: Confinement, layers: Layers, readable: Sequence[Path] = (), no_group: str = ""
) -> Confined:
    """Say what is confined and what is not.

    Args:
        confinement: What was asked for.
        layers: What could be put in place.
        readable: Secrets that could be opened all the same.
        no_group: Why the worker has no cgroup, where it has none.
    """
    listed = layers.landlock > 0
    network = not confinement.network and (layers.namespaces or layers.filter)
    apart = layers.namespaces or layers.landlock >= landlock.SIGNALS_SINCE
    hidden = layers.own_processes or listed
    found = {
        "the worker can reach every file that its user can": not (layers.tree or listed),
        (
            "the worker has no file tree of its own: it can see the name, size and mode of every file, and "
            "change modes and times of its user's"
        ): listed and not layers.tree,
        (f"{_MEMORY_REFUSED}, such as the locks of multiprocessing, because it is the machine's"): listed
        and not layers.tree,
        "processes that the worker starts cannot read about themselves in /proc": (
            listed and not layers.own_processes
        ),
        "the worker can reach the network": not (network or confinement.network),
        "the worker can signal other processes of its user": not apart,
        "the worker can read how other processes were started": not hidden,
        "the worker can connect to local sockets of other programs": not (
            layers.local_sockets or layers.filter
        ),
        f"{_SOCKETS_REFUSED}, such as torch's data loaders": layers.filter and not layers.local_sockets,
    }
    reason = f" ({'; '.join(layers.refused)})" if layers.refused else ""
    named = {
        _NAMESPACES: layers.namespaces,
        _OWN_TREE: layers.tree,
        f"{_LANDLOCK} {layers.landlock}": layers.landlock > 0,
        _FILTER: layers.filter,
        "cgroup": layers.group,
    }
    return Confined(
        layers=tuple(name for name, present in named.items() if present),
        files=layers.tree and not readable,
        network=network,
        processes=apart and hidden,
        gaps=(
            *(gap + reason for gap, open_ in found.items() if open_),
            *(f"the worker can write to a disk at {path}" for path in layers.disks),
            *(f"the worker can reach the secret {path}: move it out of what is granted" for path in readable),
        ),
        watched=tuple(f"{limit} ({no_group})" for limit in _watched(confinement, layers)),
        counted=layers.counted,
    )


def _watched(confinement: Confinement, layers: Layers) -> Iterator[str]:
    """Limits that are not held by the kernel."""
    if layers.group:
        return
    if confinement.memory_bytes is not None:
        yield (
            "the memory of a worker's processes together is measured, every 0.2 to 2 seconds, and not held, "
            "and what the kernel keeps for them (sockets, pipes, files on their way) is not seen"
        )
    if confinement.processes is not None and not layers.counted:
        yield "the number of a worker's processes is counted, every 0.2 to 2 seconds, and not held"


def _granted(confinement: Confinement, workspace: Path) -> tuple[Grant, ...]:
    written = [path.absolute() for path in (*confinement.write, workspace)]
    read = [path.absolute() for path in confinement.read]
    for path in (*written, *read, workspace / "tmp"):
        _check(path, written)
    return (
        *(Grant(path, Access.READ) for path in read),
        *(Grant(path, Access.READ | Access.WRITE) for path in written),
    )


def _check(path: Path, written: Iterable[Path]) -> None:
    place = path.resolve()
    if not place.exists():
        raise ConfigError(f"a worker is to be given {path}, which does not exist", mend="Create it.")
    if place == Path("/"):
        raise ConfigError("a worker is not to be given the whole disk", mend="Name a directory.")
    for area in written:
        if path.is_relative_to(area) and place != area.resolve() / path.relative_to(area):
            # Laid by an earlier worker, it would open to this one whatever it leads to.
            raise ConfigError(f"{path} is behind a symbolic link that a worker can lay", mend="Remove it.")


def _enter_namespaces(layers: Layers, confinement: Confinement, parent: int, channel: int) -> None:
    try:
        namespaces.separate(network=confinement.network)
        layers.namespaces = True
    except OSError as error:
        layers.refused.append(f"no namespaces: {error.strerror}")
    guard.go_on_guarded(parent, channel)
    if layers.namespaces and not confinement.network:
        with suppress(OSError):  # a convenience only
            namespaces.raise_loopback()


def _enter_tree(layers: Layers, allowed: Allowed, temporary: Path, memory_bytes: int | None) -> None:
    try:
        namespaces.begin_root()
    except OSError as error:
        layers.refused.append(f"no mounts: {error.strerror}")
        return
    layers.own_processes = namespaces.fill_root(allowed, temporary, memory_bytes)
    layers.tree = True
    if not layers.own_processes:
        layers.refused.append("no /proc of its own: parts of this machine's are hidden")


def _enter_landlock(layers: Layers, allowed: Allowed, confinement: Confinement) -> None:
    temporary = (Grant(namespaces.TEMPORARY, Access.READ | Access.WRITE),) if layers.tree else ()
    grants = apart(allowed.grants, tree=layers.tree, processes=layers.own_processes)
    try:
        # A network of its own does not lead out, and several processes of one worker may need it.
        layers.landlock = landlock.restrict(
            (*grants, *temporary), tcp=confinement.network or layers.namespaces
        )
    except OSError as error:
        layers.refused.append(f"no Landlock: {error.strerror}")


def _enter_filter(layers: Layers, confinement: Confinement) -> None:
    try:
        seccomp.install(layers.families(network=confinement.network), seccomp.refused(confinement.in_memory))
        layers.filter = True
    except OSError as error:
        layers.refused.append(f"no filter: {error.strerror}")


def _limit(confinement: Confinement, layers: Layers) -> None:
    wanted = {
        resource.RLIMIT_CORE: CORE_BYTES,
        # Of each process: one that asks for too much gets an error, and can report it.
        resource.RLIMIT_DATA: confinement.memory_bytes,
        resource.RLIMIT_FSIZE: confinement.file_bytes,
        resource.RLIMIT_NPROC: _most(confinement.processes, layers),
    }
    for kind, value in wanted.items():
        if value is not None:
            _, hard = resource.getrlimit(kind)
            most = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (most, most))
    soft, hard = (
        _MOST_OPEN_FILES if value == resource.RLIM_INFINITY else min(value, _MOST_OPEN_FILES)
        for value in resource.getrlimit(resource.RLIMIT_NOFILE)
    )
    if confinement.open_files is not None:
        soft = min(confinement.open_files, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _most(processes: int | None, layers: Layers) -> int | None:
    """Number to which the kernel counts: the worker's processes, or where it cannot, all of the user's."""
    if processes is None or layers.namespaces:
        return processes and processes + OWN_PROCESSES
    return threads_of_user() + _BACKSTOP * processes
