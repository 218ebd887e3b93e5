"""Keys are made, kept and loaded, and sign what their public halves verify."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from hanse.errors import CredentialError, TrustError
from hanse.pki.keys import PrivateKey, accepted, check_signature, load_key, new_key, save_key, sign_bytes

BOTH_KINDS = pytest.mark.parametrize("key", [new_key(), ed25519.Ed25519PrivateKey.generate()])


@BOTH_KINDS
def test_a_key_loads_as_it_was_saved(tmp_path: Path, key: PrivateKey) -> None:
    save_key(tmp_path / "party.key", key)

    loaded = load_key(tmp_path / "party.key")

    assert loaded.public_key() == key.public_key()


def test_a_saved_key_is_its_owners_alone(tmp_path: Path) -> None:
    save_key(tmp_path / "party.key", new_key())

    assert (tmp_path / "party.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_git_adds_no_key_to_a_repository(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    save_key(tmp_path / "site" / "pki" / "party.key", new_key())

    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)

    assert subprocess.run(["git", "ls-files"], cwd=tmp_path, capture_output=True, check=True).stdout == b""


def test_a_gitignore_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("party.key\n")

    save_key(tmp_path / "party.key", new_key())

    assert (tmp_path / ".gitignore").read_text() == "party.key\n"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_key_that_others_may_touch_is_refused_with_the_mend(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "party.key"
    save_key(path, new_key())
    path.chmod(mode)

    with pytest.raises(CredentialError, match=f"Run `chmod 600 {path}`"):
        load_key(path)


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(CredentialError, match=r"party\.key does not exist"):
        load_key(tmp_path / "party.key")


def _write(path: Path, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, password: bytes = b"") -> None:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    )
    path.chmod(0o600)


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_a_password(tmp_path: Path) -> None:
    _write(tmp_path / "party.key", new_key(), password=b"secret")

    with pytest.raises(CredentialError, match="not encrypted"):
        load_key(tmp_path / "party.key")


def test_something_else_than_a_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "party.key").write_text("hello")
    (tmp_path / "party.key").chmod(0o600)

    with pytest.raises(CredentialError, match="no readable private key"):
        load_key(tmp_path / "party.key")


def test_a_key_on_another_curve_is_refused(tmp_path: Path) -> None:
    _write(tmp_path / "party.key", ec.generate_private_key(ec.SECP384R1()))

    with pytest.raises(CredentialError, match=r"neither ECDSA P-256 nor Ed25519"):
        load_key(tmp_path / "party.key")


def test_an_rsa_key_is_not_accepted() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)

    with pytest.raises(CredentialError, match=r"neither ECDSA P-256 nor Ed25519"):
        accepted(key.public_key())


@BOTH_KINDS
def test_a_signature_holds_for_its_bytes_and_no_others(key: PrivateKey) -> None:
    signature = sign_bytes(key, b"round 3")

    check_signature(key.public_key(), signature, b"round 3")
    with pytest.raises(TrustError):
        check_signature(key.public_key(), signature, b"round 4")


@BOTH_KINDS
@pytest.mark.parametrize("signature", [b"", b"\x30", b"\0" * 64])
def test_a_signature_that_is_none_is_refused(key: PrivateKey, signature: bytes) -> None:
    with pytest.raises(TrustError):
        check_signature(key.public_key(), signature, b"round 3")
