"""The extension of a PCK certificate is read strictly: DER in one form, fields once and in order."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.dcap.forge import der, identified, number, sgx_extension
from tests.dcap.vectors import SGX, TDX

from hanse.attestation.base import Kind
from hanse.attestation.dcap.chains import read_pem_chain
from hanse.attestation.dcap.der import read_items
from hanse.attestation.dcap.pck import PckIdentity, parse_sgx_extension, read_pck_identity
from hanse.attestation.dcap.quote import read_quote
from hanse.attestation.dcap.root import intel_root
from hanse.errors import EvidenceError

VALID = sgx_extension(tuple(range(16)), 300)


def recorded(quote: bytes, kind: Kind) -> PckIdentity:
    chain = read_pem_chain(read_quote(quote, kind).chain, 3, intel_root(), "chain")
    return read_pck_identity(chain[0])


def test_a_certificate_of_the_processor_ca_names_its_machine() -> None:
    identity = recorded(SGX.quote, Kind.SGX)

    assert identity.fmspc.hex() == "00a067110000"
    assert identity.components[:6] == (11, 11, 2, 2, 255, 1)
    assert (identity.pce_svn, identity.sgx_type, identity.instance) == (13, "Standard", b"")


def test_a_certificate_of_the_platform_ca_has_facts_of_the_platform() -> None:
    identity = recorded(TDX.quote, Kind.TDX)

    assert len(identity.instance) == 16
    assert identity.configuration == {"Dynamic Platform": True, "Cached Keys": True, "SMT Enabled": True}


def test_dcap_qvl_reads_the_same() -> None:
    import dcap_qvl

    for vector in (SGX, TDX):
        ours = recorded(vector.quote, vector.kind)
        theirs = dcap_qvl.Quote.parse(vector.quote).pck_extension()
        assert (theirs.ppid, theirs.fmspc, theirs.pce_svn) == (ours.ppid, ours.fmspc, ours.pce_svn)
        assert bytes(theirs.cpu_svn) == bytes(ours.components)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda data: data + b"\0\0", "more than 1 values"),
        (lambda data: data[:-1], "cut off"),
        (lambda data: b"", "is empty"),
        (lambda data: der(0x30, b""), "does not state: PPID, TCB, PCE-ID, FMSPC, SGX Type"),
        (lambda data: der(0x31, data[4:]), "should be a DER SEQUENCE"),
        (lambda data: data.replace(b"\x0a\x01\x01", b"\x0a\x01\x03"), "SGX Type .* is 3, more than 2"),
        (lambda data: data.replace(b"\x01\x01\xff", b"\x01\x01\x01", 1), "should be a DER BOOLEAN"),
        (lambda data: data.replace(b"\x02\x01\x05", b"\x02\x01\x85"), "should be a small number"),
        (lambda data: data.replace(b"\x2a\x86", b"\x2a\x87", 1), "is not an identifier of this profile"),
    ],
)
def test_another_form_is_refused(change: Callable[[bytes], bytes], named: str) -> None:
    with pytest.raises(EvidenceError, match=named):
        parse_sgx_extension(change(VALID))


def test_fields_stand_once_and_in_order() -> None:
    ppid = identified((1,), der(4, bytes(16)))
    pce = identified((3,), der(4, bytes(2)))

    for fields, named in (
        (ppid + ppid, "PPID stands twice"),
        (pce + ppid, "PPID stands twice or out of order"),
    ):
        with pytest.raises(EvidenceError, match=named):
            parse_sgx_extension(der(0x30, fields))


@pytest.mark.parametrize(
    "length", [b"\x81\x01", b"\x82\x00\x01", b"\x80", b"\x83\x00\x00\x01", b"\x82\x00\x80"]
)
def test_a_length_has_its_shortest_form(length: bytes) -> None:
    with pytest.raises(EvidenceError, match=r"shortest DER form|cut off"):
        read_items(b"\x04" + length + b"\0", "value")


@pytest.mark.parametrize("content", [b"", b"\x00\x05", b"\x80", b"\x01" * 9])
def test_a_number_has_its_shortest_form(content: bytes) -> None:
    (item,) = read_items(der(2, content), "value")

    with pytest.raises(EvidenceError, match="small number"):
        item.number(255)


def test_a_number_may_have_a_zero_before_its_greatest_bit() -> None:
    (item,) = read_items(number(255), "value")

    assert item.content == b"\0\xff"
    assert item.number(255) == 255
