"""An instance: one start of an agent or a service, known by two keys that live as long as its process."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from hanse.attestation.attesters.base import Attester, log_digest
from hanse.attestation.base import Evidence
from hanse.attestation.claims import report_data
from hanse.core.values.evidence.claims import Claims, instance_name
from hanse.core.values.statements import signed_bytes
from hanse.errors import TrustError
from hanse.sealing.keys import SealKey

_SPEAK_BYTES = 32
_SIGNATURE_BYTES = 64


@dataclass(frozen=True, slots=True)
class Occasion:
    """Occasion of evidence: all claims that a verifier knows without the party that shows it.

    Attributes:
        purpose: What the evidence is shown for.
        verifier: Fingerprint of the signing key of the party that asked.
        nonce: The verifier's nonce.
        federation: The federation.
        role: Role of the party that shows the evidence.
        name: Its name.
        signer: Fingerprint of its signing key.
        run: The run.
        plan: Digest of the plan.
        roster: Digest of the roster of signing keys of the run.
        policy: Digest of the policy that the evidence is held against.
        rehearsal: Whether software may play a device.
    """

    purpose: Literal["run", "release"]
    verifier: str
    nonce: str
    federation: str
    role: Literal["aggregator", "collaborator"]
    name: str
    signer: str
    run: str
    plan: str
    roster: str
    policy: str
    rehearsal: bool = False

    def claims(self, seal: str, speak: str, log: str = "", devices: tuple[str, ...] = ()) -> Claims:
        """The claims of an instance.

        Args:
            seal: Its public key for what stays secret for it, hexadecimal.
            speak: Its public key for what is to be believed of it, hexadecimal.
            log: Digest of its event log; empty where there is none.
            devices: Digests of the evidence of its GPUs.

        Raises:
            ValidationError: What came from the peer is malformed.
        """
        return Claims(
            purpose=self.purpose,
            verifier=self.verifier,
            nonce=self.nonce,
            federation=self.federation,
            role=self.role,
            name=self.name,
            signer=self.signer,
            seal=seal,
            speak=speak,
            run=self.run,
            plan=self.plan,
            roster=self.roster,
            policy=self.policy,
            devices=devices,
            log=log,
            rehearsal=self.rehearsal,
        )


@final
class Instance:
    """The keys of an instance. They are never written, printed, copied or renewed: a new start has others.

    Args:
        seal: Opens what stays secret for this instance.
        speak: Signs what is to be believed of this instance.

    Attributes:
        seal: Opens what stays secret for this instance.
        seal_public: Its public key, hexadecimal.
        speak_public: The public key that `say` is checked with, Ed25519, hexadecimal.
        name: Name of the instance: SHA-256 of both public keys, hexadecimal.
    """

    __slots__ = ("_speak", "name", "seal", "seal_public", "speak_public")

    def __init__(self, seal: SealKey, speak: Ed25519PrivateKey) -> None:
        self.seal = seal
        self._speak = speak
        self.seal_public = seal.public.hex()
        self.speak_public = speak.public_key().public_bytes_raw().hex()
        self.name = instance_name(self.seal_public, self.speak_public)

    @staticmethod
    def start(randomness: Callable[[int], bytes]) -> Instance:
        """Make the keys of an instance; nothing is written.

        Args:
            randomness: Of the operating system.

        Raises:
            SealError: OpenSSL here cannot seal.
        """
        speak = Ed25519PrivateKey.from_private_bytes(randomness(_SPEAK_BYTES))
        return Instance(SealKey.generate(randomness), speak)

    def say(self, purpose: str, body: dict[str, Any]) -> str:
        """Sign a JSON object for one purpose; base64.

        Raises:
            ValueError: `body` holds what JSON lacks, such as a NaN.
        """
        return base64.b64encode(self._speak.sign(signed_bytes(purpose, body))).decode("ascii")

    def claims(self, occasion: Occasion, attester: Attester, devices: tuple[str, ...] = ()) -> Claims:
        """Claims of this instance on an occasion, with evidence of an attester.

        Args:
            occasion: What the evidence is shown for.
            attester: The device of this machine.
            devices: Digests of the evidence of GPUs.
        """
        return occasion.claims(self.seal_public, self.speak_public, log_digest(attester), devices)

    def show(self, attester: Attester, claims: Claims) -> Evidence:
        """Make evidence for claims of this instance. May block for seconds.

        Raises:
            ValueError: The claims are of another instance, or name another event log.
            EvidenceError: The device fails.
        """
        if claims.instance != self.name or claims.log != log_digest(attester):
            raise ValueError("evidence is made for claims of this instance and its device alone")
        return attester.evidence(report_data(claims, attester.kind))

    def __repr__(self) -> str:
        """Name the instance, without its keys."""
        return f"Instance({self.name[:16]})"

    def __reduce__(self) -> NoReturn:
        """Refuse to be copied or pickled."""
        raise TypeError("an instance is never copied")


def check_said(speak_public: str, purpose: str, body: dict[str, Any], signature: str) -> None:
    """Check what an instance is to have said.

    Args:
        speak_public: The key of the instance that was appraised, hexadecimal.
        purpose: What it has to have been said for.
        body: What was said.
        signature: As `Instance.say` returned it.

    Raises:
        TrustError: The instance did not say this, or the key or signature is malformed.
    """
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(speak_public))
        raw, message = base64.b64decode(signature, validate=True), signed_bytes(purpose, body)
    except ValueError:
        raise TrustError(f"what came as a {purpose} of an instance cannot have been said by one") from None
    # One signature has one form.
    if len(raw) == _SIGNATURE_BYTES and base64.b64encode(raw).decode("ascii") == signature:
        try:
            key.verify(raw, message)
        except InvalidSignature:
            pass
        else:
            return
    raise TrustError(
        f"the {purpose} was altered, or the instance with the key {speak_public[:16]} did not say it",
        mend="Do not use it: only the instance that was appraised counts.",
    )
