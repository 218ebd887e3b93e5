"""Decoders of policies, of files of evidence, and of a store's floors."""

from __future__ import annotations

from collections.abc import Sequence

from tests.dcap.vectors import TDX
from tests.fuzz.target import JSON, Target
from tests.policy_files import whole_text
from tests.snp import vectors as snp

from hanse.attestation.evidence_file import read_evidence, write_evidence
from hanse.attestation.policy.file import read_policy
from hanse.attestation.policy.review import review
from hanse.attestation.policy.write import toml_of
from hanse.attestation.statement import read_statement
from hanse.control.evidence.floors import parse_floors

_SHORT = 1 << 15
"""Bytes of TOML, which is read by plain Python."""


def policy(data: bytes) -> None:
    found = read_policy(data, "policy.toml")
    assert review(found)
    assert read_policy(toml_of(found).encode(), "policy.toml").digest == found.digest


def evidence(data: bytes) -> None:
    found = read_evidence(data)
    assert read_evidence(write_evidence(found)) == found
    read_statement(found)


def evidence_files() -> Sequence[bytes]:
    return [write_evidence(TDX.evidence), write_evidence(snp.recorded("trustee"))]


def floors(data: bytes) -> None:
    parse_floors(data, "floors.json")


TARGETS = (
    Target("appraisal-policy", policy, lambda: [whole_text().encode()], None, _SHORT),
    Target("evidence-file", evidence, evidence_files, JSON),
    Target(
        "collateral-floors",
        floors,
        lambda: [b'{"format":"hanse-floors-1","evaluation":{"a":1},"issued":{"a":"2025-01-01T00:00:00Z"}}'],
        JSON,
    ),
)
