"""Signing keys that an auditor got elsewhere than from the aggregator: a file of names and fingerprints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hanse.core.values.identity import check_name
from hanse.errors import ConfigError
from hanse.files.errors import file_errors
from hanse.pki.key_words import read_fingerprint

_LARGEST = 1 << 24
Signers = Mapping[str, tuple[str, ...]]
"""By name of a party, the first hexadecimal digits of the fingerprint of each key that it may sign with."""


def read_signers(path: Path) -> Signers:
    """Read a file with a line for each key: the name of a party, then fingerprint or words of its key.

    Empty lines, and lines that begin with `#`, do not count; a colon may follow the name. A party that has
    rotated its key has a line for each of its keys.

    Raises:
        ConfigError: The file cannot be read, is too large, or a line is something else; says which.
        StorageError: The file cannot be opened.
    """
    with file_errors(f"read {path}"), path.open("rb") as file:
        data = file.read(_LARGEST + 1)
    try:
        if len(data) > _LARGEST:
            raise ValueError(f"more than {_LARGEST} bytes")
        lines = data.decode("utf-8-sig").splitlines()
    except ValueError as error:
        raise ConfigError(f"{path} is not a list of signing keys: {error}") from None
    found: dict[str, list[str]] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, key = (*line.split(maxsplit=1), "")[:2]
        name = name.removesuffix(":")
        try:
            found.setdefault(check_name(name), []).append(read_fingerprint(key))
        except ConfigError as error:
            raise ConfigError(f"{path}, line {number}: {error.message}", mend=error.mend) from None
    if not found:
        raise ConfigError(
            f"{path} has no signing key in it",
            mend="Write a line for each site: its name, then fingerprint or words of its signing key.",
        )
    return {name: tuple(keys) for name, keys in found.items()}
