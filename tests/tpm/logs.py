"""Logs of firmware and kernel that the tests write, and the values of registers that they lead to."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence

Event = tuple[int, int, bytes]
"""Register, type, and data, whose digest the register is extended by."""
IPL, SEPARATOR, BOOT_APPLICATION = 0x0000000D, 0x00000004, 0x80000003
_SHA256 = 0x000B


def firmware_log(events: Sequence[Event]) -> bytes:
    """A crypto-agile log with digests of SHA-256."""
    spec = b"Spec ID Event03\0" + struct.pack("<IBBBBIHHB", 0, 0, 2, 0, 2, 1, _SHA256, 32, 0)
    log = struct.pack("<II20sI", 0, 3, bytes(20), len(spec)) + spec
    for register, kind, data in events:
        digest = hashlib.sha256(data).digest()
        log += struct.pack("<IIIH", register, kind, 1, _SHA256) + digest + struct.pack("<I", len(data)) + data
    return log


def extended(digests: Sequence[bytes]) -> bytes:
    """The value of a register that begins at zero and is extended by each digest."""
    value = bytes(32)
    for digest in digests:
        value = hashlib.sha256(value + digest).digest()
    return value


def registers_of(events: Sequence[Event]) -> dict[int, bytes]:
    """The registers that events lead to."""
    by_register: dict[int, list[bytes]] = {}
    for register, _, data in events:
        by_register.setdefault(register, []).append(hashlib.sha256(data).digest())
    return {register: extended(digests) for register, digests in sorted(by_register.items())}


def template_data(path: str, content: bytes, signature: bytes | None = None) -> bytes:
    """Data of an entry of the kernel's log, of `ima-ng`, or of `ima-sig` with a signature."""
    fields = [b"sha256:\0" + hashlib.sha256(content).digest(), path.encode() + b"\0"]
    fields += [] if signature is None else [signature]
    return b"".join(struct.pack("<I", len(field)) + field for field in fields)


def kernel_text(files: Mapping[str, bytes], signature: bytes | None = None) -> bytes:
    """A log of the kernel as text."""
    template = "ima-ng" if signature is None else "ima-sig"
    lines = []
    for path, content in files.items():
        sha1 = hashlib.sha1(template_data(path, content, signature)).hexdigest()
        last = "" if signature is None else f" {signature.hex()}"
        lines.append(f"10 {sha1} {template} sha256:{hashlib.sha256(content).hexdigest()} {path}{last}\n")
    return "".join(lines).encode()


def kernel_binary(files: Mapping[str, bytes], signature: bytes | None = None) -> bytes:
    """The same in the kernel's binary form."""
    template = b"ima-ng" if signature is None else b"ima-sig"
    log = b""
    for path, content in files.items():
        data = template_data(path, content, signature)
        log += struct.pack("<I20sI", 10, hashlib.sha1(data).digest(), len(template)) + template
        log += struct.pack("<I", len(data)) + data
    return log


def kernel_register(files: Mapping[str, bytes], signature: bytes | None = None) -> bytes:
    """What a log of the kernel leads to in PCR 10."""
    return extended([hashlib.sha256(template_data(*file, signature)).digest() for file in files.items()])
