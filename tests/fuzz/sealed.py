"""Sealed files and owners' keys: what a stranger writes, and what a recipient could put inside."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

from blake3 import blake3
from tests.fuzz.readers import scratch
from tests.fuzz.target import CANONICAL, Target, View, canonical_or_not
from tests.sealed_files import RECORDED_CONTENT, SITE, recorded, recorded_owner

from hanse.errors import SealError
from hanse.sealing.file import PROOF_BYTES, SALT_BYTES, open_sealed
from hanse.sealing.header import LENGTH_BYTES, MAGIC, associated_with, file_key, read_header
from hanse.sealing.owner import read_owner
from hanse.sealing.stream import StreamWriter

_START = len(MAGIC) + LENGTH_BYTES


def sealed_file(data: bytes) -> None:
    """As a site opens a file: by the header, with its own key, as what the header says."""
    path, target = scratch() / "sealed", scratch() / "opened"
    path.write_bytes(data)
    header = read_header(path)
    assert header.to_bytes() == data[: len(header.to_bytes())]
    key = file_key(header, SITE)
    if key is None or header.label.purpose == "initial":
        raise SealError("not for this site")
    size = open_sealed(path, target, key, header.label)
    assert size == target.stat().st_size == len(data) - len(header.to_bytes()) - 40 - 16 - 64


def inside(data: bytes) -> None:
    """What a recipient, who has the key, puts into the encrypted part instead."""
    path, target = scratch() / "sealed", scratch() / "opened"
    path.write_bytes(recorded("model"))
    header = read_header(path)
    key = file_key(header, SITE)
    assert key is not None
    with path.open("wb") as file:
        file.write(header.to_bytes())
        numbers = itertools.count()
        stream = StreamWriter(
            file, key, associated_with(header.label), lambda size: bytes([next(numbers)]) * size
        )
        stream.write(data)
        stream.finish()
    assert open_sealed(path, target, key, header.label) == len(data) - SALT_BYTES - PROOF_BYTES


def insides() -> Sequence[bytes]:
    """Salt, content and proof, as they should be."""
    salt = bytes(SALT_BYTES)
    return [salt + RECORDED_CONTENT + blake3(RECORDED_CONTENT, key=salt).digest()]


def owners() -> Sequence[bytes]:
    """The public keys that belong to the recorded files."""
    return [recorded_owner(scratch()).public.to_bytes()]


def owner(data: bytes) -> None:
    """Public keys of an owner, as a plan brings them."""
    found = read_owner(data, "owner.json")
    assert read_owner(found.to_bytes(), "owner.json") == found
    assert len(found.fingerprint) == 64


def _unpack(data: bytes) -> Any:
    end = _START + int.from_bytes(data[len(MAGIC) : _START], "big")
    return [json.loads(data[_START:end]), data[end:].hex()]


def _pack(value: Any) -> bytes:
    header = canonical_or_not(value[0])
    return MAGIC + len(header).to_bytes(LENGTH_BYTES, "big") + header + bytes.fromhex(value[1])


TARGETS = (
    Target("sealed-file", sealed_file, lambda: [recorded("model")], View(_unpack, _pack)),
    Target("sealed-inside", inside, insides),
    Target("owner-file", owner, owners, CANONICAL),
)
