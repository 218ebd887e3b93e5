"""Commands about evidence and sealed models."""

from __future__ import annotations

from dataclasses import dataclass

from hanse.core.values.evidence.claims import Claims
from hanse.core.values.evidence.verdict import Verdict


@dataclass(frozen=True, slots=True)
class StartInstance:
    """An instance of the aggregator takes the run up; see `InstanceStarted`."""

    instance: str
    seal: str
    speak: str
    owner: str = ""


@dataclass(frozen=True, slots=True)
class RecordAppraisal:
    """The evidence of a site's instance was appraised."""

    site: str
    claims: Claims
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class ReleaseKeys:
    """Let an instance of a site have the keys of sealed files."""

    site: str
    instance: str


@dataclass(frozen=True, slots=True)
class AdmitInstance:
    """An operator permits another instance of a site."""

    site: str
    by: str
    reason: str


EvidenceCommand = StartInstance | RecordAppraisal | ReleaseKeys | AdmitInstance
