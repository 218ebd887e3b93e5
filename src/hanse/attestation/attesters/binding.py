"""Check of fresh evidence before it is shown: a device's answer is what it was asked for."""

from __future__ import annotations

from hanse.attestation.base import Evidence, Kind
from hanse.attestation.statement import read_statement
from hanse.errors import EvidenceError

SIZES = {Kind.SGX: 64, Kind.TDX: 64, Kind.SNP: 64, Kind.TPM: 32, Kind.GPU: 32}
"""Bytes of report data, by kind."""


def check_size(kind: Kind, report_data: bytes) -> None:
    """Hold that report data are as long as a device of a kind states them.

    Raises:
        EvidenceError: They are not.
    """
    if len(report_data) != SIZES[kind]:
        raise EvidenceError(f"{kind} evidence is bound to {SIZES[kind]} bytes, not {len(report_data)}")


def check_bound(evidence: Evidence, report_data: bytes) -> None:
    """Hold that new evidence is bound to what it was to be bound to.

    A verifier would refuse it anyway; here it is known that this machine is at fault.

    Raises:
        EvidenceError: It is malformed, or bound to something else.
    """
    seen = read_statement(evidence).report_data
    if seen != report_data:
        raise EvidenceError(
            f"{evidence.kind} evidence: the device was to bind it to {report_data.hex()}, and bound it to "
            f"{seen.hex()}",
            mend="Another process uses the device: let the agent or service alone have it.",
        )
