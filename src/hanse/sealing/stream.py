"""Encryption of long files in segments: the streaming AEAD AES256-GCM-HKDF of Tink, segments of 1 MiB.

Format: https://developers.google.com/tink/streaming-aead/aes_gcm_hkdf_streaming; the construction is that of
Hoang, Reyhanitabar, Rogaway and Vizár, "Online Authenticated-Encryption and its Nonce-Reuse
Misuse-Resistance" (CRYPTO 2015). Each segment has a tag of its own, and its nonce says its number and whether
it is the last, so that none can be altered, moved, left out or added, and nothing can follow the last.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hanse.errors import SealError
from hanse.files.copying import Readable
from hanse.sealing.keys import FILE_KEY_BYTES, Randomness

SEGMENT_BYTES = 1 << 20
"""Bytes of a segment with its tag; the first one's count the stream's header too, and the last is shorter."""
TAG_BYTES = 16
SALT_BYTES = 32
PREFIX_BYTES = 7
HEADER_BYTES = 1 + SALT_BYTES + PREFIX_BYTES
"""The header's own length in a byte, the salt of HKDF, and what the nonces begin with."""

FIRST_PLAIN_BYTES = SEGMENT_BYTES - HEADER_BYTES - TAG_BYTES
PLAIN_BYTES = SEGMENT_BYTES - TAG_BYTES
"""Plain bytes in each segment after the first, but for the last."""

_MOST_SEGMENTS = 1 << 32
_KEY_BYTES = 32


class Writable(Protocol):
    """An open file, or what can be written like one."""

    def write(self, data: bytes | memoryview, /) -> object:
        """Take all of these bytes; the buffer is used again afterwards."""
        ...


class StreamWriter:
    """Encrypts what it is given into a file. `finish` ends the stream; without the end no reader takes it.

    Args:
        target: Where the stream goes.
        key: The file's key, 32 bytes.
        associated: What the stream is bound to: a reader has to give the same.
        randomness: Gives the salt and the beginning of the nonces.

    Raises:
        ValueError: The key has not 32 bytes.
    """

    def __init__(self, target: Writable, key: bytes, associated: bytes, randomness: Randomness) -> None:
        salt, prefix = randomness(SALT_BYTES), randomness(PREFIX_BYTES)
        self._target = target
        self._cipher = _Cipher(key, salt, prefix, associated)
        self._plain = memoryview(bytearray(PLAIN_BYTES))
        self._sealed = memoryview(bytearray(SEGMENT_BYTES))
        self._filled, self._room, self._number = 0, FIRST_PLAIN_BYTES, 0
        target.write(memoryview(bytes([HEADER_BYTES]) + salt + prefix))

    def write(self, data: bytes | memoryview) -> None:
        """Encrypt the next bytes.

        Raises:
            OSError: The target does not take them.
        """
        left = memoryview(data)
        while left:
            if self._filled == self._room:  # only now it is known that this one is not the last
                self._write_segment(last=False)
            count = min(len(left), self._room - self._filled)
            self._plain[self._filled : self._filled + count] = left[:count]
            self._filled += count
            left = left[count:]

    def finish(self) -> None:
        """Write the last segment.

        Raises:
            OSError: The target does not take it.
        """
        self._write_segment(last=True)

    def _write_segment(self, *, last: bool) -> None:
        sealed = self._sealed[: self._filled + TAG_BYTES]
        self._cipher.encrypt(self._number, last, self._plain[: self._filled], sealed)
        self._target.write(sealed)
        self._filled, self._room = 0, PLAIN_BYTES
        self._number += 1


def read_stream(source: Readable, key: bytes, associated: bytes) -> Iterator[memoryview]:
    """Decrypt a stream from where the file stands to its end.

    Args:
        source: The file.
        key: The file's key, 32 bytes.
        associated: What the stream has to be bound to.

    Yields:
        The plain bytes of a segment, once its tag is checked; they are gone with the next. Only where the
        iteration ends without an error is the stream whole.

    Raises:
        SealError: The stream was altered or cut, continues after its end, or has another key or binding.
        OSError: The file cannot be read.
    """
    sealed, plain = memoryview(bytearray(SEGMENT_BYTES + 1)), memoryview(bytearray(PLAIN_BYTES))
    header = sealed[:HEADER_BYTES]
    cipher = _read_header(bytes(header[: _fill(source, header)]), key, associated)
    room, number, held = SEGMENT_BYTES - HEADER_BYTES, 0, 0
    while True:
        # A byte more than the segment has: without one behind it, the segment has to be the last.
        size = held + _fill(source, sealed[held : room + 1])
        last = size <= room
        yield cipher.decrypt(number, last, sealed[: min(size, room)], plain)
        if last:
            return
        sealed[0], held = sealed[room], 1
        room, number = SEGMENT_BYTES, number + 1


class Segments:
    """The segments of a stream, each decrypted alone.

    A segment proves itself and its number, and only the last one proves where the stream ends.

    Args:
        file: The file with the stream.
        start: Where in the file the stream begins, in bytes.
        key: The file's key, 32 bytes.
        associated: What the stream has to be bound to.

    Attributes:
        count: How many segments there are, by the size of the file.

    Raises:
        SealError: The file is too short for a stream.
        OSError: The file cannot be read.
    """

    def __init__(self, file: BinaryIO, start: int, key: bytes, associated: bytes) -> None:
        self._file, self._start = file, start
        self._size = os.fstat(file.fileno()).st_size - start
        self._cipher = _read_header(self._bytes(0, HEADER_BYTES), key, associated)
        self.count = max(1, -(-self._size // SEGMENT_BYTES))

    def read(self, number: int) -> bytes:
        """The plain bytes of a segment.

        Raises:
            SealError: The segment was altered or moved, or the file was cut in it or has another end.
            IndexError: There is no such segment.
            OSError: The file cannot be read.
        """
        if not 0 <= number < self.count:
            raise IndexError(f"segment {number} of {self.count}")
        begin = number * SEGMENT_BYTES if number else HEADER_BYTES
        sealed = memoryview(self._bytes(begin, (number + 1) * SEGMENT_BYTES - begin))
        plain = memoryview(bytearray(PLAIN_BYTES))
        return bytes(self._cipher.decrypt(number, number == self.count - 1, sealed, plain))

    def _bytes(self, begin: int, size: int) -> bytes:
        return os.pread(self._file.fileno(), size, self._start + begin)


class _Cipher:
    """The cipher of one stream: its own key, and the nonces of its segments."""

    def __init__(self, key: bytes, salt: bytes, prefix: bytes, associated: bytes) -> None:
        if len(key) != FILE_KEY_BYTES:
            raise ValueError(f"a file key has {FILE_KEY_BYTES} bytes, and this one {len(key)}")
        derived = HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=salt, info=associated).derive(key)
        self._aead, self._prefix = AESGCM(derived), prefix

    def encrypt(self, number: int, last: bool, plain: memoryview, sealed: memoryview) -> None:
        """Encrypt a segment into `sealed`, which is longer by the tag."""
        self._aead.encrypt_into(self._nonce(number, last), plain, None, sealed)

    def decrypt(self, number: int, last: bool, sealed: memoryview, plain: memoryview) -> memoryview:
        """Decrypt a segment into the beginning of `plain`, and return that part.

        Raises:
            SealError: It is not segment `number`, or not the last or another than the last as it should be.
        """
        size = len(sealed) - TAG_BYTES
        if size < 0 or (size == 0 and number > 0):  # no writer makes an empty one but for an empty file
            raise SealError(f"it ends inside segment {number}: it was cut")
        try:
            self._aead.decrypt_into(self._nonce(number, last), sealed, None, plain[:size])
        except InvalidTag:
            raise SealError(_told(number, last)) from None
        return plain[:size]

    def _nonce(self, number: int, last: bool) -> bytes:
        if number >= _MOST_SEGMENTS:
            raise SealError(f"it has more than {_MOST_SEGMENTS} segments")
        return self._prefix + number.to_bytes(4, "big") + bytes([last])


def _told(number: int, last: bool) -> str:
    if number == 0:
        return "its first segment does not open: it has another key, or it was altered or cut"
    if last:
        return (
            f"its last segment, {number}, does not open: it was cut, continues after its end, or was altered"
        )
    return f"its segment {number} does not open: it was altered, or it is not in its place"


def _read_header(header: bytes, key: bytes, associated: bytes) -> _Cipher:
    if len(header) < HEADER_BYTES or header[0] != HEADER_BYTES:
        raise SealError("its encrypted part does not begin as one does: it was cut or altered")
    salt, prefix = header[1 : 1 + SALT_BYTES], header[1 + SALT_BYTES :]
    return _Cipher(key, salt, prefix, associated)


def _fill(source: Readable, buffer: memoryview) -> int:
    filled = 0
    while filled < len(buffer) and (count := source.readinto(buffer[filled:])):
        filled += count
    return filled
