"""The main thread of a process, lent to scripts."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextvars import ContextVar

import pytest

from hanse.learners.main_thread import MainThread


def test_what_the_driver_starts_runs_in_the_thread_that_was_lent() -> None:
    ran = []
    main_thread = MainThread()

    main_thread.lend(lambda: main_thread.start(lambda: ran.append(threading.current_thread())))

    assert ran == [threading.current_thread()]


def test_what_one_run_sets_in_its_context_is_not_there_for_the_next() -> None:
    variable = ContextVar("variable", default="unset")
    seen = []
    main_thread = MainThread()

    def drive() -> None:
        main_thread.start(lambda: variable.set("by the first") and None)
        main_thread.start(lambda: seen.append(variable.get()))

    main_thread.lend(drive)

    assert seen == ["unset"]


def test_what_the_driver_raises_is_raised_in_the_main_thread() -> None:
    with pytest.raises(ZeroDivisionError):
        MainThread().lend(lambda: 1 / 0)


def test_a_driver_that_fails_while_a_script_runs_ends_the_process() -> None:
    code = """
import threading
from hanse.learners.main_thread import MainThread

main_thread, runs = MainThread(), threading.Event()

def hang():
    runs.set()
    threading.Event().wait()

def drive():
    main_thread.start(hang)
    runs.wait(60)
    raise ValueError("nobody drives the script any more")

main_thread.lend(drive)
"""

    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )

    assert ended.returncode == 1
    assert "ValueError: nobody drives the script any more" in ended.stderr
