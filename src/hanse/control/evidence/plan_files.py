"""Policies and owner's keys of a plan, from its folder, held against the digests that a journal has."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hanse.attestation.policy.file import AppraisalPolicy, read_policy
from hanse.config.document import MAX_BYTES
from hanse.core.plan.manifest import Manifest
from hanse.core.values.canonical import sha256
from hanse.errors import ConfigError
from hanse.files.errors import file_errors
from hanse.sealing.owner import Owner, read_owner


@dataclass(frozen=True, slots=True)
class PlanFiles:
    """Files of a plan that an auditor has.

    Attributes:
        policies: Appraisal policies, by their path in the plan.
        owner: The owner's public keys; None where the plan has no owner.
    """

    policies: dict[str, AppraisalPolicy] = field(default_factory=dict)
    owner: Owner | None = None


def read_plan_files(folder: Path, manifest: Manifest) -> PlanFiles:
    """Read the files about evidence and sealing that a plan names.

    Raises:
        StorageError: A file cannot be read.
        ConfigError: A file is another one than the plan's, or a malformed policy.
        SealError: The owner's file is malformed.
    """
    plan = manifest.plan
    named = () if plan.attestation is None else (plan.attestation.aggregator, plan.attestation.collaborators)
    policies = {
        path: read_policy(_read(folder, path, manifest), str(folder / path))
        for path in dict.fromkeys(named)
        if path is not None
    }
    if plan.sealed is None:
        return PlanFiles(policies)
    path = plan.sealed.owner
    return PlanFiles(policies, read_owner(_read(folder, path, manifest), str(folder / path)))


def _read(folder: Path, path: str, manifest: Manifest) -> bytes:
    digests = {file.path: file.sha256 for file in manifest.files}
    with file_errors(f"read {folder / path}"), (folder / path).open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if sha256(data) != digests.get(path):
        raise ConfigError(
            f"{folder / path} is not the {path} of the run's plan, whose SHA-256 is {digests.get(path)}",
            mend="Name the folder of the plan as it was submitted.",
        )
    return data
