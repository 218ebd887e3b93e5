"""Collateral is checked before it is stored, and never goes back in time."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from tests.dcap import forge
from tests.dcap.forge import AT, FMSPC, given, maker
from tests.dcap.policies import sgx_policy
from tests.dcap.vectors import SGX, TDX, TDX_OUTDATED, bundle_of

from hanse.attestation.base import CheckedCollateral, Floors, Kind
from hanse.attestation.collateral.intel import check_collateral, read_bundle
from hanse.attestation.dcap.strict_json import read_json
from hanse.attestation.sgx import SgxVerifier
from hanse.errors import EvidenceError

INFO = f"tcb-info/sgx/{FMSPC}"
NONE = Floors()


def check(documents: dict[str, bytes], floors: Floors = NONE) -> CheckedCollateral:
    return check_collateral(documents, AT, floors, maker().root.certificate)


def test_recorded_collateral_is_genuine_at_its_time() -> None:
    checked = check_collateral(TDX.collateral, TDX.at, NONE)

    assert checked.floors.evaluation == {"tcb-info/tdx/b0c06f000000": 17, "qe-identity/tdx": 17}
    assert set(checked.expires) == {"root-crl", "pck-crl/platform", *checked.floors.evaluation}


def test_collateral_of_several_families_is_stored_side_by_side() -> None:
    checked = check_collateral(TDX.collateral | SGX.collateral, TDX.at, NONE)

    assert {"tcb-info/sgx/00a067110000", "tcb-info/tdx/b0c06f000000", "pck-crl/processor"} <= set(
        checked.expires
    )


def test_a_file_of_one_quote_gives_documents_by_name() -> None:
    bundle = json.dumps(bundle_of(TDX_OUTDATED)).encode()

    assert read_bundle(bundle) == TDX_OUTDATED.collateral


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"pck_crl": "zz"}, "pck_crl"),
        ({"pck_crl": "00"}, "is not a revocation list of a PCK CA"),
        ({"tcb_info": "{}"}, "a document without id"),
        ({"tcb_info": '{"id":"SEV"}'}, "neither SGX nor TDX"),
        ({"more": 1}, "more"),
    ],
)
def test_a_malformed_file_is_refused(change: dict[str, Any], named: str) -> None:
    with pytest.raises(EvidenceError, match=named):
        read_bundle(json.dumps(bundle_of(TDX) | change).encode())


def test_older_collateral_after_newer_is_refused() -> None:
    newer = forge.tcb_info(Kind.SGX, issueDate=forge.time(AT - timedelta(days=1)))
    seen = check(maker().collateral(Kind.SGX, newer)).floors

    with pytest.raises(EvidenceError, match=f"{INFO} was issued at 2026-05-31 .* a later one, of 2026-06-14"):
        check(maker().collateral(Kind.SGX), seen)


def test_a_lower_evaluation_number_after_a_higher_is_refused() -> None:
    newer = forge.tcb_info(Kind.SGX, tcbEvaluationDataNumber=21)
    seen = check(maker().collateral(Kind.SGX, newer)).floors

    with pytest.raises(EvidenceError, match="has the evaluation number 20, and 21 was seen before"):
        check(maker().collateral(Kind.SGX), seen)


def test_an_older_revocation_list_after_a_newer_is_refused() -> None:
    newer = {"pck-crl/platform": forge.revocation_list(maker().ca, begin=AT - timedelta(days=1))}
    seen = check(maker().collateral(Kind.SGX) | newer).floors

    with pytest.raises(EvidenceError, match="pck-crl/platform was issued at"):
        check(maker().collateral(Kind.SGX), seen)


def test_floors_hold_when_a_quote_is_verified_too() -> None:
    floors = Floors(evaluation={"qe-identity/sgx": 21})
    circumstances = given(maker().collateral(Kind.SGX), floors=floors)

    with pytest.raises(EvidenceError, match="qe-identity/sgx has the evaluation number 20, and 21"):
        SgxVerifier(maker().root.certificate).appraise(forge.sgx(), sgx_policy(), circumstances)


def test_floors_only_rise() -> None:
    floors = Floors(evaluation={INFO: 19, "tcb-info/tdx/000000000000": 30})

    raised = check(maker().collateral(Kind.SGX), floors).floors

    assert raised.evaluation == {INFO: 20, "qe-identity/sgx": 20, "tcb-info/tdx/000000000000": 30}


@pytest.mark.parametrize(
    "name", ["certificates", "tcb-info/sev/0", "tcb-info/sgx", "qe-identity/snp", "../root-crl"]
)
def test_documents_of_other_names_are_refused(name: str) -> None:
    with pytest.raises(EvidenceError, match="is not a name of a document of Intel's"):
        check(maker().collateral(Kind.SGX) | {name: b"{}"})


def test_a_chain_without_its_document_is_refused() -> None:
    with pytest.raises(EvidenceError, match=r"qe-identity/tdx\.chain is there without its document"):
        check(maker().collateral(Kind.SGX) | {"qe-identity/tdx.chain": b""})


def test_a_revocation_list_by_the_name_of_the_other_ca_is_refused() -> None:
    documents = maker().collateral(Kind.SGX)
    moved = {name.replace("platform", "processor"): data for name, data in documents.items()}

    with pytest.raises(EvidenceError, match=r"pck-crl/processor\.chain is of Intel SGX PCK Platform CA"):
        check(moved)


def test_a_revocation_list_in_pem_is_refused() -> None:
    with pytest.raises(EvidenceError, match=r"root-crl is not DER\. Fetch it with encoding=der"):
        check(maker().collateral(Kind.SGX) | {"root-crl": b"-----BEGIN X509 CRL-----"})


def resigned(body: bytes) -> dict[str, bytes]:
    return maker().collateral(Kind.SGX) | {INFO: forge.signed("tcbInfo", body, maker().signer.key)}


def test_a_signed_document_with_a_key_twice_is_refused() -> None:
    body = forge.compact(forge.tcb_info(Kind.SGX)).replace(b'"version":3', b'"version":3,"version":3')

    with pytest.raises(EvidenceError, match="the key 'version' stands twice"):
        check(resigned(body))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"version": 2}, "version"),
        ({"tcbType": 1}, "tcbType"),
        ({"tcbLevels": [forge.level("Fine")]}, "'Fine' should be one of UpToDate"),
        ({"tcbLevels": [forge.level("TDRelaunchAdvised")]}, "'TDRelaunchAdvised' should be one of"),
        ({"tcbLevels": [forge.level("UpToDate", svn=256)]}, "svn"),
        ({"issueDate": "2026-06-31T00:00:00Z"}, "should be a time such as"),
        ({"issueDate": "yesterday"}, "issueDate"),
        ({"tcbEvaluationDataNumber": "20"}, "tcbEvaluationDataNumber"),
        ({"fmspc": "zz"}, "fmspc"),
    ],
)
def test_a_signed_document_that_does_not_fit_the_specification_is_refused(
    change: dict[str, Any], named: str
) -> None:
    with pytest.raises(EvidenceError, match=named):
        check(resigned(forge.compact(forge.tcb_info(Kind.SGX, **change))))


def test_what_intel_adds_to_a_document_is_ignored() -> None:
    assert check(resigned(forge.compact(forge.tcb_info(Kind.SGX, newField=[1, {"a": "b"}]))))


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b'"signature"', b' "signature"'),
        lambda data: data + b"x",
        lambda data: b" " + data,
        lambda data: data.replace(b"tcbInfo", b"enclaveIdentity"),
        lambda data: data[:-3] + data[-3:].upper() if data[-3:] != data[-3:].upper() else data + b"}",
    ],
)
def test_a_document_in_another_layout_is_refused(change: Any) -> None:
    documents = maker().collateral(Kind.SGX)

    with pytest.raises(EvidenceError, match=r"should be .* as sent"):
        check(documents | {INFO: change(documents[INFO])})


def test_json_is_bounded_in_depth_and_size() -> None:
    read_json(b"[" * 16 + b"]" * 16, "document")
    with pytest.raises(EvidenceError, match="nested deeper than 16 levels"):
        read_json(b"[" * 17 + b"]" * 17, "document")
    with pytest.raises(EvidenceError, match="nested deeper than 16 levels"):
        read_json(b'{"a\\"":' * 100_00 + b"1", "document")
    with pytest.raises(EvidenceError, match="more than 524288"):
        read_json(b" " * (1 << 20), "document")


@pytest.mark.parametrize(
    "text", [b"1.5", b"NaN", b"Infinity", b"[1e9]", b"\xff", b"", b"9" * 5000, b'{"a":1,"a":2}']
)
def test_json_of_other_kinds_is_refused(text: bytes) -> None:
    with pytest.raises(EvidenceError):
        read_json(text, "document")


def test_brackets_in_strings_are_not_depth() -> None:
    assert read_json(b'["' + b"[" * 100 + b'\\"{"]', "document") == ["[" * 100 + '"{']
