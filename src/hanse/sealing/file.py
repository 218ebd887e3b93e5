"""Sealed files: written with a fresh key each, opened whole or not at all.

Format: magic, length of the header, header (canonical JSON), encrypted stream. Inside the stream the content
has a random salt of 32 bytes in front and its BLAKE3, keyed with the salt, behind it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, cast

from blake3 import blake3
from pydantic import ValidationError

from hanse.core.values.canonical import sha256
from hanse.core.values.digests import Algorithm, Hasher
from hanse.core.values.schema import problem_of
from hanse.core.values.statements import SignedStatement
from hanse.errors import SealError
from hanse.files.atomic import writing
from hanse.files.copying import Readable, pieces
from hanse.files.errors import file_errors
from hanse.sealing.header import (
    DAMAGED,
    Header,
    Label,
    OwnersSignature,
    Recipient,
    take_header,
    wrap_file_key,
)
from hanse.sealing.keys import FILE_KEY_BYTES, Randomness
from hanse.sealing.owner import Owner, OwnerKey
from hanse.sealing.stream import FIRST_PLAIN_BYTES, PLAIN_BYTES, Segments, StreamWriter, read_stream

SALT_BYTES = 32
PROOF_BYTES = 32
"""BLAKE3 of the content, keyed with the salt."""

_MOST = 1 << 50
_SIGNED_AS = "sealed file"


@dataclass(frozen=True, slots=True)
class SealedFile:
    """A file that was just sealed.

    Attributes:
        digest: Digest of the whole sealed file.
        size: Its size in bytes.
        key: The file's key, to wrap it to more recipients with `wrap_file_key`.
    """

    digest: str
    size: int
    key: bytes = field(repr=False)


def seal_file(
    source: Path,
    target: Path,
    label: Label,
    recipients: Sequence[bytes],
    algorithm: Algorithm,
    *,
    randomness: Randomness,
) -> SealedFile:
    """Seal a file to public keys, under a key of its own.

    Args:
        source: The file with the content.
        target: The sealed file; put in place durably and whole, for its owner only.
        label: What the file is.
        recipients: Public keys to wrap the file's key to, 1 to 16.
        algorithm: What makes the digest of the sealed file.
        randomness: Of the operating system.

    Raises:
        SealError: A key to seal to is malformed or named twice, or the label asks for a signature.
        StorageError: A file cannot be read or written; `target` is as it was.
    """
    key, salt = randomness(FILE_KEY_BYTES), randomness(SALT_BYTES)
    header = _header(label, _recipients(label, key, recipients))
    return _write(source, target, header, _Inside(key, salt, randomness), algorithm)


def seal_signed(
    source: Path,
    target: Path,
    label: Label,
    owner: OwnerKey,
    algorithm: Algorithm,
    *,
    randomness: Randomness,
) -> SealedFile:
    """Seal a file to its owner alone, with the owner's signature; see `seal_file`.

    The content is read twice, since the signature in the header covers it.

    Raises:
        SealError: The file was written to meanwhile.
        StorageError: As `seal_file`.
    """
    key, salt = randomness(FILE_KEY_BYTES), randomness(SALT_BYTES)
    proof = blake3(key=salt)
    with file_errors(f"read {source}"), source.open("rb", buffering=0) as file:
        for piece in pieces(file, _MOST):
            proof.update(piece)
    to, content = _recipients(label, key, [owner.seal.public]), proof.hexdigest()
    signed = owner.sign(_SIGNED_AS, _signed_body(label, to, content))
    signature = OwnersSignature(key=signed.key, content=content, signature=signed.signature)
    header = _header(label, to, signature)
    return _write(source, target, header, _Inside(key, salt, randomness), algorithm)


def open_sealed(path: Path, target: Path, key: bytes, expected: Label, *, owner: Owner | None = None) -> int:
    """Decrypt and check a sealed file.

    Args:
        path: The sealed file.
        target: The content; put in place whole, for its owner only, once all of it is checked.
        key: The file's key: of `file_key`, or unwrapped from a message.
        expected: What the file has to be.
        owner: Who has to have signed it; needed for `initial`. None for files of a run, which are known by
            their digests.

    Returns:
        The size of the content in bytes.

    Raises:
        SealError: The file was altered or cut, is another than expected, opens with another key, or its owner
            has not signed it; `target` is as it was.
        StorageError: A file cannot be read or written.
        ValueError: `expected` is `initial`, and no owner is given.
    """
    if owner is None and expected.purpose == "initial":
        raise ValueError("only an owner's signature says what an initial file is")
    with file_errors(f"open {path} into {target}"), path.open("rb") as file, _told_of(path):
        header = take_header(file, path)
        check_label(header.label, expected, path)
        if owner is not None:
            _check_signature(header, owner)
        with writing(target, mode=0o600) as plain:
            return _decrypt(file, plain, key, header)


def check_label(found: Label, expected: Label, path: Path) -> None:
    """Refuse a file that is another than expected.

    Raises:
        SealError: It is; says what differs.
    """
    for name in Label.model_fields:
        is_, should_be = getattr(found, name), getattr(expected, name)
        if is_ != should_be:
            raise SealError(
                f"{path} is sealed as the {found}; its {name} should be {should_be!r}",
                mend="Get the file that is meant.",
            )


def read_segment(path: Path, key: bytes, expected: Label, number: int) -> bytes:
    """Decrypt one segment: it proves its own bytes and their place, and not the end of the file.

    Args:
        path: The sealed file.
        key: The file's key.
        expected: What the file has to be.
        number: Which segment, from 0; see `segment_of`.

    Returns:
        The plain bytes of the segment. The salt is in front of the content in the first one, and the
        proof behind it in the last one or the last two.

    Raises:
        SealError: The segment or the header was altered, or the key or the file is another one.
        IndexError: There is no such segment.
        StorageError: The file cannot be read.
    """
    with file_errors(f"read {path}"), path.open("rb") as file, _told_of(path):
        header = take_header(file, path)
        check_label(header.label, expected, path)
        return Segments(file, file.tell(), key, header.associated).read(number)


def segment_of(offset: int) -> tuple[int, int]:
    """Where a byte of the content is: the number of the segment, and the place in its plain bytes."""
    place = SALT_BYTES + offset - FIRST_PLAIN_BYTES
    if place < 0:
        return 0, SALT_BYTES + offset
    return 1 + place // PLAIN_BYTES, place % PLAIN_BYTES


@dataclass(frozen=True, slots=True)
class _Inside:
    """Secrets of one file, with which its encrypted part is made."""

    key: bytes = field(repr=False)
    salt: bytes = field(repr=False)
    randomness: Randomness


class _Target:
    """A file that is hashed as it is written."""

    def __init__(self, file: BinaryIO, algorithm: Algorithm) -> None:
        self._file, self._hasher = file, Hasher(algorithm)
        self.size = 0

    def write(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        self._hasher.update(data)
        self.size += len(data)

    @property
    def digest(self) -> str:
        return self._hasher.digest()


def _write(source: Path, target: Path, header: Header, inside: _Inside, algorithm: Algorithm) -> SealedFile:
    with (
        file_errors(f"seal {source} into {target}"),
        source.open("rb", buffering=0) as content,
        writing(target, mode=0o600, durable=True) as file,
    ):
        sealed = _Target(file, algorithm)
        sealed.write(header.to_bytes())
        proof = _encrypt(content, sealed, header, inside)
        if header.signature is not None and header.signature.content != proof:
            raise SealError(
                f"{source} was written to while it was sealed", mend="Seal it once it is complete."
            )
    return SealedFile(sealed.digest, sealed.size, inside.key)


def _encrypt(content: Readable, sealed: _Target, header: Header, inside: _Inside) -> str:
    """Write the encrypted part; BLAKE3 of the content, keyed with the salt."""
    stream = StreamWriter(sealed, inside.key, header.associated, inside.randomness)
    stream.write(inside.salt)
    proof = blake3(key=inside.salt)
    for piece in pieces(content, _MOST):
        proof.update(piece)
        stream.write(piece)
    stream.write(proof.digest())
    stream.finish()
    return proof.hexdigest()


def _decrypt(sealed: BinaryIO, plain: BinaryIO, key: bytes, header: Header) -> int:
    """Write the content, and check its proof; its size in bytes."""
    stream = read_stream(cast(Readable, sealed), key, header.associated)
    first = next(stream)
    if len(first) < SALT_BYTES:
        raise SealError("it has no salt: another program sealed it")
    proof, size, held = blake3(key=bytes(first[:SALT_BYTES])), 0, b""
    for segment in chain((first[SALT_BYTES:],), stream):
        # The last bytes of all are the proof and no content, so as many are always held back.
        if len(segment) >= PROOF_BYTES:
            known, held = (held, segment[:-PROOF_BYTES]), bytes(segment[-PROOF_BYTES:])
        else:
            joined = held + bytes(segment)
            known, held = (joined[:-PROOF_BYTES], memoryview(b"")), joined[-PROOF_BYTES:]
        for piece in known:
            proof.update(piece)
            plain.write(piece)
            size += len(piece)
    if proof.digest() != held:
        raise SealError("its content is not what its proof says: another program sealed it")
    if header.signature is not None and header.signature.content != proof.hexdigest():
        raise SealError("its content is not the one that its owner signed")
    return size


def _recipients(label: Label, key: bytes, publics: Sequence[bytes]) -> tuple[Recipient, ...]:
    return tuple(
        Recipient(
            to=sha256(public), wrapped=base64.b64encode(wrap_file_key(key, public, label)).decode("ascii")
        )
        for public in publics
    )


def _header(
    label: Label, recipients: tuple[Recipient, ...], signature: OwnersSignature | None = None
) -> Header:
    try:
        return Header(label=label, recipients=recipients, signature=signature)
    except ValidationError as error:
        raise SealError(f"no file can be sealed as the {label}: {problem_of(error)}") from error


def _signed_body(label: Label, recipients: Sequence[Recipient], content: str) -> dict[str, Any]:
    listed = [each.model_dump(mode="json") for each in recipients]
    return {"label": label.model_dump(mode="json"), "recipients": listed, "content": content}


def _check_signature(header: Header, owner: Owner) -> None:
    signature = header.signature
    if signature is None:
        raise SealError(f"it has no signature, and the owner {owner.name} should have signed it")
    body = _signed_body(header.label, header.recipients, signature.content)
    try:
        statement = SignedStatement(body=body, key=signature.key, signature=signature.signature)
    except ValidationError as error:
        raise SealError(f"its signature is malformed: {problem_of(error)}") from error
    owner.verify(statement, _SIGNED_AS)


@contextmanager
def _told_of(path: Path) -> Iterator[None]:
    """Name the file where the inside of it is refused."""
    try:
        yield
    except SealError as error:
        if error.mend:  # names the file already
            raise
        raise SealError(f"cannot open {path}: {error.message}", mend=DAMAGED) from error
