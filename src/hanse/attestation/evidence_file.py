"""Evidence in a file: JSON with the quote, certificates and other parts as base64."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from hanse.attestation.base import MAX_CERTIFICATES, MAX_LOG, MAX_PARTS, MAX_QUOTE, Evidence, Kind
from hanse.attestation.dcap.strict_json import read_json
from hanse.core.values.schema import Strict, problem_of
from hanse.errors import EvidenceError

FORMAT = "hanse-evidence-1"
MAX_FILE = 4 << 20
"""Bytes of a file of evidence."""
_WHAT = "evidence file"

_PartName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]


def _base64(most: int) -> object:
    return Field(max_length=(most + 2) // 3 * 4)


class _File(Strict):
    format: Literal["hanse-evidence-1"]
    kind: Literal["sgx", "tdx", "snp", "tpm", "gpu"]
    quote: Annotated[str, _base64(MAX_QUOTE)]
    certificates: Annotated[
        tuple[Annotated[str, _base64(MAX_QUOTE)], ...], Field(max_length=MAX_CERTIFICATES)
    ]
    parts: Annotated[dict[_PartName, Annotated[str, _base64(MAX_LOG)]], Field(max_length=MAX_PARTS)]


def read_evidence(data: bytes) -> Evidence:
    """Read evidence from a file; nothing of it is believed.

    Raises:
        EvidenceError: The file is malformed or too large.
    """
    value = read_json(data, _WHAT, MAX_FILE)
    try:
        read = _File.model_validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        raise EvidenceError(f"{_WHAT}: {problem_of(error)}") from None
    return Evidence(
        kind=Kind(read.kind),
        quote=_decoded(read.quote, "quote"),
        certificates=tuple(_decoded(c, f"certificate {n}") for n, c in enumerate(read.certificates, 1)),
        parts={name: _decoded(part, f"part {name}") for name, part in read.parts.items()},
    )


def write_evidence(evidence: Evidence) -> bytes:
    """Write evidence so that `read_evidence` gives it back."""
    value = {
        "format": FORMAT,
        "kind": evidence.kind.value,
        "quote": _encoded(evidence.quote),
        "certificates": [_encoded(certificate) for certificate in evidence.certificates],
        "parts": {name: _encoded(part) for name, part in evidence.parts.items()},
    }
    return json.dumps(value, indent=2).encode("ascii") + b"\n"


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _decoded(text: str, name: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        data = b""
    if not data or _encoded(data) != text:
        raise EvidenceError(f"{_WHAT}: its {name} is not base64 as it is always written, or is empty")
    return data
