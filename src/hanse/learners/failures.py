"""What went wrong in the user's code: where, in one line, and the end of its traceback."""

from __future__ import annotations

import errno
import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hanse.core.values.safe_text import last_lines, one_line
from hanse.errors import ERRORS, HanseError, TaskError, WorkflowError

MAX_LOG_TAIL = 8_000
"""Most characters of a traceback that are passed on."""
_MOST_PLACE_CHARS = 200
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
_TEMPORARY = "/tmp"  # noqa: S108 - which code may write to, and is refused where no tree of its own is mounted
_KINDS = frozenset(ERRORS.values())
_WORDS = ("message", "mend", "log_tail")

_LIBRARIES = tuple(
    f"{folder}/"
    for folder in (
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        Path(__file__).parents[1],
    )
)


_HANSE = f"{Path(__file__).parents[1]}/"

_TYPED = ("<stdin>", "<python-input-", "<ipython-input-")
"""Beginnings of the names that Python and IPython give to what a person types."""
_CELL = re.compile(r"ipykernel_\d+/\d+\.py$")
"""The file that a notebook names as that of a cell; it does not exist."""


def is_library(filename: str) -> bool:
    """Whether a source file belongs to Python, an installed package or Hanse, not to the user."""
    return filename.startswith((*_LIBRARIES, "<")) and not filename.startswith(_TYPED)


def is_installed(filename: str) -> bool:
    """Check that a source file is of an installed package, also of one installed for a user alone."""
    return not {"site-packages", "dist-packages"}.isdisjoint(Path(filename).parts)


def place(error: BaseException) -> str:
    """The line of the user's code that an error came from, as `heart.py:42`."""
    try:
        return _place(error)
    except BaseException:  # noqa: BLE001  # what the error says of itself is the user's code, too
        return "an unknown place"


def _place(error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        return _named(error.filename, error.lineno)
    found = _users_lines(error) or _lines(error) or [("an unknown place", 0)]
    return _named(*found[-1])


def _lines(error: BaseException) -> list[tuple[str, int]]:
    return [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]


def _users_lines(error: BaseException) -> list[tuple[str, int]]:
    return [line for line in _lines(error) if not is_library(line[0]) and not is_installed(line[0])]


def _named(filename: object, number: object) -> str:
    if _CELL.search(str(filename)):
        return _in_cell(str(filename), number)
    return one_line(f"{Path(str(filename)).name}:{number}", _MOST_PLACE_CHARS)


def _in_cell(filename: str, number: object) -> str:
    """A line of a notebook's cell, as IPython names it in tracebacks: `Cell In[3], line 2`."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    # Private to IPython, which may change it: without it the line is named, and the cell is not.
    cells = getattr(getattr(shell, "compile", None), "_filename_map", {})
    cell = f"Cell In[{cells[filename]}]" if filename in cells else "a cell"
    return one_line(f"{cell}, line {number}", _MOST_PLACE_CHARS)


def failure(doing: str, error: BaseException) -> HanseError:
    """Tell an error of the user's code as one of ours.

    Args:
        doing: What was being done: a task's name, or `making the learner`.
        error: What the user's code raised, with its traceback.

    Returns:
        A `TaskError` that names the line of the user's code, if there is one; errors of ours that name it
        already are returned as they are. What Hanse's own code finds wrong with the user's data or settings
        has no traceback: it would show lines of Hanse.
    """
    told = None if isinstance(error, TaskError) else ours(error)
    if told is not None:
        return told
    own = type(error) is TaskError and _raised_here(error)
    tail = "" if own else trace(error)
    if isinstance(error, TaskError):
        try:
            message, mend = one_line(str(error.message)), one_line(str(error.mend))
            at = "" if own and not _users_lines(error) else f"{place(error)}: "
            return TaskError(f"{at}{message}", mend=mend, log_tail=tail)
        except BaseException:  # noqa: BLE001  # a kind of the user's own, whose words are code
            return TaskError(f"{doing} failed at {place(error)}: {describe(error)}", log_tail=tail)
    return TaskError(f"{doing} failed at {place(error)}: {describe(error)}", mend=hint(error), log_tail=tail)


def _raised_here(error: BaseException) -> bool:
    """Whether Hanse's own code raised an error, and not the user's."""
    lines = _lines(error)
    return bool(lines) and lines[-1][0].startswith(_HANSE)


_HINTS = {
    "Expected more than 1 value per channel when training": (
        "A batch of one example, such as the last one of a pass may be, cannot be normalised. With a "
        "learner, say `last_batch: merge` (or `drop`) beside `batch_size` in the plan's task; in a script, "
        "or with a DataLoader, leave that batch out (`drop_last=True`); or use a layer such as GroupNorm."
    ),
    "0D or 1D target tensor expected": (
        "This loss takes class numbers of shape (examples,): give `targets.squeeze(1)` for (examples, 1)."
    ),
    "result type Float can't be cast to the desired output type Long": (
        "This loss takes targets that are floating-point numbers: give `targets.float()`."
    ),
}
"""Remedies for errors of libraries, by a part of their message."""


def hint(error: BaseException) -> str:
    """Remedy for an error of a library that says too little; empty where none is known."""
    if isinstance(error, OSError) and isinstance(error.filename, str):
        return _hint_of_file(Path(error.filename), refused=error.errno in _REFUSED)
    message = describe(error)
    return next((mend for part, mend in _HINTS.items() if part in message), "")


def _hint_of_file(path: Path, *, refused: bool) -> str:
    for place in map(str, (*reversed(path.parents), path)):
        if os.path.islink(place) and (refused or not os.path.exists(place)):  # noqa: PTH110, PTH114 - see below
            # `Path` raises where a folder on the way cannot be searched.
            return (
                f"{place} is a link, and leads out of what plan code may read, or nowhere: make the folder "
                "that it leads to a data source, or put what it leads to in its place."
            )
    if refused and path.is_relative_to(_TEMPORARY):
        return f"Ask `tempfile` for a temporary file: {_TEMPORARY} is not the code's own here."
    return ""


def workflow_failure(error: BaseException) -> HanseError:
    """State an error of the plan's own workflow as one of ours."""
    return ours(error) or WorkflowError(f"the workflow failed at {place(error)}: {describe(error)}")


def ours(error: BaseException) -> HanseError | None:
    """An error of a kind of Hanse's own, in plain text; None of another one, also of the user's own kinds.

    Those may have words, a code or a way to be shown that are code.
    """
    if type(error) not in _KINDS:
        return None
    words = {name: value for name, value in vars(error).items() if name in _WORDS and type(value) is str}
    if not {"message", "mend"} <= words.keys():
        return None
    if words.keys() == vars(error).keys():
        return error  # type: ignore[return-value]  # all kinds are of that tree
    return type(error)(**words)  # type: ignore[return-value]


def trace(error: BaseException) -> str:
    """The end of an error's traceback."""
    try:
        return last_lines("".join(traceback.format_exception(error)), MAX_LOG_TAIL)
    except BaseException:  # noqa: BLE001  # the user's code makes the messages, too
        return last_lines("".join(traceback.format_tb(error.__traceback__)), MAX_LOG_TAIL)


def describe(error: BaseException) -> str:
    """An error's kind and message in one line, printable and bounded."""
    kind = _name_of(type(error))
    try:
        message = one_line(str(error))
    except BaseException:  # noqa: BLE001  # the user's code makes the message, too
        message = "its message cannot be read"
    return one_line(f"{kind}: {message}").removesuffix(":")


@contextmanager
def users_code(doing: str) -> Iterator[None]:
    """Turn whatever the user's code raises in this block into an error that says where.

    All of it: also what would end the process without a word, as `SystemExit` does. Ctrl-C alone is not
    the user's code.

    Raises:
        HanseError: See `failure`.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the outermost edge of the user's code
        told = failure(doing, error)
        if told is error:
            raise
        raise told from error


@contextmanager
def users_objects(doing: str) -> Iterator[None]:
    """As `users_code`, for a block that looks at what the user's code gave, which can be code as well.

    Raises:
        HanseError: Errors of ours pass as they are; for others see `failure`.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        told = ours(error) or failure(doing, error)
        if told is error:
            raise
        raise told from error


def _name_of(kind: type) -> str:
    # Not `kind.__name__`, which a class of its class could compute.
    name = type.__dict__["__name__"].__get__(kind)
    return str.__str__(name)
