"""Receipts, and acknowledgements of restores, before whoever has the authority's certificate."""

from datetime import timedelta
from typing import Any

import pytest
from tests.parties import NOW, new_authority
from tests.receipts import Signer, head, received

from hanse.core.values.statements import CertifiedStatement
from hanse.errors import CredentialError, HanseError, ProtocolError, TrustError
from hanse.pki.receipts import sign_receipt, verify_acknowledgement, verify_receipt

BODY = {"run_id": "demo-1", "exchange": 1}


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer(new_authority(), NOW)


def changed(statement: CertifiedStatement, **changes: Any) -> CertifiedStatement:
    return statement.model_copy(update={"body": {**statement.body, **changes}})


def test_a_receipt_of_the_aggregator_is_good(signer: Signer) -> None:
    statement = signer.receipt(received(BODY, head(9)))

    assert verify_receipt(statement, signer.authority.certificate).members == head(3)


def test_a_receipt_is_judged_by_the_time_at_which_it_was_signed(signer: Signer) -> None:
    late = signer.receipt(time_ms=signer.now_ms + 2 * 86_400_000)

    with pytest.raises(CredentialError, match="expired"):
        verify_receipt(late, signer.authority.certificate)


def forged(signer: Signer) -> dict[str, tuple[CertifiedStatement, type[HanseError]]]:
    sound = signer.receipt(received(BODY, head(9)))
    foreign = Signer(new_authority(), NOW).receipt(received(BODY, head(9)))
    by_operator = sign_receipt(signer.operator, verify_receipt(sound, signer.authority.certificate))
    return {
        "altered": (changed(sound, members={"sequence": 4, "digest": "a" * 64}), TrustError),
        "another federation's": (foreign, CredentialError),
        "an operator's": (by_operator, TrustError),
        "not a receipt": (changed(sound, members=None), ProtocolError),
        "of no possible time": (changed(sound, time_ms=2**53), TrustError),
        "without a certificate": (sound.model_copy(update={"certificate": "?"}), CredentialError),
    }


FORGED = ["altered", "another federation's", "an operator's", "not a receipt", "of no possible time"]


@pytest.mark.parametrize("how", [*FORGED, "without a certificate"])
def test_a_forged_receipt_is_refused(signer: Signer, how: str) -> None:
    statement, error = forged(signer)[how]

    with pytest.raises(error):
        verify_receipt(statement, signer.authority.certificate)


def test_an_acknowledgement_names_the_operators_signing_key(signer: Signer) -> None:
    said, key = verify_acknowledgement(signer.acknowledgement(), signer.authority.certificate)

    assert (said.operator, said.reason, key) == ("olga", "a disk failed", signer.key.fingerprint)


def test_an_acknowledgement_in_another_operators_name_is_refused(signer: Signer) -> None:
    with pytest.raises(TrustError, match="in the name of"):
        verify_acknowledgement(signer.acknowledgement(operator="kim"), signer.authority.certificate)


def test_an_acknowledgement_that_the_signing_key_did_not_sign_is_refused(signer: Signer) -> None:
    other = Signer(signer.authority, NOW)
    other.operator = signer.operator
    mixed = signer.acknowledgement().body | {"key": other.key.public}
    statement = signer.acknowledgement()
    from hanse.core.journal.restores import RESTORE
    from hanse.pki.signatures import sign

    resigned = CertifiedStatement(body=mixed, **sign(signer.operator, RESTORE, mixed).model_dump())

    assert verify_acknowledgement(statement, signer.authority.certificate)
    with pytest.raises(TrustError, match="did not sign it"):
        verify_acknowledgement(resigned, signer.authority.certificate)


def test_an_acknowledgement_after_the_certificates_end_is_refused(signer: Signer) -> None:
    late = signer.acknowledgement(
        time_ms=signer.now_ms + round(timedelta(days=2) / timedelta(milliseconds=1))
    )

    with pytest.raises(CredentialError, match="expired"):
        verify_acknowledgement(late, signer.authority.certificate)
