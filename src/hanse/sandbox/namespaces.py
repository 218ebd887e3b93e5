"""Namespaces: a worker's own processes, network, mounts and user, apart from the machine's.

Needs a kernel that lets ordinary users make user namespaces; many containers,
and some distributions, do not.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from pathlib import Path

from hanse.sandbox import kernel
from hanse.sandbox.allowed import PROCESSES, SHARED_MEMORY, Access, Allowed

_NEW_MOUNTS, _NEW_IPC, _NEW_USER, _NEW_PROCESSES, _NEW_NETWORK = (
    0x00020000,
    0x08000000,
    0x10000000,
    0x20000000,
    0x40000000,
)

_MS_RDONLY, _MS_NOSUID, _MS_NODEV = 1, 2, 4
_MS_BIND, _MS_REC, _MS_PRIVATE = 1 << 12, 1 << 14, 1 << 18
_MNT_DETACH = 2
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_MOUNT_ATTR_RDONLY = 1

_MOST_FILES = 1 << 16
"""Files and folders in a file system in memory."""

_OLD = Path("/.old")
TEMPORARY = Path("/.tmp")
"""Where `fill_root` shows the worker's temporary directory; short, as names of sockets have to be."""
USUAL_TEMPORARY = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - shown in their place is the worker's own
"""Where code that does not ask for `TMPDIR` expects it; the same directory."""


def separate(*, network: bool) -> None:
    """Give this process and its children namespaces of their own.

    Its next child is the first process of the new process namespace: when that
    one ends, the kernel kills all others in it. To be called before any thread
    is started; numpy starts some.

    Args:
        network: Whether the machine's network stays reachable.

    Raises:
        OSError: The kernel or the container does not permit it; nothing has changed.
    """
    _try_out()
    others = _NEW_MOUNTS | _NEW_IPC | _NEW_PROCESSES | (0 if network else _NEW_NETWORK)
    _enter_user_namespace(others)


def separate_mounts() -> None:
    """Give this process and its children mounts of their own, of which other programs notice nothing.

    Without the privilege for that, in a user namespace; of its privileges only the one to look into own
    processes stays. To be called before any thread is started.

    Raises:
        OSError: The kernel or the container does not permit it.
    """
    try:
        kernel.call("unshare", _NEW_MOUNTS)
    except PermissionError:
        _try_out()
        _enter_user_namespace(_NEW_MOUNTS)
    _make_private()


def _try_out() -> None:
    """Enter a user namespace in a process to be thrown away.

    Where AppArmor restricts them one can be entered, but no user mapped into it,
    and there would be no way back.
    """
    trial = os.fork()
    if trial == 0:
        try:
            _enter_user_namespace()
        except OSError as error:
            os._exit(error.errno or errno.EPERM)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(trial, 0)[1])
    if code:
        raise OSError(code, os.strerror(code))


def _enter_user_namespace(others: int = 0) -> None:
    user, group = os.geteuid(), os.getegid()
    kernel.call("unshare", _NEW_USER | others)
    # The kernel asks for this before an unprivileged process may map a group.
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")


def raise_loopback() -> None:
    """Switch on the loopback interface of a new network, for the worker's own processes."""
    import socket  # only here: every worker would pay for it

    interface_up, set_flags = 0x1, 0x8914
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sh22x", b"lo", interface_up))


def begin_root() -> None:
    """Begin an empty tree of files; the old one stays at hand until `fill_root`.

    Raises:
        OSError: Mounting is not permitted here; the tree is as it was.
    """
    start = Path("/dev")  # any directory that surely exists
    _make_private()
    _mount_new("tmpfs", start)
    try:
        _change_attributes(start, 0)  # absent before Linux 5.12
        old = start / _OLD.name
        old.mkdir()
        kernel.call("pivot_root", bytes(start), bytes(old))
    except OSError:
        kernel.call("umount2", bytes(start), _MNT_DETACH)
        raise
    os.chdir("/")


def fill_root(allowed: Allowed, temporary: Path, memory_bytes: int | None = None) -> bool:
    """Show what is allowed in the tree that `begin_root` made, and nothing else.

    What is not in the tree cannot be opened, and sockets that are not in it cannot
    be connected to. To be called in the first process of a process namespace.

    Args:
        allowed: What the tree holds; read-only unless a grant says otherwise.
        temporary: Directory to show as `TEMPORARY`, too, and as `USUAL_TEMPORARY` as far as those are not
            granted; without symbolic links. What is granted below them is shown in it.
        memory_bytes: Most bytes of shared memory; None for half of the machine's.

    Returns:
        Whether `PROCESSES` shows the processes of this namespace only.

    Raises:
        OSError: A path has gone; the tree is of no use.
    """
    own_processes = False
    granted = {grant.path for grant in allowed.grants}
    for place in USUAL_TEMPORARY:
        if granted.isdisjoint((place, *place.parents)):
            _show(temporary, place, writable=True)
    for grant in sorted(allowed.grants, key=lambda grant: grant.path):
        if grant.path == SHARED_MEMORY:
            grant.path.mkdir(parents=True)
            _mount_new("tmpfs", grant.path, size=memory_bytes)
        elif grant.path == PROCESSES:
            own_processes = _show_processes()
        else:
            _show(grant.path, grant.path, writable=Access.WRITE in grant.access)
    _show(temporary, TEMPORARY, writable=True)
    for link, target in sorted(allowed.links.items()):
        if not os.path.lexists(link):
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target)
    kernel.call("umount2", bytes(_OLD), _MNT_DETACH)
    _OLD.rmdir()
    _make_read_only(Path("/"), recursive=False)
    return own_processes


def mount_memory(folder: Path, source: str, options: str) -> None:
    """Mount a new file system in memory.

    Args:
        folder: Where.
        source: Its name in the list of mounts.
        options: Of `tmpfs`.

    Raises:
        OSError: The kernel refused.
    """
    flags = _MS_NOSUID | _MS_NODEV
    kernel.call("mount", source.encode(), bytes(folder), b"tmpfs", flags, options.encode())


def _make_private() -> None:
    kernel.call("mount", b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)


def _show_processes() -> bool:
    PROCESSES.mkdir()
    try:
        _mount_new("proc", PROCESSES, _MS_RDONLY)
    except OSError:  # in a container that hides parts of it
        _show(PROCESSES, PROCESSES, writable=False)
        return False
    return True


def _show(path: Path, target: Path, *, writable: bool) -> None:
    source = _OLD / path.relative_to("/")
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    elif not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    kernel.call("mount", bytes(source), bytes(target), None, _MS_BIND | _MS_REC, None)
    if not writable:
        _make_read_only(target, recursive=True)


def _mount_new(kind: str, target: Path, flags: int = 0, size: int | None = None) -> None:
    flags |= _MS_NOSUID | _MS_NODEV
    options = None
    if kind == "tmpfs":
        # An empty file takes memory too, which no size counts.
        options = f"nr_inodes={_MOST_FILES}{'' if size is None else f',size={size}'}".encode()
    kernel.call("mount", kind.encode(), bytes(target), kind.encode(), flags, options)


def _make_read_only(mounted: Path, *, recursive: bool) -> None:
    _change_attributes(mounted, _MOUNT_ATTR_RDONLY, _AT_RECURSIVE if recursive else 0)


def _change_attributes(mounted: Path, attributes: int, flags: int = 0) -> None:
    change = struct.pack("=QQQQ", attributes, 0, 0, 0)
    kernel.call("mount_setattr", _AT_FDCWD, bytes(mounted), flags, change, len(change))
