"""What went wrong in the user's code: where, in one line, and the end of its traceback."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hanse.errors import HanseError, TaskError

MAX_LOG_TAIL = 8_000
"""Most characters of a traceback that are passed on."""

_LIBRARIES = tuple(
    f"{folder}/"
    for folder in (
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        Path(__file__).parents[1],
    )
)


def is_library(filename: str) -> bool:
    """Whether a source file belongs to Python, an installed package or Hanse, not to the user."""
    return filename.startswith((*_LIBRARIES, "<"))


def place(error: BaseException) -> str:
    """The line of the user's code that an error came from, as `heart.py:42`."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}:{error.lineno}"
    lines = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    theirs = [line for line in lines if not is_library(line[0])]
    filename, number = (theirs or lines)[-1]
    return f"{Path(filename).name}:{number}"


def failure(doing: str, error: BaseException) -> HanseError:
    """Tell an error of the user's code as one of ours.

    Args:
        doing: What was being done: a task's name, or `making the learner`.
        error: What the user's code raised, with its traceback.

    Returns:
        A `TaskError` that names the line; errors of ours that tell it already are returned as they are.
    """
    if isinstance(error, HanseError) and not isinstance(error, TaskError):
        return error
    tail = "".join(traceback.format_exception(error))[-MAX_LOG_TAIL:]
    if isinstance(error, TaskError):
        return TaskError(f"{place(error)}: {error.message}", mend=error.mend, log_tail=tail)
    return TaskError(f"{doing} failed at {place(error)}: {describe(error)}", log_tail=tail)


def describe(error: BaseException) -> str:
    """An error's kind and message in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")


@contextmanager
def users_code(doing: str) -> Iterator[None]:
    """Turn whatever the user's code raises in this block into an error that says where.

    Raises:
        HanseError: See `failure`.
    """
    try:
        yield
    except (Exception, SystemExit) as error:  # the outermost edge of the user's code
        told = failure(doing, error)
        if told is error:
            raise
        raise told from error
