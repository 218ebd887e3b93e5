"""Sealed files for tests: labels, keys, and ways to alter a file."""

import base64
import json
import secrets
from pathlib import Path
from typing import Any

from hanse.core.values.canonical import canonical_json
from hanse.sealing.file import SealedFile, seal_file
from hanse.sealing.header import LENGTH_BYTES, MAGIC, Label
from hanse.sealing.keys import SealKey
from hanse.sealing.owner import OwnerKey, load_owner_key

MODEL = Label(purpose="model", federation="hospitals", run="pneumonia-1", plan="ab" * 32, name="round 3")
INITIAL = Label(purpose="initial", federation="hospitals", name="pretrained")
SITE = SealKey(bytes(range(96)))
OTHER_SITE = SealKey(bytes(range(1, 97)))

_RECORDED = json.loads((Path(__file__).parent / "vectors" / "sealed_files.json").read_text())
RECORDED_CONTENT = _RECORDED["content"].encode()


def seal(content: bytes, path: Path, label: Label = MODEL, to: tuple[SealKey, ...] = (SITE,)) -> SealedFile:
    """Seal bytes, and leave no file with them."""
    plain = path.with_name(f"{path.name}.plain")
    plain.write_bytes(content)
    try:
        return seal_file(
            plain, path, label, [key.public for key in to], "sha256", randomness=secrets.token_bytes
        )
    finally:
        plain.unlink()


def header_of(path: Path) -> Any:
    """The header of a sealed file as JSON."""
    return json.loads(_parts(path)[0])


def with_header(path: Path, header: Any) -> None:
    """Put another header in front of the encrypted part."""
    data = canonical_json(header)
    path.write_bytes(MAGIC + len(data).to_bytes(LENGTH_BYTES, "big") + data + _parts(path)[1])


def recorded(name: str) -> bytes:
    """A sealed file as it was once written: what HPKE makes differs each time.

    Args:
        name: `model`, sealed to both sites, or `initial`, sealed and signed by `recorded_owner`.
    """
    return base64.b64decode(_RECORDED[name])


def recorded_owner(folder: Path) -> OwnerKey:
    """The owner that signed the recorded file."""
    path = folder / "owner.key"
    path.write_text(json.dumps(_RECORDED["owner"]))
    path.chmod(0o600)
    return load_owner_key(path)


def _parts(path: Path) -> tuple[bytes, bytes]:
    data, start = path.read_bytes(), len(MAGIC) + LENGTH_BYTES
    end = start + int.from_bytes(data[len(MAGIC) : start], "big")
    return data[start:end], data[end:]
