"""Policies that a plan has among its files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hanse.attestation.policy.file import AppraisalPolicy, read_policy
from hanse.core.plan.evidence.section import Attestation
from hanse.core.plan.manifest import CodeFile, Manifest
from hanse.core.values.canonical import sha256
from hanse.errors import ConfigError, PlanError, TamperedError


@dataclass(frozen=True, slots=True)
class PlanPolicies:
    """Policies of a plan.

    Attributes:
        aggregator: For the aggregator; None where the aggregator shows nothing.
        collaborators: For the sites; None where these show nothing.
    """

    aggregator: AppraisalPolicy | None
    collaborators: AppraisalPolicy | None


def policies_of(manifest: Manifest, read: Callable[[CodeFile], bytes]) -> PlanPolicies:
    """Read the policies of a plan.

    Args:
        manifest: The plan.
        read: Gives the content of a file of the plan.

    Raises:
        PlanError: One is malformed, or for rehearsals in a plan that is none.
        TamperedError: A file is not the one that the plan names.
        StorageError: A file cannot be read.
    """
    section = manifest.plan.attestation
    if section is None:
        return PlanPolicies(None, None)
    return PlanPolicies(
        _policy(manifest, section, section.aggregator, read),
        _policy(manifest, section, section.collaborators, read),
    )


def _policy(
    manifest: Manifest, section: Attestation, path: str | None, read: Callable[[CodeFile], bytes]
) -> AppraisalPolicy | None:
    if path is None:
        return None
    (file,) = [file for file in manifest.files if file.path == path]
    data = read(file)
    if sha256(data) != file.sha256:
        raise TamperedError(f"{path} is not the file that plan {manifest.digest[:12]} names")
    try:
        policy = read_policy(data, path)
    except ConfigError as error:
        raise PlanError(error.message, mend=error.mend) from error
    if policy.rehearsal and not section.rehearsal:
        raise PlanError(
            f"{path} accepts software that plays a device, and the plan does not say `rehearsal: true`",
            mend="Take a policy for devices, or write `rehearsal: true` under `attestation`.",
        )
    if policy.gpu is not None:
        raise PlanError(
            f"{path} has a section `gpu`, and evidence of GPUs does not travel between parties yet",
            mend="Leave the section out.",
        )
    return policy
