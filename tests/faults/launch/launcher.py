"""Starts commands of Hanse as processes of their own, quickly: it has imported everything before it forks.

A test that restarts a party at each of a hundred steps would else wait a minute for imports alone.
Each connection to its socket is one process: a line of JSON says what to start, the answers are its
number, and, when it has ended, what it ended with. All end when the standard input does.

    python launcher.py SOCKET
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

import gated

import hanse.aggregator.service
import hanse.cli.commands.aggregator
import hanse.cli.commands.collaborator
import hanse.cli.commands.run
import hanse.cli.service
import hanse.collaborator.agent  # noqa: F401  # and with these, all that a party takes
from hanse.cli.main import run


def main(path: str) -> None:
    """Serve until the standard input ends."""
    running: dict[int, socket.socket] = {}
    with selectors.DefaultSelector() as selector, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        selector.register(listener, selectors.EVENT_READ)
        selector.register(sys.stdin, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is listener:
                    connection, _ = listener.accept()
                    line = connection.makefile().readline()
                    if not line:  # only to see whether somebody is here
                        connection.close()
                        continue
                    pid = _start(json.loads(line))
                    connection.sendall(f"{pid}\n".encode())
                    running[pid] = connection
                    selector.register(os.pidfd_open(pid), selectors.EVENT_READ, pid)
                elif key.fileobj is sys.stdin:
                    for pid in running:
                        os.kill(pid, signal.SIGKILL)
                    return
                else:
                    selector.unregister(key.fileobj)
                    os.close(key.fd)
                    _, status = os.waitpid(key.data, 0)
                    with running.pop(key.data) as connection:
                        _tell(connection, os.waitstatus_to_exitcode(status))


def _tell(connection: socket.socket, code: int) -> None:
    with suppress(OSError):  # nobody asks any more
        connection.sendall(f"{code}\n".encode())


def _start(order: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        os.closerange(3, 1 << 12)
        descriptor = os.open("/dev/null", os.O_RDONLY)
        os.dup2(descriptor, 0)
        output = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.argv[1:] = order["arguments"]  # as `ps` would show it
        os.environ.update(order["environment"])
        if order["gate"]:
            gated.put_up(gated.Gate(order["gate"], order["who"]), Path(order["clock"]))
        gated.be_quick()
        code = run(order["arguments"])
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1])
