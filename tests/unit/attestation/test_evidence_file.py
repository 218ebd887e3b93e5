"""Evidence in a file: one way to write it, and everything else refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hanse.attestation.base import Evidence, Kind
from hanse.attestation.evidence_file import MAX_FILE, read_evidence, write_evidence
from hanse.errors import EvidenceError

EVIDENCE = Evidence(Kind.TDX, b"quote", (b"certificate",), {"event-log": b"log"})


def changed(**changes: Any) -> bytes:
    return json.dumps(json.loads(write_evidence(EVIDENCE)) | changes).encode()


def test_evidence_comes_back_as_it_was() -> None:
    assert read_evidence(write_evidence(EVIDENCE)) == EVIDENCE


def test_the_largest_evidence_fits() -> None:
    parts = {f"part-{n}": bytes(1 << 17) for n in range(16)}

    assert read_evidence(write_evidence(Evidence(Kind.TPM, bytes(1 << 15), (), parts))).parts == parts


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{" * 100_000,
        b'{"format":"hanse-evidence-1"}',
        b" " * (MAX_FILE + 1),
        changed(format="hanse-evidence-2"),
        changed(kind="sev"),
        changed(quote=""),
        changed(quote="cXVvdGU"),
        changed(quote="cXVvdGV="),
        changed(quote="cXVv\ndGU="),
        changed(quote="A" * 50_000),
        changed(certificates=["AAAA"] * 9),
        changed(parts={"../log": "AAAA"}),
        changed(parts={"log": 1}),
        changed(trusted=True),
    ],
)
def test_what_is_no_file_of_evidence_is_refused(data: bytes) -> None:
    with pytest.raises(EvidenceError):
        read_evidence(data)
