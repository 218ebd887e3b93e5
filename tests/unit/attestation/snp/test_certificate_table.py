"""A host's table of certificates is read into what a verifier takes."""

from __future__ import annotations

from uuid import UUID

import pytest
from tests.snp.vectors import COLLATERAL, given, policy, recorded

from hanse.attestation.base import Evidence, Kind, Tier
from hanse.attestation.certificates import public_bytes, read_chain
from hanse.attestation.snp.certificate_table import read_certificate_table
from hanse.attestation.snp.verifier import SnpVerifier
from hanse.errors import EvidenceError

VCEK, ASK, ARK = (
    "63da758d-e664-4564-adc5-f4b93be8accd",
    "4ab7b379-bbac-4fe4-a02f-05aef327c782",
    "c0b406a4-a803-4952-9743-3fb6014cd0ae",
)
OTHER = "11111111-1111-1111-1111-111111111111"


def table(*entries: tuple[str, bytes]) -> bytes:
    """A table as a host writes it."""
    at, head, body = 24 * (len(entries) + 1), b"", b""
    for guid, data in entries:
        head += UUID(guid).bytes + (at + len(body)).to_bytes(4, "little") + len(data).to_bytes(4, "little")
        body += data
    return head + bytes(24) + body


def test_certificates_of_a_table_verify_a_report() -> None:
    evidence = recorded("virtee-sev")
    ask, ark = map(public_bytes, read_chain(COLLATERAL["amd/vcek/Milan/cert_chain"], "chain"))
    written = table((ARK, ark), (OTHER, b"else"), (ASK, ask), (VCEK, evidence.certificates[0]))

    chain = read_certificate_table(written, "VCEK")
    whole = Evidence(Kind.SNP, evidence.quote, chain)

    assert chain == (evidence.certificates[0], ask, ark)
    assert SnpVerifier().appraise(whole, policy(), given(whole, collateral={})).tier is Tier.WARNING


@pytest.mark.parametrize("data", [b"", table(), table((ASK, b"a")), table((ARK, b"a"), (OTHER, b"b"))])
def test_a_table_without_the_key_gives_no_certificates(data: bytes) -> None:
    assert read_certificate_table(data, "VCEK") == ()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\1", "its GUID takes 16 bytes"),
        (table((VCEK, b"a"))[:-1], "takes 1 bytes"),
        (table((VCEK, b"a"), (VCEK, b"b")), "has the certificate VCEK twice"),
        (table(*[(OTHER, b"")] * 17), "more than 16 entries"),
        (bytes(512 * 1024 + 1), "more than 524288"),
    ],
)
def test_a_malformed_table_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(EvidenceError) as refused:
        read_certificate_table(data, "VCEK")

    assert words in str(refused.value)
