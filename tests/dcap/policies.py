"""Policies of SGX and TDX evidence, as tables and as models."""

from __future__ import annotations

from typing import Any

from tests.dcap.vectors import Vector

from hanse.attestation.base import Kind
from hanse.attestation.dcap.quote import read_quote
from hanse.attestation.dcap.reports import EnclaveReport, TdReport
from hanse.attestation.policy.sgx import SgxPolicy
from hanse.attestation.policy.tdx import TdxPolicy

ANY = {"any": "not of interest in this test"}
ALL = [
    "UpToDate",
    "SWHardeningNeeded",
    "ConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded",
    "TDRelaunchAdvised",
    "TDRelaunchAdvisedConfigurationNeeded",
    "OutOfDate",
    "OutOfDateConfigurationNeeded",
]
_PLATFORM = {"machines": "any", "statuses": ["UpToDate"], "advisories": [], "least_evaluation": 1}


def tdx_row(name: str = "image", registers: str = "1122334455") -> dict[str, Any]:
    values = [registers[n : n + 2] * 48 for n in range(0, 10, 2)]
    return {"name": name, **dict(zip(("mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3"), values, strict=True))}


def tdx_table(**changes: Any) -> dict[str, Any]:
    """A policy that accepts what `forge.td_report` makes."""
    attributes = {"debug": False, "migratable": False, "sept_ve_disable": True, "others": "00" * 8}
    zero = "00" * 48
    return {
        **_PLATFORM,
        "rows": [tdx_row()],
        "attributes": attributes,
        "xfam": "e700060000000000",
        "mrconfigid": zero,
        "mrowner": zero,
        "mrownerconfig": zero,
        "mrservicetd": ANY,
        "mrsignerseam": zero,
        "mrseam": ["77" * 48],
    } | changes


def sgx_table(**changes: Any) -> dict[str, Any]:
    """A policy that accepts what `forge.enclave_report` makes."""
    return {
        **_PLATFORM,
        "rows": [{"by": "mrenclave", "name": "enclave", "mrenclave": "bb" * 32}],
        "attributes": {"debug": False, "flags": "0500000000000000", "xfrm": "e700000000000000"},
        "misc_select": "00000000",
        "cet_attributes": "00",
        "config_id": "00" * 64,
        "config_svn": 0,
        "ext_product": "00" * 16,
        "family": "00" * 16,
    } | changes


def tdx_policy(**changes: Any) -> TdxPolicy:
    return TdxPolicy.model_validate(tdx_table(**changes))


def sgx_policy(**changes: Any) -> SgxPolicy:
    return SgxPolicy.model_validate(sgx_table(**changes))


def policy_of(vector: Vector, **changes: Any) -> SgxPolicy | TdxPolicy:
    """A policy for just the image, and the machine's attributes, of a recorded quote."""
    report = read_quote(vector.quote, vector.kind).report
    if isinstance(report, EnclaveReport):
        assert vector.kind is Kind.SGX
        row = {"by": "mrenclave", "name": "recorded", "mrenclave": report.mrenclave.hex()}
        attributes = {
            "debug": False,
            "flags": report.attributes[:8].hex(),
            "xfrm": report.attributes[8:].hex(),
        }
        return sgx_policy(rows=[row], attributes=attributes, **changes)
    assert isinstance(report, TdReport)
    registers = {f"rtmr{n}": rtmr.hex() for n, rtmr in enumerate(report.rtmrs)}
    row = {"name": "recorded", "mrtd": report.mrtd.hex(), **registers}
    return tdx_policy(
        **{
            "rows": [row],
            "xfam": report.xfam.hex(),
            "mrconfigid": report.mrconfigid.hex(),
            "mrowner": report.mrowner.hex(),
            "mrownerconfig": report.mrownerconfig.hex(),
            "mrseam": [report.mrseam.hex()],
        }
        | changes
    )
