"""A signature holds for one purpose, one body, one federation, at its time."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from hanse.core.values.identity import Party, Role
from hanse.core.values.statements import Signature
from hanse.errors import CredentialError, TrustError
from hanse.pki.authority import Authority
from hanse.pki.keys import PrivateKey, new_key
from hanse.pki.signatures import sign, verify

BODY = {"round": 3, "update": "ab12", "loss": 0.25}


@pytest.mark.parametrize("key", [new_key(), ed25519.Ed25519PrivateKey.generate()])
def test_a_signature_says_who_signed(enrol, authority: Authority, now: datetime, key: PrivateKey) -> None:
    signature = sign(enrol("hospital-a", key=key), "result", BODY)

    party = verify(signature, "result", BODY, authority.certificate, now)

    assert party == Party("north", Role.COLLABORATOR, "hospital-a")


def test_a_signature_survives_the_journal(enrol, authority: Authority, now: datetime) -> None:
    written = json.dumps({"signature": sign(enrol(), "result", BODY).model_dump(), "body": BODY})

    record = json.loads(written)

    verify(
        Signature.model_validate(record["signature"]), "result", record["body"], authority.certificate, now
    )


def test_a_signature_for_one_purpose_serves_no_other(enrol, authority: Authority, now: datetime) -> None:
    signature = sign(enrol(), "result", BODY)

    with pytest.raises(
        TrustError, match="approval was altered, or hanse://north/collaborator/hospital-a did"
    ):
        verify(signature, "approval", BODY, authority.certificate, now)


def test_an_altered_body_is_noticed(enrol, authority: Authority, now: datetime) -> None:
    signature = sign(enrol(), "result", BODY)

    with pytest.raises(TrustError, match="result was altered"):
        verify(signature, "result", BODY | {"round": 4}, authority.certificate, now)


def test_a_signature_under_anothers_certificate_is_noticed(
    enrol, authority: Authority, now: datetime
) -> None:
    mine, theirs = sign(enrol("hospital-a"), "result", BODY), sign(enrol("hospital-b"), "result", BODY)

    with pytest.raises(TrustError, match="hospital-b did not sign it"):
        verify(
            mine.model_copy(update={"certificate": theirs.certificate}),
            "result",
            BODY,
            authority.certificate,
            now,
        )


def test_a_strangers_signature_is_refused(
    enrol, authority: Authority, stranger: Authority, now: datetime
) -> None:
    signature = sign(enrol(by=stranger), "result", BODY)

    with pytest.raises(CredentialError, match="another federation's authority"):
        verify(signature, "result", BODY, authority.certificate, now)


def test_an_old_signature_is_judged_by_the_time_it_was_made(
    enrol, authority: Authority, now: datetime
) -> None:
    made = now - timedelta(days=20)
    signature = sign(enrol(since=made), "result", BODY)

    verify(signature, "result", BODY, authority.certificate, made)
    with pytest.raises(CredentialError, match="expired on"):
        verify(signature, "result", BODY, authority.certificate, now)


@pytest.mark.parametrize("body", [{"loss": float("nan")}, {"name": "\ud800"}])
def test_a_body_that_cannot_have_been_signed_is_refused(
    enrol, authority: Authority, now: datetime, body: dict[str, object]
) -> None:
    signature = sign(enrol(), "result", BODY)

    with pytest.raises(TrustError, match="cannot have been signed"):
        verify(signature, "result", body, authority.certificate, now)


def test_a_signature_that_is_not_base64_is_refused(enrol, authority: Authority, now: datetime) -> None:
    signature = sign(enrol(), "result", BODY).model_copy(update={"signature": "ä"})

    with pytest.raises(TrustError, match="cannot have been signed"):
        verify(signature, "result", BODY, authority.certificate, now)
