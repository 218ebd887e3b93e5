"""Policies of SGX and TDX name every field, and what they do not accept is named."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError
from tests.dcap import forge
from tests.dcap.forge import given, maker
from tests.dcap.policies import ANY, sgx_policy, sgx_table, tdx_policy, tdx_row, tdx_table

from hanse.attestation.base import Appraisal, Aspect, Evidence, Kind, Tier
from hanse.attestation.policy.sgx import SgxPolicy
from hanse.attestation.policy.tdx import TdxPolicy
from hanse.attestation.sgx import SgxVerifier
from hanse.attestation.tdx import TdxVerifier
from hanse.errors import EvidenceError

TABLES = [(TdxPolicy, tdx_table()), (SgxPolicy, sgx_table())]


def appraise_tdx(evidence: Evidence, **changes: Any) -> Appraisal:
    verifier = TdxVerifier(maker().root.certificate)
    return verifier.appraise(evidence, tdx_policy(**changes), given(maker().collateral(Kind.TDX)))


def appraise_sgx(evidence: Evidence, **changes: Any) -> Appraisal:
    verifier = SgxVerifier(maker().root.certificate)
    return verifier.appraise(evidence, sgx_policy(**changes), given(maker().collateral(Kind.SGX)))


def differing(appraisal: Appraisal) -> dict[str, tuple[str, str]]:
    return {check.component: (check.expected, check.seen) for check in appraisal.differing}


@pytest.mark.parametrize(
    ("model", "table", "key"), [(model, table, key) for model, table in TABLES for key in table]
)
def test_every_field_is_required(model: type[BaseModel], table: dict[str, Any], key: str) -> None:
    with pytest.raises(ValidationError, match="Field required"):
        model.model_validate({name: value for name, value in table.items() if name != key})


@pytest.mark.parametrize("key", tdx_table()["attributes"])
def test_every_attribute_is_required(key: str) -> None:
    attributes = {name: value for name, value in tdx_table()["attributes"].items() if name != key}

    with pytest.raises(ValidationError, match="Field required"):
        tdx_policy(attributes=attributes)


@pytest.mark.parametrize("key", tdx_row())
def test_every_register_of_a_row_is_required(key: str) -> None:
    with pytest.raises(ValidationError, match="Field required"):
        tdx_policy(rows=[{name: value for name, value in tdx_row().items() if name != key}])


@pytest.mark.parametrize(
    "changes",
    [
        {"statuses": ["Revoked"]},
        {"statuses": ["NotSupported"]},
        {"statuses": []},
        {"rows": []},
        {"rows": [tdx_row(), tdx_row()]},
        {"machines": []},
        {"machines": "every"},
        {"machines": ANY},
        {"least_evaluation": 0},
        {"xfam": "E7"},
        {"xfam": {"any": ""}},
        {"advisories": ["sa 1"]},
        {"mrseam": []},
        {"attributes": {**tdx_table()["attributes"], "debug": True}},
        {"attributes": {**tdx_table()["attributes"], "debug": ANY}},
        {"attributes": {**tdx_table()["attributes"], "migratable": True}},
        {"attributes": {**tdx_table()["attributes"], "sept_ve_disable": False}},
        {"attributes": {**tdx_table()["attributes"], "others": "0000001000000000"}},
        {"attributes": {**tdx_table()["attributes"], "others": "0100000000000000"}},
    ],
)
def test_what_no_policy_may_say_is_refused_when_it_is_read(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        tdx_policy(**changes)


def test_the_debug_bit_does_not_pass_as_another_flag_of_an_enclave() -> None:
    with pytest.raises(ValidationError, match="DEBUG bit"):
        sgx_policy(attributes={"debug": False, "flags": "0700000000000000", "xfrm": ANY})


@pytest.mark.parametrize("model", [TdxPolicy, SgxPolicy])
def test_every_field_is_described(model: type[BaseModel]) -> None:
    def fields(schema: dict[str, Any]) -> list[tuple[str, Any]]:
        return [(name, field) for name, field in schema.get("properties", {}).items()]

    schema = model.model_json_schema()
    described = [*fields(schema), *(pair for each in schema["$defs"].values() for pair in fields(each))]
    assert all("description" in field or "$ref" in field for _, field in described)


def test_an_image_that_is_not_known_is_named_register_by_register() -> None:
    appraisal = appraise_tdx(forge.tdx(forge.td_report(registers="1122334499")))

    assert differing(appraisal) == {"RTMR3": ("55" * 48, "99" * 48)}
    assert appraisal.vector[Aspect.EXECUTABLES] is Tier.CONTRAINDICATED


def test_registers_of_two_images_are_not_one_image() -> None:
    rows = [tdx_row("old"), tdx_row("new", "aabbccddee")]

    mixed = appraise_tdx(forge.tdx(forge.td_report(registers="112233ddee")), rows=rows)
    whole = appraise_tdx(forge.tdx(forge.td_report(registers="aabbccddee")), rows=rows)

    assert set(differing(mixed)) == {"RTMR2", "RTMR3"}
    assert "of the row 'new': values of two images are mixed" in mixed.differing[0].note
    assert whole.tier is Tier.AFFIRMING


def test_a_register_that_may_be_any_says_why() -> None:
    row = {**tdx_row(), "rtmr3": {"any": "the system extends it by its logs"}}

    appraisal = appraise_tdx(forge.tdx(forge.td_report(registers="1122334499")), rows=[row])

    assert appraisal.tier is Tier.AFFIRMING
    (check,) = (check for check in appraisal.checks if check.component == "RTMR3")
    assert check.expected == "any (the system extends it by its logs)"


@pytest.mark.parametrize(
    ("attributes", "component"),
    [
        (1 << 28 | 1, "TDATTRIBUTES DEBUG"),
        (1 << 28 | 1 << 7, "TDATTRIBUTES DEBUG"),
        (1 << 28 | 1 << 29, "TDATTRIBUTES MIGRATABLE"),
        (0, "TDATTRIBUTES SEPT_VE_DISABLE"),
        (1 << 28 | 1 << 30, "TDATTRIBUTES others"),
        (1 << 28 | 1 << 63, "TDATTRIBUTES others"),
    ],
)
def test_an_attribute_that_is_not_accepted_is_named(attributes: int, component: str) -> None:
    appraisal = appraise_tdx(forge.tdx(forge.td_report(attributes=attributes)))

    (check,) = appraisal.differing
    assert check.component == component
    assert check.mend


def test_attributes_may_be_any_but_debug() -> None:
    attributes = {"debug": False, "migratable": ANY, "sept_ve_disable": ANY, "others": ANY}

    assert (
        appraise_tdx(forge.tdx(forge.td_report(attributes=0b11 << 29)), attributes=attributes).tier
        is Tier.AFFIRMING
    )
    debug = appraise_tdx(forge.tdx(forge.td_report(attributes=1)), attributes=attributes)
    assert set(differing(debug)) == {"TDATTRIBUTES DEBUG"}


@pytest.mark.parametrize(
    ("field", "component", "value"),
    [
        ("xfam", "XFAM", "0700000000000000"),
        ("mrconfigid", "MRCONFIGID", "01" * 48),
        ("mrowner", "MROWNER", "01" * 48),
        ("mrownerconfig", "MROWNERCONFIG", "01" * 48),
        ("mrsignerseam", "MRSIGNERSEAM", "01" * 48),
        ("mrseam", "MRSEAM", ["01" * 48, "02" * 48]),
        ("mrservicetd", "MRSERVICETD", "01" * 48),
    ],
)
def test_a_value_of_a_domain_that_differs_is_named(field: str, component: str, value: Any) -> None:
    evidence = forge.tdx(forge.td_report(svn2=(3, 1)), version=5)

    assert set(differing(appraise_tdx(evidence, **{field: value}))) == {component}


def test_service_domains_are_not_stated_in_a_td_report_1_0() -> None:
    appraisal = appraise_tdx(forge.tdx(), mrservicetd="00" * 48)

    assert differing(appraisal) == {"MRSERVICETD": ("00" * 48, "not stated in a TD report 1.0")}


def test_machines_are_named_by_their_ppid() -> None:
    known = appraise_tdx(forge.tdx(), machines=[forge.PPID.hex()])
    unknown = appraise_tdx(forge.tdx(), machines=["ff" * 16])

    assert known.tier is Tier.AFFIRMING
    assert known.machine == forge.PPID.hex()
    assert differing(unknown) == {"PPID": ("ff" * 16, forge.PPID.hex())}


def test_collateral_below_the_least_evaluation_is_named() -> None:
    appraisal = appraise_tdx(forge.tdx(), least_evaluation=21)

    assert differing(appraisal) == {"tcbEvaluationDataNumber": ("21 or more", "20")}


@pytest.mark.parametrize(
    ("field", "component", "value"),
    [
        ("misc_select", "MISCSELECT", "01000000"),
        ("cet_attributes", "CET_ATTRIBUTES", "01"),
        ("config_id", "CONFIGID", "01" * 64),
        ("config_svn", "CONFIGSVN", 1),
        ("ext_product", "ISVEXTPRODID", "01" * 16),
        ("family", "ISVFAMILYID", "01" * 16),
        ("attributes", "flags", {"debug": False, "flags": "8500000000000000", "xfrm": ANY}),
        ("attributes", "XFRM", {"debug": False, "flags": ANY, "xfrm": "0700000000000000"}),
    ],
)
def test_a_value_of_an_enclave_that_differs_is_named(field: str, component: str, value: Any) -> None:
    assert set(differing(appraise_sgx(forge.sgx(), **{field: value}))) == {component}


def test_a_debugged_enclave_is_never_accepted() -> None:
    evidence = forge.sgx(forge.enclave_report(attributes="0700000000000000e700000000000000"))

    assert differing(appraise_sgx(evidence)) == {"DEBUG": ("not set", "set")}


def signer(**changes: Any) -> dict[str, Any]:
    row = {"by": "mrsigner", "name": "signed", "mrsigner": "cc" * 32, "product": 1, "least_svn": 8}
    return row | changes


def test_an_enclave_is_accepted_by_its_signer_product_and_version() -> None:
    assert appraise_sgx(forge.sgx(), rows=[signer()]).tier is Tier.AFFIRMING
    assert appraise_sgx(forge.sgx(), rows=[signer(least_svn=7)]).tier is Tier.AFFIRMING


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"mrsigner": "01" * 32}, {"MRSIGNER": ("01" * 32, "cc" * 32)}),
        ({"product": 2}, {"ISVPRODID": ("2", "1")}),
        ({"least_svn": 9}, {"ISVSVN": ("9 or more", "8")}),
    ],
)
def test_an_enclave_of_another_signer_product_or_version_is_named(
    changes: dict[str, Any], found: dict[str, tuple[str, str]]
) -> None:
    assert differing(appraise_sgx(forge.sgx(), rows=[signer(**changes)])) == found


def test_rows_of_both_kinds_stand_side_by_side() -> None:
    measured = {"by": "mrenclave", "name": "measured", "mrenclave": "01" * 32}

    assert appraise_sgx(forge.sgx(), rows=[measured, signer()]).tier is Tier.AFFIRMING
    other = appraise_sgx(forge.sgx(), rows=[measured, signer(mrsigner="02" * 32)])
    assert differing(other) == {"MRENCLAVE": ("01" * 32, "bb" * 32)}


def test_an_event_log_of_another_register_is_refused() -> None:
    from tests.unit.attestation.test_event_log import event, header

    log = header() + event(9, b"one")
    evidence = Evidence(Kind.TDX, forge.tdx().quote, parts={"event-log": log})

    with pytest.raises(EvidenceError, match="no digests of the algorithm 0x000c"):
        appraise_tdx(evidence)
