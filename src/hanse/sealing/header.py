"""Header of a sealed file: what the file is, to whom it is sealed, and who answers for it."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import partial
from pathlib import Path
from typing import Annotated, BinaryIO, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from hanse.core.values.canonical import canonical_json
from hanse.core.values.schema import Digest, Name, Strict, problem_of
from hanse.errors import SealError
from hanse.files.errors import file_errors
from hanse.sealing.keys import WRAPPED_BYTES, SealKey, wrap_key

MAGIC = b"HANSESL1"
"""A sealed file begins with it; then the length of the header follows, 4 bytes, the highest first."""
LENGTH_BYTES = 4
MOST_HEADER_BYTES = 65_536
MOST_RECIPIENTS = 16

Purpose = Literal["initial", "model", "group", "result", "state", "aggregate", "update", "file"]

DAMAGED = "Fetch or copy it again; if it stays so, its sender has to seal it again."
"""Mend for a sealed file that does not open."""

OF_NO_RUN: frozenset[Purpose] = frozenset({"initial", "file"})
"""Purposes of files that are sealed before there is a run."""

_INFO = b"hanse file key"
_NAME_LENGTH = 200
_SIGNATURE_BYTES = 64


def check_base64(text: str, size: int) -> str:
    """Refuse a text that is not the one base64 form of so many bytes."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        data = b""
    if len(data) != size or base64.b64encode(data).decode("ascii") != text:
        raise ValueError(f"should be {size} bytes in base64")
    return text


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("has characters that cannot be printed")
    return text


class Label(Strict):
    """Purpose and origin of a sealed file. The file opens only for a reader that expects the same.

    Attributes:
        purpose: What the file is in a run; `initial` is a first model and `file` anything else that an owner
            seals, and both are sealed before there is a run.
        federation: Name of the federation.
        run: Id of the run; empty for `initial` and `file`.
        plan: Digest of the plan; empty for `initial` and `file`.
        name: Which file of its purpose, such as `round 3, site-1`.
        rehearsal: Whether the file is of a rehearsal, whose keys nothing protects.
    """

    purpose: Purpose
    federation: Name
    run: str = Field(default="", max_length=128, pattern="^[a-z0-9._-]*$")
    plan: Digest | Literal[""] = ""
    name: Annotated[str, Field(min_length=1, max_length=_NAME_LENGTH), AfterValidator(_printable)]
    rehearsal: bool = False

    @model_validator(mode="after")
    def _has_a_run_or_none(self) -> Self:
        if self.purpose in OF_NO_RUN and (self.run or self.plan):
            raise ValueError(f"a file for {self.purpose} is of no run and no plan")
        if self.purpose not in OF_NO_RUN and not (self.run and self.plan):
            raise ValueError(f"a file for {self.purpose} is of a run and a plan")
        return self

    def __str__(self) -> str:
        """The label in words."""
        of_run = f" of run {self.run}, plan {self.plan[:12]}," if self.run else ""
        rehearsal = " (rehearsal)" if self.rehearsal else ""
        return f"{self.purpose} {self.name!r}{of_run} in federation {self.federation}{rehearsal}"


class Recipient(Strict):
    """A key that opens the file.

    Attributes:
        to: Fingerprint of the public key that the file's key is wrapped to.
        wrapped: The file's key, wrapped; base64.
    """

    to: Digest
    wrapped: Annotated[str, AfterValidator(partial(check_base64, size=WRAPPED_BYTES))]


class OwnersSignature(Strict):
    """An owner's signature: over the label, the recipients with their wrapped keys, and the content.

    It covers the content by itself, since a recipient has the file's key, and could else put another
    content behind the same header.

    Attributes:
        key: The owner's public key, SubjectPublicKeyInfo (DER), base64.
        content: BLAKE3 of the content, keyed with the salt in front of it: says nothing of the content to
            those who cannot open the file.
        signature: Ed25519, base64.
    """

    key: str = Field(max_length=256)
    content: Digest
    signature: Annotated[str, AfterValidator(partial(check_base64, size=_SIGNATURE_BYTES))]


class Header(Strict):
    """Header of a sealed file.

    Attributes:
        format: The format, with the suite of keys and the cipher.
        label: What the file is.
        recipients: The keys that open it.
        signature: Of the owner, where an owner answers for the file; each `initial` has one.
    """

    format: Literal["hanse-sealed-1"] = "hanse-sealed-1"
    label: Label
    recipients: Annotated[tuple[Recipient, ...], Field(min_length=1, max_length=MOST_RECIPIENTS)]
    signature: OwnersSignature | None = None

    @model_validator(mode="after")
    def _names_each_once(self) -> Self:
        if len({each.to for each in self.recipients}) < len(self.recipients):
            raise ValueError("a recipient is named twice")
        if self.label.purpose == "initial" and self.signature is None:
            raise ValueError("a file for initial has its owner's signature")
        return self

    @property
    def associated(self) -> bytes:
        """Binding of the encrypted part: SHA-256 of format and label, 32 bytes."""
        return associated_with(self.label)

    def to_bytes(self) -> bytes:
        """The beginning of the file, with magic and length.

        Raises:
            SealError: It is longer than a header may be.
        """
        data = canonical_json(self.model_dump(mode="json"))
        if len(data) > MOST_HEADER_BYTES:
            raise SealError(f"the header of a sealed file has {len(data)} bytes; at most {MOST_HEADER_BYTES}")
        return MAGIC + len(data).to_bytes(LENGTH_BYTES, "big") + data


def associated_with(label: Label) -> bytes:
    """See `Header.associated`."""
    value = {"format": "hanse-sealed-1", "label": label.model_dump(mode="json")}
    return hashlib.sha256(canonical_json(value)).digest()


def info_of(label: Label) -> bytes:
    """Purpose that the key of a file with this label is wrapped for; see `hanse.sealing.keys.wrap_key`."""
    return _INFO + associated_with(label)


def wrap_file_key(key: bytes, public: bytes, label: Label) -> bytes:
    """Wrap a file's key to one more public key, as the recipients in the header have it.

    Raises:
        SealError: `public` is not a public key.
    """
    return wrap_key(key, public, info_of(label))


def file_key(header: Header, seal_key: SealKey) -> bytes | None:
    """The file's key; None where the file is not sealed to this key.

    Raises:
        SealError: It is, and yet its key does not open: it was altered.
    """
    for each in header.recipients:
        if each.to == seal_key.fingerprint:
            return seal_key.unwrap(base64.b64decode(each.wrapped), info_of(header.label))
    return None


def is_sealed(path: Path) -> bool:
    """Check if a file begins as a sealed one does.

    Raises:
        StorageError: It cannot be read.
    """
    with file_errors(f"read {path}"), path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def read_header(path: Path) -> Header:
    """Read the header of a sealed file. Nothing of it is proven before the file is opened.

    Raises:
        SealError: It is not a sealed file, or its header is malformed.
        StorageError: It cannot be read.
    """
    with file_errors(f"read {path}"), path.open("rb") as file:
        return take_header(file, path)


def take_header(file: BinaryIO, path: Path) -> Header:
    """Read the header from a file at its beginning, and leave the file where the encrypted part begins.

    Raises:
        SealError: See `read_header`.
        OSError: It cannot be read.
    """
    start = file.read(len(MAGIC) + LENGTH_BYTES)
    if not start.startswith(MAGIC):
        raise SealError(f"{path} is not a sealed file", mend="Check the path; sealed files end in `.sealed`.")
    size = int.from_bytes(start[len(MAGIC) :], "big")
    if len(start) < len(MAGIC) + LENGTH_BYTES or size > MOST_HEADER_BYTES:
        raise SealError(f"{path} has a header of more than {MOST_HEADER_BYTES} bytes, or none", mend=DAMAGED)
    data = file.read(size)
    if len(data) < size:
        raise SealError(f"{path} ends inside its header", mend=DAMAGED)
    return _header_of(data, path)


def _header_of(data: bytes, path: Path) -> Header:
    try:
        value = json.loads(data)
        header = Header.model_validate(value)
    except ValidationError as error:
        raise SealError(f"the header of {path} is malformed: {problem_of(error)}", mend=DAMAGED) from error
    except (ValueError, RecursionError) as error:
        raise SealError(f"the header of {path} is not JSON", mend=DAMAGED) from error
    if canonical_json(header.model_dump(mode="json")) != data:
        raise SealError(f"the header of {path} is not in its one form", mend=DAMAGED)
    return header
