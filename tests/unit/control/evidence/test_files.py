"""Files of evidence and claims from disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.dcap.policies import tdx_table
from tests.policy_files import whole_policy
from tests.snp import vectors as snp

from hanse.attestation.base import MAX_QUOTE, Evidence, Kind
from hanse.attestation.claims import Claims, report_data
from hanse.control.evidence.files import load_claims, load_evidence, pack
from hanse.core.values.canonical import sha256
from hanse.errors import ConfigError, EvidenceError

POLICY = whole_policy(tdx=tdx_table())
LOG = b"a log"


def claims(**changes: Any) -> dict[str, Any]:
    digest = "ab" * 32
    return {
        "format": "hanse-claims-1",
        "purpose": "run",
        "verifier": digest,
        "nonce": digest,
        "federation": "north",
        "role": "collaborator",
        "name": "site-a",
        "signer": digest,
        "seal": digest,
        "speak": digest,
        "run": "run-1",
        "plan": digest,
        "roster": digest,
        "policy": POLICY.digest,
        "devices": [],
        "log": "",
    } | changes


def written(folder: Path, value: object) -> Path:
    path = folder / "claims.json"
    path.write_text(json.dumps(value))
    return path


def test_claims_give_what_evidence_has_to_be_bound_to(tmp_path: Path) -> None:
    found = load_claims(written(tmp_path, claims()), POLICY, Evidence(Kind.TDX, b"quote"))

    assert found == report_data(Claims.model_validate(claims()), Kind.TDX)
    assert len(found) == 64


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"policy": "cd" * 32}, "made for the policy cdcd"),
        ({"log": "cd" * 32}, "event log"),
        ({"purpose": "any"}, "purpose"),
        ({"more": 1}, "more"),
    ],
)
def test_claims_of_something_else_are_refused(changes: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match=told):
        load_claims(written(tmp_path, claims(**changes)), POLICY, Evidence(Kind.TDX, b"quote"))


def test_the_event_log_that_came_along_has_to_be_the_one_of_the_claims(tmp_path: Path) -> None:
    evidence = Evidence(Kind.TDX, b"quote", (), {"event-log": LOG})

    load_claims(written(tmp_path, claims(log=sha256(LOG))), POLICY, evidence)
    with pytest.raises(EvidenceError, match="event log"):
        load_claims(written(tmp_path, claims()), POLICY, evidence)


def test_single_files_of_a_device_become_evidence() -> None:
    report, vcek = snp.FILES / "trustee/test-report.bin", snp.FILES / "trustee/test-vcek.der"

    assert pack(Kind.SNP, report, [vcek], {}) == snp.recorded("trustee")


def test_certificates_may_be_pem_with_several_in_a_file() -> None:
    report = snp.FILES / "trustee/test-report.bin"

    found = pack(Kind.SNP, report, [snp.FILES / "go-sev-guest/ask_ark_milan.pem"], {})

    assert len(found.certificates) == 2


def test_a_quote_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "quote").write_bytes(bytes(MAX_QUOTE + 1))

    with pytest.raises(EvidenceError, match="more than"):
        pack(Kind.TDX, tmp_path / "quote", [], {})


def test_a_bare_quote_is_not_a_file_of_evidence() -> None:
    with pytest.raises(EvidenceError, match="hanse attest pack"):
        load_evidence(snp.FILES / "trustee/test-report.bin")


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*missing"):
        load_evidence(tmp_path / "missing")
