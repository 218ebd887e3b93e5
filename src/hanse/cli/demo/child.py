"""A command of Hanse as the child of another, which it does not outlive; run with `python -m`.

Its standard input is a pipe that nobody writes to: it ends with the process that holds the other end,
however that one ends.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

from hanse.cli.main import run

_GRACE_S = 10.0
"""How long the command may take to end by itself."""


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_S)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.exit(run(sys.argv[1:]))
