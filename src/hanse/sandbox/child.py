"""Where a worker process begins: `python -m hanse.sandbox.child DESCRIPTOR MODULE`.

Takes its orders from the channel, confines itself, and only then imports the
module, whose `main(channel, confined, arguments)` is the worker.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from pathlib import Path

from hanse.sandbox.channel import Channel
from hanse.sandbox.confine import Confinement, confine

_STDOUT, _STDERR = 1, 2


def main(descriptor: int, module: str) -> None:
    """Become the worker that `process.WorkerProcess` asked for."""
    _close_all_but(descriptor)
    channel = Channel(descriptor)
    orders = channel.receive()
    if orders is None:  # the parent died meanwhile
        return
    try:
        confined = confine(
            Confinement.from_json(orders["confinement"]),
            Path(orders["workspace"]),
            parent=_STDOUT,
            channel=descriptor,
            no_group=orders["no_group"],
        )
        work = importlib.import_module(module).main
    except Exception as error:
        channel.send({"failed": f"{type(error).__name__}: {error}"})
        raise
    channel.send({"confined": confined.as_json()})
    work(channel, confined, tuple(orders["arguments"]))


def _close_all_but(descriptor: int) -> None:
    # uvloop lets a child inherit every file that some library has made inheritable.
    for number in map(int, os.listdir("/dev/fd")):  # noqa: PTH208 - numbers, not paths
        if number > _STDERR and number != descriptor:
            with contextlib.suppress(OSError):  # the listing itself
                os.close(number)
    os.set_inheritable(descriptor, False)  # not for programs that the worker starts


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
