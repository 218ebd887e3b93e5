"""What the programs of the cases share: arguments are checked first, and an early end is told in one line."""

from __future__ import annotations

import math
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

HOST = "127.0.0.1"
MOST_ROUNDS = 1_000_000
"""That a plan may have."""
_INTERRUPTED = 128 + signal.SIGINT
"""What a shell expects of a program that Ctrl-C ended."""
_WRONG_ARGUMENTS = 2


@contextmanager
def one_line() -> Iterator[None]:
    """A block, imports or a whole program, that Ctrl-C and errors of the file system end with one line.

    Raises:
        SystemExit: 130 after Ctrl-C, 1 after an error of the file system.
    """
    try:
        yield
        sys.stdout.flush()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one would be told in many lines
        _end("interrupted", _INTERRUPTED)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else "a file cannot be read or written: "
        _end(f"{place}{error.strerror or error}", 1)


def refuse(words: str) -> NoReturn:
    """End the program because of its arguments."""
    _end(words, _WRONG_ARGUMENTS)


def check_rounds(rounds: int | None) -> None:
    """Refuse a number of rounds that no plan may have; None is that of the plan."""
    if rounds is not None and not 1 <= rounds <= MOST_ROUNDS:
        refuse(f"--rounds must be 1 to {MOST_ROUNDS}, got {rounds}")


def check_port(port: int | None) -> None:
    """Refuse a port that is none or cannot be used now; None is one that is free."""
    import socket

    if port is None:
        return
    if not 1 <= port <= 65_535:
        refuse(f"--port must be 1 to 65535, got {port}; without it, one that is free is taken")
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((HOST, port))
        except OSError as error:
            refuse(
                f"port {port} cannot be used ({error.strerror}): choose another, or none for one that is free"
            )


def check_file(file: Path | None) -> None:
    """Refuse a file that could not be written."""
    if file is None:
        return
    if file.is_dir():
        refuse(f"{file} is a folder: name a file")
    if not file.parent.is_dir():
        refuse(f"{file} cannot be written: there is no folder {file.parent}")
    if not os.access(file if file.exists() else file.parent, os.W_OK):
        refuse(f"{file} cannot be written: permission denied")


def make_folder(folder: Path, *, empty: bool = True) -> None:
    """Make a folder if it is not there; refuse one that cannot be made or written in.

    Args:
        folder: The folder; its parents are made too.
        empty: Whether one that has something in it is refused.
    """
    other = "name another folder with --directory"
    try:
        str(folder).encode()  # it is printed, and stands in settings
        if folder.exists() and not folder.is_dir():
            refuse(f"{folder} is not a folder: {other}")
        if empty and folder.exists() and any(folder.iterdir()):
            refuse(f"{folder} is not empty: remove it, or {other}")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        refuse(f"the folder {folder} cannot be used ({error.strerror}): {other}")
    except UnicodeEncodeError:
        refuse(f"the name of the folder {str(folder)!a} is no text in UTF-8: {other}")
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        refuse(f"the folder {folder} cannot be used (Permission denied): {other}")


def figure(value: float | None, digits: int) -> str:
    """A figure for people; one that is not defined, such as a Dice without tumours, is not given."""
    return "not given" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def _end(words: str, code: int) -> NoReturn:
    """Say a line and end; what cannot be printed any more is dropped."""
    with suppress(OSError):
        print(words, file=sys.stderr, flush=True)
    try:
        sys.stdout.flush()
    except OSError:  # a reader that is gone, or a disk that is full: Python would complain again at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(code)
