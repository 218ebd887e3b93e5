"""Statements that a party has signed."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from hanse.core.schema import Strict


class SignedStatement(Strict):
    """A statement with the signature of the party that made it.

    Attributes:
        body: What was stated, JSON.
        certificate: The signer's certificate, PEM.
        signature: Over the canonical JSON of purpose and body, base64.
    """

    body: dict[str, Any]
    certificate: str = Field(max_length=16_384)
    signature: str = Field(max_length=1_024)
