"""Events of evidence and of sealed models: whose instance was appraised, and which has the keys."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hanse.core.values.evidence.claims import Claims, Key
from hanse.core.values.evidence.sealed_key import Base64
from hanse.core.values.evidence.verdict import Verdict
from hanse.core.values.schema import Digest, Strict


class InstanceStarted(Strict):
    """An instance of the aggregator began to serve the run; instances before it have ended, with their keys.

    Attributes:
        instance: Its name.
        seal: Its public key for what stays secret for it.
        speak: Its public key for what is to be believed of it.
        owner: Signature of the model's owner over both, base64; empty where the run has no sealed model.
    """

    kind: Literal["InstanceStarted"] = "InstanceStarted"
    instance: Digest
    seal: Key
    speak: Key
    owner: Base64 = ""


class SiteAppraised(Strict):
    """The aggregator appraised the evidence of a site's instance."""

    kind: Literal["SiteAppraised"] = "SiteAppraised"
    site: str
    claims: Claims
    verdict: Verdict


class KeysReleased(Strict):
    """An instance of a site may get the keys of the run's sealed files from now on.

    Durable before the first key leaves. One instance of a site has them; a second needs `InstanceAdmitted`.
    """

    kind: Literal["KeysReleased"] = "KeysReleased"
    site: str
    instance: Digest


class InstanceAdmitted(Strict):
    """A person permitted that another instance of a site gets the keys, once.

    Attributes:
        by: The operator.
    """

    kind: Literal["InstanceAdmitted"] = "InstanceAdmitted"
    site: str
    by: str
    reason: str = Field(max_length=1_000)


class AnswersLost(Strict):
    """Updates of the open round were sealed to an instance that has ended; the round is asked again."""

    kind: Literal["AnswersLost"] = "AnswersLost"
    reason: str = Field(max_length=1_000)


EvidenceEvent = InstanceStarted | SiteAppraised | KeysReleased | InstanceAdmitted | AnswersLost
