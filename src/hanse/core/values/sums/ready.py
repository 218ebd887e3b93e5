"""READY: the statement with which a site begins an attempt at a masked sum; see decision 0041."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import Field, ValidationError

from hanse.core.values.canonical import canonical_json, digest_of
from hanse.core.values.schema import Digest, Label, Name, Strict, problem_of
from hanse.errors import TrustError

READY = "hanse/secagg/v1/ready"
"""Purpose of the signature."""

SUITE = "x25519-hkdf-sha256-aes128ctr-1"
"""The algorithms of masks, which are stated so that they can be replaced."""

ROSTER = "hanse/secagg/v1/roster"
"""Label of the digest of a roster."""

MOST_ATTEMPTS = 16
"""Attempts of one exchange."""

MOST_MEMBERS = 64
"""Members of one cell."""


class ReadyBody(Strict):
    """Statement of a site before it masks.

    Attributes:
        suite: The algorithms; see `SUITE`.
        federation: Name of the federation.
        run_id: The run.
        exchange: Number of the exchange in the run, from 1.
        cell: Name of the cell.
        attempt: Number of the attempt, 1 to `MOST_ATTEMPTS`; the numbers of one site rise.
        site: The member that states this.
        signer: Fingerprint of the signing key of that site.
        context: Digest of all that decides what the masked numbers mean.
        public: X25519 public key of this attempt, its 32 bytes in hexadecimal.
        commitment: To the numbers that are to be masked.
    """

    suite: str = Field(max_length=64)
    federation: Name
    run_id: str = Field(max_length=128)
    exchange: int = Field(ge=1)
    cell: Label
    attempt: int = Field(ge=1, le=MOST_ATTEMPTS)
    site: Name
    signer: Digest
    context: Digest
    public: Digest
    commitment: Digest


def read_ready(body: dict[str, Any]) -> ReadyBody:
    """Read the body of a READY, in its one form.

    Raises:
        TrustError: It is not one, or is written in another form than a READY is: two texts of one
            statement would make two rosters.
    """
    try:
        read = ReadyBody.model_validate(body)
    except ValidationError as error:
        raise TrustError(f"what came as a READY is none: {problem_of(error)}") from error
    if canonical_json(read.model_dump()) != canonical_json(body):
        raise TrustError(f"the READY of {read.site} is not written in its one form")
    return read


def rho_of(bodies: Iterable[ReadyBody]) -> str:
    """Digest of a roster: of the bodies of its READYs, by the fingerprint of the signer."""
    ordered = sorted(bodies, key=lambda body: body.signer)
    return digest_of({"label": ROSTER, "bodies": [body.model_dump() for body in ordered]})
