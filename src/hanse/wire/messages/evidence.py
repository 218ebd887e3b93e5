"""Messages about evidence of what the parties of a run have started."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hanse.core.values.canonical import sha256
from hanse.core.values.evidence.claims import Key
from hanse.core.values.evidence.device_keys import DeviceKeys
from hanse.core.values.evidence.sealed_key import Base64
from hanse.core.values.roster import RosterProof
from hanse.core.values.schema import Digest, Name, Strict
from hanse.core.values.statements import CertifiedStatement, SignedStatement
from hanse.wire.messages.basics import RunId
from hanse.wire.messages.sites import EvidenceAsked

MAX_EVIDENCE = 960_000
"""Characters of a file of evidence in a message; with all else a message stays under its limit."""
INTRODUCTION = "hanse instance 1"
"""Purpose of the signature over an `Introduction`."""


class Shown(Strict):
    """An instance with its evidence.

    Attributes:
        seal: Its public key for what stays secret for it.
        speak: Its public key for what is to be believed of it.
        devices: Digests of the evidence of GPUs.
        log: Digest of the event log; empty where there is none.
        evidence: The file of evidence, as `hanse.attestation.evidence_file` writes it; empty where the plan
            asks for none of this party.
        activation: Answer to the challenge of a TPM, base64; empty for other devices.
        owner: Signature of the model's owner over the aggregator's instance, base64; empty where the run has
            no sealed model.
    """

    seal: Key
    speak: Key
    devices: tuple[Digest, ...] = Field((), max_length=16)
    log: Digest | Literal[""] = ""
    evidence: str = Field("", max_length=MAX_EVIDENCE)
    activation: Base64 = ""
    owner: Base64 = ""

    @property
    def evidence_digest(self) -> str:
        """SHA-256 of the file of evidence; empty where none is shown."""
        return sha256(self.evidence.encode("utf-8", "replace")) if self.evidence else ""


class Introduction(Strict):
    """A party's word on its instance, signed with the key that the party is known by.

    Attributes:
        nonce: Nonce of the party that asked.
        roster: Digest of the roster of the run.
        seal: Public key of the instance for what stays secret for it.
        speak: Its public key for what is to be believed of it.
        evidence: SHA-256 of the file of evidence; empty where none is shown.
    """

    federation: Name
    role: Literal["aggregator", "collaborator"]
    name: Name
    run_id: str = RunId
    plan_digest: Digest
    nonce: Digest
    roster: Digest
    seal: Key
    speak: Key
    evidence: Digest | Literal[""] = ""


class AttestRequest(Strict):
    """A step of an exchange of evidence, of at most three.

    The first asks for the keys of the aggregator's device, where the plan asks for evidence of the
    aggregator. The second has a nonce, and the challenge for a TPM. The third shows the site's evidence.

    Attributes:
        device: Keys of the site's device, with a nonce; None where the device has none.
        nonce: The site's nonce for the aggregator.
        challenge: Credential for the aggregator's TPM, base64; empty for other devices.
        answered: The aggregator's nonce that `shown` is bound to.
        shown: The site's evidence.
        signed: The site's `Introduction`, with the evidence.
    """

    run_id: str = RunId
    device: DeviceKeys | None = None
    nonce: Digest | None = None
    challenge: Base64 = ""
    answered: Digest | None = None
    shown: Shown | None = None
    signed: SignedStatement | None = None


class AttestReply(Strict):
    """The aggregator's part of a step.

    Attributes:
        device: Keys of the aggregator's device; None where the device has none, or shows no evidence.
        certified: The aggregator's `Introduction`, in reply to a nonce.
        shown: The aggregator's instance, in reply to a nonce.
        roster: Digest of the roster of the run.
        place: The site's place in that roster.
        nonce: The aggregator's nonce for the site, in reply to a nonce; None where the plan asks for no
            evidence of sites.
        challenge: Credential for the site's TPM, base64; empty for other devices.
        evidence: Where the site stands now.
    """

    device: DeviceKeys | None = None
    certified: CertifiedStatement | None = None
    shown: Shown | None = None
    roster: Digest | None = None
    place: RosterProof | None = None
    nonce: Digest | None = None
    challenge: Base64 = ""
    evidence: EvidenceAsked
