"""A credential is what the specification says, bit by bit; live TPMs open it in the slow tests."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given as given_any
from hypothesis import strategies as st
from tests.tpm import templates
from tests.tpm.activate import opened
from tests.tpm.forge import Tpm, curve_key, rsa_key

from hanse.attestation.tpm.activation import (
    Activated,
    Credential,
    challenge,
    check_answer,
    kdf_a,
    make_credential,
)
from hanse.attestation.tpm.public_area import read_public_area
from hanse.errors import EvidenceError

SECRET, SEED = bytes(range(32)), bytes(range(32, 64))
NAME = b"\x00\x0b" + bytes(32)


@pytest.mark.parametrize("tpm", [Tpm(), Tpm(ek=rsa_key())], ids=["P-256", "RSA"])
@given_any(secret=st.binary(min_size=1, max_size=32), seed=st.binary(min_size=32, max_size=32))
def test_a_secret_is_what_the_tpm_finds_in_its_credential(tpm: Tpm, secret: bytes, seed: bytes) -> None:
    credential = make_credential(tpm.ek_area, NAME, secret, seed)

    assert opened(credential, tpm, NAME) == secret


def test_key_derivation_is_that_of_sp_800_108() -> None:
    fixed = b"\0\0\0\x01" + b"STORAGE\0" + NAME + b"\0\0\0\x80"

    assert kdf_a(SEED, b"STORAGE", NAME, b"", 128) == hmac.digest(SEED, fixed, "sha256")[:16]


def test_an_answer_that_is_the_secret_proves_the_key() -> None:
    tpm = Tpm()
    asked = challenge(tpm.ek_area, tpm.ak_area, SECRET, SEED)

    assert check_answer(asked, SECRET) == tpm.activated


def test_another_answer_proves_nothing() -> None:
    asked = challenge(Tpm().ek_area, Tpm().ak_area, SECRET, SEED)

    with pytest.raises(EvidenceError, match="the answer is not the secret"):
        check_answer(asked, SECRET[:-1])


def test_a_key_that_is_not_restricted_is_not_activated() -> None:
    tpm = replace(Tpm(), attributes=templates.AK_ATTRIBUTES & ~(1 << 16))

    with pytest.raises(EvidenceError, match="AK: its attributes lack restricted"):
        challenge(tpm.ek_area, tpm.ak_area, SECRET, SEED)


def test_an_endorsement_key_that_could_leave_its_tpm_is_refused() -> None:
    area = templates.endorsing_area(curve_key("EK").public_key(), templates.EK_ATTRIBUTES & ~(1 << 1))

    with pytest.raises(EvidenceError, match="EK: its attributes lack fixedTPM"):
        make_credential(area, NAME, SECRET, SEED)


def test_an_endorsement_key_of_another_curve_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP384R1()).public_key()

    with pytest.raises(EvidenceError, match="EK: it is P-384"):
        make_credential(templates.endorsing_area(key), NAME, SECRET, SEED)


def test_a_secret_that_is_too_long_is_a_slip_of_the_caller() -> None:
    with pytest.raises(ValueError, match="1 to 32 bytes"):
        make_credential(Tpm().ek_area, NAME, bytes(33), SEED)


def test_the_file_is_that_of_tpm2_tools() -> None:
    credential = Credential(b"\0\1a", b"\0\1b")

    assert credential.to_file() == bytes.fromhex("badcc0de00000001") + b"\0\1a\0\1b"


def test_an_endorsement_key_may_have_its_size_before_it() -> None:
    area = Tpm().ek_area

    assert Activated(NAME, len(area).to_bytes(2, "big") + area).ek == area


def test_a_name_is_the_digest_of_the_public_area() -> None:
    area = Tpm().ak_area

    assert read_public_area(area, "AK").name == b"\x00\x0b" + hashlib.sha256(area).digest()
