"""Logs of Linux' integrity measurement architecture: which files the kernel has measured into PCR 10.

Both forms of `/sys/kernel/security/ima`: `ascii_runtime_measurements` and `binary_runtime_measurements` on
machines that write the least byte first. The SHA-256 bank is extended by the SHA-256 of the template's data,
as kernels from 5.8 do; earlier ones extend it by a padded SHA-1, and their logs lead to another value.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from hanse.attestation.reading import Reader
from hanse.errors import EvidenceError

REGISTER = 10
BOOT_AGGREGATE = "boot_aggregate"
"""Path of the first entry, whose digest is that of PCR 0 to 9."""
MOST_ENTRIES = 8192
_WHAT = "IMA log"
_FIELDS = {"ima-ng": 2, "ima-sig": 3, "ima-buf": 3}
_MOST_FIELD = 64 * 1024


@dataclass(frozen=True, slots=True)
class Measured:
    """An entry of the log.

    Attributes:
        path: The file, with what is not printable escaped.
        algorithm: Hash of its content, as the kernel names it.
        digest: Digest of its content.
        violation: True where it was written to while it was measured: the digest says nothing then.
        extended: What the SHA-256 bank was extended by.
    """

    path: str
    algorithm: str
    digest: bytes
    violation: bool
    extended: bytes


def read_ima_log(data: bytes) -> tuple[Measured, ...]:
    """Read a log, in either form, with entries of the templates `ima-ng`, `ima-sig` and `ima-buf`.

    Raises:
        EvidenceError: It is malformed.
    """
    binary = data[:4] == REGISTER.to_bytes(4, "little")
    entries = _read_binary(data) if binary else _read_text(data)
    if not entries:
        raise EvidenceError(f"{_WHAT}: it has no entry")
    return entries


def replay(entries: tuple[Measured, ...], value: bytes) -> int:
    """Find how many entries of a log lead to a value of PCR 10; what follows came after the quote.

    Raises:
        EvidenceError: No number of them does.
    """
    register = bytes(32)
    for count, entry in enumerate(entries, 1):
        register = hashlib.sha256(register + entry.extended).digest()
        if register == value:
            return count
    raise EvidenceError(
        f"{_WHAT}: its {len(entries)} entries lead to {register.hex()} in PCR {REGISTER}, and the quote has "
        f"{value.hex()}",
        mend="Read the log after the quote, of one start; kernels before 5.8 do not extend SHA-256 properly.",
    )


def _read_binary(data: bytes) -> tuple[Measured, ...]:
    reader = Reader(data, _WHAT)
    entries: list[Measured] = []
    while reader.left:
        _check_count(len(entries))
        _check_register(str(reader.little(4, "register")))
        stated = reader.take(20, "digest of the template")
        name = reader.take(_bounded(reader, 16, "name of the template"), "name of the template")
        fields = reader.take(
            _bounded(reader, 2 * _MOST_FIELD, "data of the template"), "data of the template"
        )
        entries.append(_entry(name.decode("ascii", "replace"), stated, fields, len(entries)))
    return tuple(entries)


def _read_text(data: bytes) -> tuple[Measured, ...]:
    lines = data.split(b"\n")
    if lines.pop():
        raise EvidenceError(f"{_WHAT}: its last line does not end", mend="Record it again, as a whole.")
    _check_count(len(lines) - 1)
    return tuple(_read_line(line, number) for number, line in enumerate(lines))


def _read_line(line: bytes, number: int) -> Measured:
    try:
        register, digest, name, content, rest = line.split(b" ", 4)
        template, stated = name.decode("ascii"), _hexadecimal(digest)
        algorithm, file_digest = content.split(b":")
        fields = [algorithm + b":\0" + _hexadecimal(file_digest)]
        if _FIELDS.get(template, 2) == 2:
            fields.append(rest + b"\0")
        else:  # paths may have spaces, and the last field, hexadecimal, has none
            path, _, last = rest.rpartition(b" ")
            fields += [path + b"\0", _hexadecimal(last)]
    except ValueError:
        raise EvidenceError(
            f"{_WHAT}: line {number + 1} is not register, digest, template, digest of the file, and path"
        ) from None
    _check_register(register.decode("ascii", "replace"))
    data = b"".join(len(each).to_bytes(4, "little") + each for each in fields)
    return _entry(template, stated, data, number)


def _hexadecimal(text: bytes) -> bytes:
    """Bytes that are written as the kernel does: small letters, without spaces."""
    data = bytes.fromhex(text.decode("ascii"))
    if data.hex().encode() != text:
        raise ValueError("not as the kernel writes it")
    return data


def _entry(template: str, stated: bytes, data: bytes, number: int) -> Measured:
    if template not in _FIELDS:
        raise EvidenceError(
            f"{_WHAT}: entry {number + 1} has the template {template[:20]!r}; {', '.join(_FIELDS)} are taken"
        )
    violation = not any(stated)
    if len(stated) != 20 or not (violation or hashlib.sha1(data, usedforsecurity=False).digest() == stated):
        raise EvidenceError(f"{_WHAT}: the digest of entry {number + 1} is not that of its data")
    reader = Reader(data, f"entry {number + 1} of the {_WHAT}")
    content = reader.take(_bounded(reader, 128, "digest"), "digest")
    path = reader.take(_bounded(reader, 4096, "path"), "path")
    if _FIELDS[template] == 3:
        reader.take(_bounded(reader, _MOST_FIELD, "last field"), "last field")
    reader.end(b"")
    algorithm, separator, digest = content.partition(b":\0")
    if not separator or path[-1:] != b"\0" or b"\0" in path[:-1]:
        raise EvidenceError(f"{_WHAT}: entry {number + 1} has a digest or a path that is malformed")
    return Measured(
        path=_printable(path[:-1]),
        algorithm=_printable(algorithm),
        digest=digest,
        violation=violation,
        # A violation invalidates the register on purpose (security/integrity/ima/ima_queue.c).
        extended=b"\xff" * 32 if violation else hashlib.sha256(data).digest(),
    )


def _bounded(reader: Reader, most: int, name: str) -> int:
    size = reader.little(4, f"size of its {name}")
    if size > most:
        raise EvidenceError(f"{reader.what}: its {name} has {size} bytes, more than {most}")
    return size


def _check_count(count: int) -> None:
    if count >= MOST_ENTRIES:
        raise EvidenceError(f"{_WHAT}: it has more than {MOST_ENTRIES} entries")


def _check_register(register: str) -> None:
    if register != str(REGISTER):
        raise EvidenceError(f"{_WHAT}: an entry is of PCR {register[:20]!r}, and the log is of {REGISTER}")


def _printable(data: bytes) -> str:
    """Text that no other bytes lead to, so that a reference names one path."""
    text = data.decode("utf-8", "surrogateescape")
    return text if text.isprintable() and "\\" not in text else ascii(text)[1:-1]
