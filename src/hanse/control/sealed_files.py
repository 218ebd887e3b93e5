"""Sealed files for the commands of an owner: a first model sealed, results of a run opened."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from hanse.core.values.digests import ALGORITHMS
from hanse.core.values.schema import problem_of
from hanse.errors import ConfigError, PolicyError, SealError, UpdateError
from hanse.files.copying import digest_of_file
from hanse.files.errors import file_errors
from hanse.sealing.file import SealedFile, open_sealed, seal_signed
from hanse.sealing.header import DAMAGED, Label, file_key, read_header
from hanse.sealing.owner import OwnerKey
from hanse.wire.tensors import read_specs


@dataclass(frozen=True, slots=True)
class Unsealed:
    """A file that was opened.

    Attributes:
        label: What it is.
        size: Size of the content in bytes.
        signed: Whether the owner signed it. Of others, only a digest in a journal says who sealed them.
        digests: Digests of the sealed file, one for each algorithm.
    """

    label: Label
    size: int
    signed: bool
    digests: tuple[str, ...]


def label_of(
    purpose: Literal["initial", "file"], federation: str, name: str, *, rehearsal: bool = False
) -> Label:
    """The label of a file that an owner seals.

    Raises:
        ConfigError: A name cannot stand in a label.
    """
    try:
        return Label(purpose=purpose, federation=federation, name=name, rehearsal=rehearsal)
    except ValidationError as error:
        raise ConfigError(
            f"the file cannot have this label: {problem_of(error)}",
            mend="Choose another with --name or --federation.",
        ) from error


def seal_for_owner(file: Path, output: Path, key: OwnerKey, label: Label) -> SealedFile:
    """Seal a file to its owner, with the owner's signature.

    Args:
        file: The content; for `initial` a safetensors file.
        output: The sealed file; replaced where it exists.
        key: The owner's keys.
        label: What the file is.

    Raises:
        ConfigError: Both paths are one file.
        UpdateError: The content of an `initial` file is not safetensors.
        SealError, StorageError: See `hanse.sealing.file.seal_signed`.
    """
    _check_apart(file, output)
    if label.purpose == "initial":
        try:
            read_specs(file)
        except UpdateError as error:
            raise UpdateError(
                error.message,
                mend="A first model is a safetensors file; add `--purpose file` to seal something else.",
            ) from error
    return seal_signed(file, output, label, key, "sha256", randomness=secrets.token_bytes)


def unseal(
    file: Path, output: Path, key: OwnerKey, *, federation: str | None = None, rehearsal: bool = False
) -> Unsealed:
    """Open a file that is sealed to an owner.

    Args:
        file: The sealed file.
        output: The content; replaced where it exists.
        key: The owner's keys.
        federation: The federation that the file has to be of; None for any.
        rehearsal: Whether a file of a rehearsal may be opened.

    Raises:
        ConfigError: Both paths are one file.
        PolicyError: The file is of a rehearsal, and `rehearsal` is not set.
        SealError: It is not sealed to this owner, is of another federation, or does not open.
        StorageError: A file cannot be read or written.
    """
    _check_apart(file, output)
    header = read_header(file)
    label = header.label
    if federation is not None and label.federation != federation:
        raise SealError(
            f"{file} is sealed as the {label}, and not in federation {federation}",
            mend="Get the file that is meant.",
        )
    if label.rehearsal and not rehearsal:
        raise PolicyError(
            f"{file} is of a rehearsal, in which software may play the devices: nothing protected it",
            mend="Add --rehearsal to open it all the same.",
        )
    try:
        found = file_key(header, key.seal)
    except SealError as error:
        raise SealError(f"cannot open {file}: {error.message}", mend=DAMAGED) from error
    if found is None:
        to = ", ".join(each.to[:16] for each in header.recipients)
        raise SealError(
            f"{file} is not sealed to the owner {key.public.name}: it is sealed to {to}, and the owner's key "
            f"is {key.seal.fingerprint[:16]}",
            mend="Choose the right owner.key with --key.",
        )
    owner = None if header.signature is None else key.public
    size = open_sealed(file, output, found, label, owner=owner)
    with file_errors(f"read {file}"):
        digests = tuple(digest_of_file(file, algorithm) for algorithm in ALGORITHMS)
    return Unsealed(label, size, owner is not None, digests)


def _check_apart(file: Path, output: Path) -> None:
    with file_errors(f"read {file}"):
        same = output.exists() and output.samefile(file)
    if same:
        raise ConfigError(f"{output} is the file itself", mend="Choose another file with --output.")
