"""A sealed run for tests: its owner, its labels, and instances of its parties."""

import base64
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hanse.core.values.evidence.claims import instance_name
from hanse.core.values.statements import signed_bytes
from hanse.sealing.file import SealedFile, seal_file, seal_signed
from hanse.sealing.header import Label
from hanse.sealing.keys import SealKey
from hanse.sealing.owner import OwnerKey, create_owner, load_owner_key
from hanse.sealing.run_files import RunLabels

LABELS = RunLabels("north", "demo-1", "ab" * 32)


@dataclass
class FakeInstance:
    """An instance as `hanse.attestation.instance` makes it, from a number."""

    number: int
    seal: SealKey = field(init=False)
    speak: Ed25519PrivateKey = field(init=False)

    def __post_init__(self) -> None:
        self.seal = SealKey(bytes([self.number]) * 96)
        self.speak = Ed25519PrivateKey.from_private_bytes(bytes([self.number]) * 32)

    @property
    def seal_public(self) -> str:
        return self.seal.public.hex()

    @property
    def speak_public(self) -> str:
        return self.speak.public_key().public_bytes_raw().hex()

    @property
    def name(self) -> str:
        return instance_name(self.seal_public, self.speak_public)

    def say(self, purpose: str, body: dict[str, Any]) -> str:
        return base64.b64encode(self.speak.sign(signed_bytes(purpose, body))).decode()


HUB = FakeInstance(1)
"""The aggregator's."""


def an_owner(folder: Path, name: str = "owner") -> OwnerKey:
    create_owner(name, folder / name)
    return load_owner_key(folder / name / "owner.key")


def sealed(content: bytes, target: Path, label: Label, *to: bytes) -> SealedFile:
    """Seal bytes."""
    plain = target.with_name(f"{target.name}.plain")
    plain.write_bytes(content)
    made = seal_file(plain, target, label, to, "blake3", randomness=secrets.token_bytes)
    plain.unlink()
    return made


def first_model(content: bytes, target: Path, owner: OwnerKey, federation: str = "north") -> SealedFile:
    """Seal a first model as its owner does."""
    plain = target.with_name(f"{target.name}.plain")
    plain.write_bytes(content)
    label = Label(purpose="initial", federation=federation, name="pretrained")
    made = seal_signed(plain, target, label, owner, "sha256", randomness=secrets.token_bytes)
    plain.unlink()
    return made
