"""Claims that evidence is bound to: who shows it, to whom, in which run, and with which keys."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hanse.core.values.canonical import digest_of
from hanse.core.values.schema import Digest, Name, Strict

Key = Annotated[str, Field(min_length=64, max_length=4096, pattern="^[0-9a-f]+$")]
"""A public key, hexadecimal."""
_RunId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")]


class Claims(Strict):
    """Statement of a device about an instance, which is one start of one agent or service.

    The verifier builds the claims from what it expects, and takes only `seal`, `speak`, `devices` and `log`
    from the peer.

    Attributes:
        format: Version of this structure.
        purpose: What the evidence is shown for.
        verifier: Fingerprint of the signing key of the party that asked.
        nonce: The verifier's nonce.
        federation, role, name: The party that shows the evidence.
        signer: Fingerprint of its signing key.
        seal: Its public key for what stays secret for this instance.
        speak: Its public key for what is to be believed of this instance.
        run: The run.
        plan: Digest of the plan.
        roster: Digest of the roster of signing keys of the run.
        policy: Digest of the policy that the evidence is held against.
        devices: Digests of the evidence of GPUs, by their order.
        log: Digest of the event log; empty where there is none.
        rehearsal: Whether software may play the device.
    """

    format: Literal["hanse-claims-1"] = "hanse-claims-1"
    purpose: Literal["run", "release"]
    verifier: Digest
    nonce: Digest
    federation: Name
    role: Literal["aggregator", "collaborator"]
    name: Name
    signer: Digest
    seal: Key
    speak: Key
    run: _RunId
    plan: Digest
    roster: Digest
    policy: Digest
    devices: tuple[Digest, ...] = Field((), max_length=16)
    log: Digest | Literal[""] = ""
    rehearsal: bool = False

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON."""
        return digest_of(self.model_dump(mode="json"))

    @property
    def instance(self) -> str:
        """Name of the instance that has these keys."""
        return instance_name(self.seal, self.speak)


def instance_name(seal: str, speak: str) -> str:
    """Name of the instance whose public keys these are; SHA-256, hexadecimal."""
    return digest_of(["hanse/instance", seal, speak])
