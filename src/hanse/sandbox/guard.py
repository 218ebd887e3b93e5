"""Processes that stay behind to see to it that a worker ends whole, and ends with its parent."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from pathlib import Path

from hanse.sandbox import kernel, usage

_SWEEPS = 50
"""Times that all processes are stopped before they are killed, as long as there are new ones."""
SIGNALLED = 128
"""The exit status of a worker that a signal killed is the signal's number and this, as in a shell."""


def go_on_guarded(parent: int, *channel: int) -> None:
    """Fork, and return in the child only; this process stays behind as its guard.

    The guard kills the child on SIGTERM, and when the parent is gone; it ends as the
    child ends, after killing whatever the child has left running.

    Args:
        parent: Writing end of a pipe that only the parent reads from. It tells of the
            parent's end, where the kernel's notice (`PDEATHSIG`) would already come
            when the thread ends that started this process.
        *channel: Descriptors that are the child's alone, so that others see it end.
    """
    child = _fork(channel)
    if child:
        if kernel.supported():
            # Orphaned descendants become children of this process, and can be found.
            kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER)
        status = _watch(child, parent)
        _kill_left()
        os._exit(status)


def go_on_below_init(*channel: int) -> None:
    """Fork, and return in the child only; this process stays behind to reap what is orphaned.

    For the first process of a process namespace, whose end is the end of all in it.

    Args:
        *channel: Descriptors that are the child's alone.
    """
    child = _fork(channel)
    if child:
        ended, status = os.wait()
        while ended != child:
            ended, status = os.wait()
        os._exit(_exit_status(status))


def _fork(channel: tuple[int, ...]) -> int:
    """Fork a child that is killed when this process dies; 0 in the child."""
    held_by_child, held_by_parent = os.pipe()
    child = os.fork()
    if child:
        for descriptor in (held_by_child, *channel):
            os.close(descriptor)
        return child
    os.close(held_by_parent)
    if kernel.supported():
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        if select.select([held_by_child], [], [], 0)[0]:  # it had died before that was asked for
            os._exit(SIGNALLED + signal.SIGKILL)
    os.close(held_by_child)
    return 0


def _watch(child: int, parent: int) -> int:
    # Signals wake `poll` through a pipe; a thread cannot be started next to a new namespace.
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: _kill(child))
    poll = select.poll()
    poll.register(wake, select.POLLIN)
    poll.register(parent, 0)  # to be told only that nobody reads any more
    while True:
        ended, status = os.waitpid(-1, os.WNOHANG)
        if ended == child:
            return _exit_status(status)
        if ended:  # an orphan
            continue
        for descriptor, _ in poll.poll():
            if descriptor == parent:
                poll.unregister(parent)
                _kill(child)
            else:
                os.read(wake, select.PIPE_BUF)


def _exit_status(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else SIGNALLED - code


def _kill_left() -> None:
    """Kill all that the child has left: they stand still first, so that none starts others meanwhile."""
    while left := _left():
        for _ in range(_SWEEPS):
            for process in left:
                _signal(process, signal.SIGSTOP)
            if (now := _left()) <= left:
                break
            left = now
        for process in left:
            _signal(process, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            # Orphans become children of this process; one that was just killed may take a moment.
            os.waitpid(-1, 0)
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _left() -> set[int]:
    try:
        # The number by which /proc knows this process; none where it is that of the child's namespace.
        own = int(Path("/proc/self").readlink().name)
    except OSError:
        return set()
    return set(usage.threads_below(own)) - {own}


def _kill(child: int) -> None:
    _signal(child, signal.SIGKILL)


def _signal(process: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, number)
