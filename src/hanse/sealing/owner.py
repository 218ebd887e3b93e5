"""Keys of a model's owner: one that files are sealed to, and one that the owner signs with.

The owner keeps `owner.key`; plans name `owner.json`, which anyone may have.
"""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from pydantic import AfterValidator, ValidationError

from hanse.core.values.canonical import canonical_json, digest_of
from hanse.core.values.schema import Name, Strict, problem_of
from hanse.core.values.statements import SignedStatement, signed_bytes
from hanse.errors import SealError
from hanse.files.atomic import MAX_BYTES, read_file, write_file
from hanse.files.errors import file_errors
from hanse.files.staging import staged
from hanse.sealing.header import check_base64
from hanse.sealing.keys import PUBLIC_BYTES, SEED_BYTES, Randomness, SealKey

KEY_FILE = "owner.key"
PUBLIC_FILE = "owner.json"

_SIGN_SEED_BYTES = 32
_DER_BYTES = 44
_LOST = "Restore it from a backup: without the key nothing that is sealed to it can be opened."
_PUBLIC_DAMAGED = "Ask the owner for the file that `hanse owner create` wrote."


class Owner(Strict):
    """The public keys of an owner, as `owner.json` has them.

    Attributes:
        format: The format.
        name: The owner's name; proves nothing.
        seal: The public key that files are sealed to; base64.
        sign: The public key that checks the owner's signatures, Ed25519, SubjectPublicKeyInfo (DER); base64.
    """

    format: Literal["hanse-owner-1"] = "hanse-owner-1"
    name: Name
    seal: Annotated[str, AfterValidator(partial(check_base64, size=PUBLIC_BYTES))]
    sign: Annotated[str, AfterValidator(partial(check_base64, size=_DER_BYTES))]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of both keys, 64 hexadecimal characters; people compare it before they trust the file."""
        return digest_of(["hanse/owner", self.seal, self.sign])

    @property
    def seal_key(self) -> bytes:
        """The public key that files are sealed to, 1,216 bytes."""
        return base64.b64decode(self.seal)

    def to_bytes(self) -> bytes:
        """The file `owner.json`: canonical JSON."""
        return canonical_json(self.model_dump(mode="json"))

    def verify(self, statement: SignedStatement, purpose: str) -> None:
        """Check that the owner signed a statement for a purpose.

        Raises:
            SealError: The statement was altered, or signed with another key or for another purpose.
        """
        if statement.key != self.sign:
            raise SealError(
                f"the {purpose} is signed with another key than the one of the owner {self.name} "
                f"({self.fingerprint[:16]})"
            )
        try:
            key = load_der_public_key(base64.b64decode(self.sign))
            if not isinstance(key, Ed25519PublicKey):
                raise SealError(f"the owner {self.name} has a signing key that is not Ed25519")
            message = signed_bytes(purpose, statement.body)
            key.verify(base64.b64decode(statement.signature, validate=True), message)
        except (InvalidSignature, UnsupportedAlgorithm, ValueError) as error:
            raise SealError(f"the {purpose} was altered, or the owner {self.name} did not sign it") from error


class _Stored(Strict):
    """The file `owner.key`."""

    format: Literal["hanse-owner-key-1"] = "hanse-owner-key-1"
    name: Name
    seal: Annotated[str, AfterValidator(partial(check_base64, size=SEED_BYTES))]
    sign: Annotated[str, AfterValidator(partial(check_base64, size=_SIGN_SEED_BYTES))]


@dataclass(frozen=True, slots=True)
class OwnerKey:
    """The private keys of an owner.

    Attributes:
        public: The public keys.
        seal: Opens what is sealed to the owner.
    """

    public: Owner
    seal: SealKey
    _sign: Ed25519PrivateKey = field(repr=False)

    def sign(self, purpose: str, body: dict[str, Any]) -> SignedStatement:
        """Sign a JSON object for one purpose; `Owner.verify` checks it.

        Raises:
            ValueError: `body` holds what JSON lacks, such as a NaN.
        """
        signature = base64.b64encode(self._sign.sign(signed_bytes(purpose, body))).decode("ascii")
        return SignedStatement(body=body, key=self.public.sign, signature=signature)


def create_owner(name: str, folder: Path, randomness: Randomness = secrets.token_bytes) -> OwnerKey:
    """Make the keys of an owner, and write `owner.key`, for its owner only, and `owner.json`.

    Args:
        name: Name of the owner.
        folder: Where to write them; made where it does not exist.
        randomness: Of the operating system.

    Raises:
        SealError: One of the files is there already; it is left alone.
        StorageError: The folder cannot be written.
    """
    for there in (folder / KEY_FILE, folder / PUBLIC_FILE):
        if there.exists() or there.is_symlink():
            raise SealError(
                f"{there} exists already, and nothing that is sealed to it would open with another key",
                mend="Choose another folder with --directory.",
            )
    seal, sign = randomness(SEED_BYTES), randomness(_SIGN_SEED_BYTES)
    stored = _Stored(name=name, seal=_base64(seal), sign=_base64(sign))
    key = _key_of(stored)
    with staged(folder) as stage:
        # A folder with a key is often one inside a Git repository.
        if not (folder / ".gitignore").exists():
            write_file(stage / ".gitignore", f"# Made by Hanse: a private key.\n/{KEY_FILE}\n".encode())
        write_file(stage / KEY_FILE, canonical_json(stored.model_dump(mode="json")), mode=0o600)
        write_file(stage / PUBLIC_FILE, key.public.to_bytes())
    return key


def load_owner_key(path: Path) -> OwnerKey:
    """Read the private keys of an owner.

    Raises:
        SealError: The file is missing or damaged.
        CredentialError: It is not readable, or open to others than its owner.
    """
    if not path.exists():
        raise SealError(f"{path} does not exist", mend=_LOST)
    try:
        stored = _Stored.model_validate_json(read_file(path))
    except ValidationError:
        # What is wrong with it is not stated: an error could quote a private key.
        raise SealError(f"{path} is not the private key of an owner, or is damaged", mend=_LOST) from None
    read_file(path, private=True)  # only now: of another file it would say that it holds a private key
    return _key_of(stored)


def load_owner(path: Path) -> Owner:
    """Read the public keys of an owner.

    Raises:
        SealError: The file is malformed or too long.
        StorageError: It cannot be read.
    """
    with file_errors(f"read {path}"), path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    return read_owner(data, str(path))


def read_owner(data: bytes, place: str) -> Owner:
    """Read the public keys of an owner from the bytes of `owner.json`.

    Args:
        data: The bytes.
        place: Where they are, for errors.

    Raises:
        SealError: They are malformed or too long.
    """
    if len(data) > MAX_BYTES:
        raise SealError(f"{place} is longer than {MAX_BYTES} bytes", mend=_PUBLIC_DAMAGED)
    try:
        return Owner.model_validate(json.loads(data))
    except ValidationError as error:
        problem = problem_of(error)
    except (ValueError, RecursionError):
        problem = "not JSON"
    raise SealError(f"{place} does not have the public keys of an owner: {problem}", mend=_PUBLIC_DAMAGED)


def _key_of(stored: _Stored) -> OwnerKey:
    seal = SealKey(base64.b64decode(stored.seal))
    sign = Ed25519PrivateKey.from_private_bytes(base64.b64decode(stored.sign))
    der = sign.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return OwnerKey(Owner(name=stored.name, seal=_base64(seal.public), sign=_base64(der)), seal, sign)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
