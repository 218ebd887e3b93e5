"""Recorded SEV-SNP evidence, and policies that accept it."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hanse.attestation.base import Circumstances, Evidence, Kind
from hanse.attestation.policy.snp import SnpPolicy

FILES = Path(__file__).parents[1] / "data" / "attestation" / "amd"
NOW = datetime(2026, 12, 1, tzinfo=UTC)
ANY = {"any": "a test of something else"}
REPORTS = {
    "go-sev-guest": ("go-sev-guest/attestation.bin", "go-sev-guest/vcek.testcer"),
    "virtee-sev": ("virtee-sev/report_milan.hex", "virtee-sev/vcek_milan.der"),
    "trustee": ("trustee/test-report.bin", "trustee/test-vcek.der"),
}
"""Report and VCEK of each."""
AZURE = "azure"
NAMES = (*REPORTS, AZURE)
_HCL_HEADER, _SIZE = 0x20, 0x4A0
COLLATERAL = {"amd/vcek/Milan/cert_chain": (FILES / "go-sev-guest/ask_ark_milan.pem").read_bytes()}
ROW = {
    "name": "image",
    "measurement": ANY,
    "host_data": ANY,
    "id_key_digest": ANY,
    "author_key_digest": ANY,
    "family_id": ANY,
    "image_id": ANY,
    "guest_svn": ANY,
}
GUEST_POLICY = {
    "debug": False,
    "migrate_ma": False,
    "smt": ANY,
    "single_socket": ANY,
    "cxl": False,
    "aes_256_xts": ANY,
    "rapl_disabled": ANY,
    "ciphertext_hiding": ANY,
    "page_swap_disabled": ANY,
    "least_abi": "0.0",
}
PLATFORM = {
    "smt_enabled": ANY,
    "tsme_enabled": ANY,
    "ecc_enabled": ANY,
    "rapl_disabled": ANY,
    "ciphertext_hiding": ANY,
    "alias_check": ANY,
    "tio_enabled": ANY,
}


def levels(**others: int) -> dict[str, int]:
    """Least levels; zero but for those that are named."""
    return {"bootloader": 0, "tee": 0, "snp": 0, "microcode": 0} | others


def product(name: str, **others: object) -> dict[str, object]:
    """A product of a policy, which accepts all levels but for those that are named."""
    least = levels(fmc=0) if name == "Turin" else levels()
    values: dict[str, object] = {"product": name}
    values |= dict.fromkeys(("least_committed", "least_reported", "least_launch"), least)
    if name == "Milan":
        values |= {"in_spite_of": "arXiv:2605.12990", "reason": "recorded evidence, in a test"}
    return values | others


def policy_values(**others: Any) -> dict[str, Any]:
    """A policy as a file has it, which accepts what is recorded, but for what is named."""
    return {
        "machines": "any",
        "signer": "VCEK",
        "rows": [ROW],
        "vmpl": 0,
        "guest_policy": GUEST_POLICY,
        "platform": PLATFORM,
        "mitigations": 0,
        "products": [product("Milan"), product("Genoa"), product("Turin")],
        "revocation": ANY,
    } | others


def policy(**others: Any) -> SnpPolicy:
    """A policy that accepts what is recorded, but for what is named."""
    return SnpPolicy.model_validate(policy_values(**others))


def report_of(name: str) -> bytes:
    """A recorded report; that of Azure's machine is of version 3, the others of version 2."""
    if name == AZURE:
        return _azure("hcl_report")[_HCL_HEADER : _HCL_HEADER + _SIZE]
    data = (FILES / REPORTS[name][0]).read_bytes()
    return bytes.fromhex(data.decode()) if REPORTS[name][0].endswith(".hex") else data


def _azure(key: str) -> bytes:
    written = json.loads((FILES / "trustee/az-snp-vtpm-evidence-v2.json").read_text())[key]
    return base64.urlsafe_b64decode(written + "=" * (-len(written) % 4))


def recorded(name: str) -> Evidence:
    """Recorded evidence: a report with its VCEK."""
    if name == AZURE:
        return Evidence(Kind.SNP, report_of(name), (_azure("vcek"),))
    return Evidence(Kind.SNP, report_of(name), ((FILES / REPORTS[name][1]).read_bytes(),))


def given(evidence: Evidence, **others: Any) -> Circumstances:
    """Circumstances that fit evidence: now, bound to what its report states, with AMD's chain."""
    values: dict[str, Any] = {"at": NOW, "report_data": evidence.quote[0x50:0x90], "collateral": COLLATERAL}
    return Circumstances(**(values | others))
