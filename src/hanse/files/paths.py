"""Paths that callers of the Python interface give."""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path

from hanse.errors import ConfigError


def given_path(value: object, what: str) -> Path:
    """A path as a caller gives it, with the home folder in place of `~`.

    Args:
        value: Text, or an object that stands for a path.
        what: What the path is of, for messages: `output`.

    Raises:
        ConfigError: It is not text, or is not a path that the operating system can look for.
    """
    text = fspath(value) if isinstance(value, str | PathLike) else value
    if not isinstance(text, str):
        raise ConfigError(
            f"{what}: a value of the type {type(value).__name__} is not a path", mend="Give it as text."
        )
    shown = f"{text[:200]!r}"
    if "\0" in text:
        raise ConfigError(f"{what}: {shown} has a NUL character, and no path has one", mend="Check the path.")
    try:
        path = Path(text).expanduser()
        path.exists()  # refuses names that are too long
    except RuntimeError:
        raise ConfigError(
            f"{what}: there is no home folder of the user in {shown}", mend="Check the path."
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{what}: cannot look for {shown}: {error.strerror}", mend="Check the path."
        ) from None
    return path
