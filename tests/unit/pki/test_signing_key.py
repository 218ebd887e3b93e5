"""Signing key of a party: kept for its owner only; each statement names the key by its fingerprint."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hanse.core.values.canonical import sha256
from hanse.core.values.statements import SignedStatement
from hanse.errors import CredentialError, TrustError
from hanse.pki.keys import new_key, save_key
from hanse.pki.signing_key import SIGNING_KEY_FILE, SigningKey, fingerprint_of, verify_statement

BODY = {"round": 3, "update": "ab12", "loss": 0.25}


@pytest.fixture(scope="module")
def key() -> SigningKey:
    return SigningKey.create()


def test_a_statement_names_the_key_that_signed_it(key: SigningKey) -> None:
    assert verify_statement(key.sign("result", BODY), "result") == key.fingerprint


def test_a_statement_survives_the_journal(key: SigningKey) -> None:
    written = json.dumps(key.sign("result", BODY).model_dump(mode="json"))

    assert verify_statement(SignedStatement.model_validate(json.loads(written)), "result") == key.fingerprint


def test_a_fingerprint_is_the_sha256_of_the_public_key_in_der(key: SigningKey) -> None:
    der = key.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    assert key.fingerprint == fingerprint_of(key.public) == sha256(der)


def test_a_statement_for_one_purpose_serves_no_other(key: SigningKey) -> None:
    with pytest.raises(TrustError, match=f"approval was altered, or key {key.fingerprint[:16]} did not sign"):
        verify_statement(key.sign("result", BODY), "approval")


def test_an_altered_body_is_noticed(key: SigningKey) -> None:
    statement = key.sign("result", BODY)

    with pytest.raises(TrustError, match="result was altered"):
        verify_statement(statement.model_copy(update={"body": BODY | {"round": 4}}), "result")


def test_a_statement_under_the_key_of_another_party_is_noticed(key: SigningKey) -> None:
    statement, other = key.sign("result", BODY), SigningKey.create()

    with pytest.raises(TrustError, match="did not sign"):
        verify_statement(statement.model_copy(update={"key": other.public}), "result")


def p256() -> str:
    der = ec.generate_private_key(ec.SECP256R1()).public_key()
    return base64.b64encode(der.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def longer(public: str) -> str:
    return base64.b64encode(base64.b64decode(public) + b"\0").decode()


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda public: "ä", "cannot be read"),
        (lambda public: "", "cannot be read"),
        (lambda public: public[:-8], "cannot be read"),
        (lambda public: p256(), "not Ed25519"),
        (longer, "cannot be read|one form"),
    ],
)
def test_a_public_key_that_is_none_is_refused(key: SigningKey, damage, problem: str) -> None:
    statement = key.sign("result", BODY)

    with pytest.raises(TrustError, match=problem):
        verify_statement(statement.model_copy(update={"key": damage(key.public)}), "result")


@pytest.mark.parametrize("change", [{"body": {"loss": float("nan")}}, {"signature": "ä"}])
def test_what_cannot_have_been_signed_is_refused(key: SigningKey, change: dict[str, object]) -> None:
    with pytest.raises(TrustError, match="cannot have been signed"):
        verify_statement(key.sign("result", BODY).model_copy(update=change), "result")


def test_a_saved_key_is_loaded_and_belongs_to_its_owner_only(key: SigningKey, tmp_path: Path) -> None:
    key.save(tmp_path)

    found = SigningKey.load(tmp_path)

    assert (found.public, found.fingerprint) == (key.public, key.fingerprint)
    assert (tmp_path / SIGNING_KEY_FILE).stat().st_mode & 0o777 == 0o600


def test_a_saved_key_is_not_written_over(key: SigningKey, tmp_path: Path) -> None:
    key.save(tmp_path)

    with pytest.raises(CredentialError, match="exists already"):
        SigningKey.create().save(tmp_path)

    assert SigningKey.load(tmp_path).fingerprint == key.fingerprint


def test_a_missing_key_is_named_with_the_way_to_another(tmp_path: Path) -> None:
    with pytest.raises(CredentialError, match=r"signing\.key is missing\. .*hanse federation remove NAME"):
        SigningKey.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"])
def test_a_damaged_key_is_named_with_the_way_to_another(tmp_path: Path, content: bytes) -> None:
    (tmp_path / SIGNING_KEY_FILE).write_bytes(content)
    (tmp_path / SIGNING_KEY_FILE).chmod(0o600)

    with pytest.raises(CredentialError, match=r"signing\.key is damaged\. .*hanse federation remove NAME"):
        SigningKey.load(tmp_path)


def test_the_key_of_a_certificate_is_not_taken_for_a_signing_key(tmp_path: Path) -> None:
    save_key(tmp_path / SIGNING_KEY_FILE, new_key())

    with pytest.raises(CredentialError, match="not Ed25519"):
        SigningKey.load(tmp_path)


def test_a_key_that_is_open_to_others_is_refused(key: SigningKey, tmp_path: Path) -> None:
    key.save(tmp_path)
    (tmp_path / SIGNING_KEY_FILE).chmod(0o640)

    with pytest.raises(CredentialError, match=r"others than its owner .* `chmod 600"):
        SigningKey.load(tmp_path)


def test_the_private_key_is_not_in_what_is_printed_of_a_key(key: SigningKey) -> None:
    assert "private" not in repr(key)
