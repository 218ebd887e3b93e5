"""A recorded report of a GPU, and policies that accept it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hanse.attestation.base import Circumstances, Evidence, Kind
from hanse.attestation.certificates import public_bytes, read_chain
from hanse.attestation.gpu.verifier import MODE
from hanse.attestation.policy.gpu import GpuPolicy

FILES = Path(__file__).parents[1] / "data" / "attestation" / "nvidia"
NOW = datetime(2026, 12, 1, tzinfo=UTC)
ANY = {"any": "a test of something else"}
REPORT = bytes.fromhex((FILES / "hopperAttestationReport.txt").read_text().strip())
CHAIN = tuple(
    public_bytes(certificate)
    for certificate in read_chain((FILES / "hopperCertChain.txt").read_bytes(), "chain")
)
NONCE = REPORT[4:36]
MACHINE = "41431d480fe5e87274"
ROW = {"name": "set", "driver": "550.90.07", "vbios": "96.00.9F.00.01", "measurements": ANY}


def policy(**others: Any) -> GpuPolicy:
    """A policy that accepts the recorded GPU, but for what is named."""
    values = {
        "machines": [MACHINE],
        "chips": ["GH100"],
        "mode": "on",
        "feature": ANY,
        "rows": [ROW],
        "revocation": ANY,
    }
    return GpuPolicy.model_validate(values | others)


def recorded() -> Evidence:
    """The recorded evidence, with a mode that was not recorded with it."""
    return Evidence(Kind.GPU, REPORT, CHAIN, {MODE: b"on\n"})


def given(**others: Any) -> Circumstances:
    """Circumstances that fit the recorded evidence."""
    values: dict[str, Any] = {"at": NOW, "report_data": NONCE}
    return Circumstances(**(values | others))
