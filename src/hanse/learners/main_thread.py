"""The main thread of a process, for a script: what only a main thread may do, a script can do."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from contextvars import copy_context
from queue import SimpleQueue
from threading import Thread

Run = Callable[[], None]


class MainThread:
    """Runs scripts in the thread that calls `lend`, while another thread drives them.

    Signal handlers, event loops and process groups (`torch.distributed`) ask for the main thread. A process
    that lends its main thread is the script's own: `sys.argv`, `sys.path` and `__main__` are the script's
    from its start to the end of the process.
    """

    def __init__(self) -> None:
        self._runs: SimpleQueue[Run | None] = SimpleQueue()
        self._busy = False
        self._error: BaseException | None = None

    def start(self, run: Run) -> None:
        """Have the main thread run something, after what it runs now; called by the driver."""
        self._runs.put(run)

    def lend(self, drive: Run) -> None:
        """Run `drive` in another thread, and here what `drive` starts, until `drive` has returned.

        Raises:
            BaseException: What `drive` raised. Where a script still runs then, which would never end, the
                process ends at once, with the error on its standard error.
        """
        driver = Thread(target=self._driven, args=(drive,), name="driver of a script", daemon=True)
        driver.start()
        while (run := self._runs.get()) is not None:
            self._busy = True
            copy_context().run(run)  # no variable of one script is another's
            self._busy = False
        driver.join()
        if self._error is not None:
            raise self._error

    def _driven(self, drive: Run) -> None:
        try:
            drive()
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            self._error = error
            if self._busy:
                traceback.print_exception(error)
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(1)
        self._runs.put(None)
