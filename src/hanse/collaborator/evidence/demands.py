"""Demands of plans and of the site's settings about evidence, and where both do not fit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hanse.attestation.policy.file import AppraisalPolicy, load_policy
from hanse.config.settings import SiteSettings
from hanse.control.appraisal.plan_policies import PlanPolicies, policies_of
from hanse.core.plan.manifest import CodeFile, Manifest
from hanse.core.plan.plan import Plan
from hanse.files.errors import file_errors


def evidence_refusals(settings: SiteSettings, plan: Plan) -> Iterator[str]:
    """Reasons for which this site cannot take part in a plan, by its settings.

    Args:
        settings: Of the site.
        plan: The plan.
    """
    section = plan.attestation
    if settings.require.attested_aggregator is not None and (section is None or section.aggregator is None):
        yield "this site requires evidence of the aggregator, and the plan asks for none"
    if section is None:
        return
    if section.collaborators is not None and settings.attestation.own.device is None:
        yield "the plan asks for evidence of the sites, and this site has no device that makes evidence"
    if section.rehearsal and not settings.attestation.rehearsal:
        yield "the plan is for a rehearsal, and this site does not permit that software plays devices"


def required_policy(settings: SiteSettings) -> AppraisalPolicy | None:
    """The policy that this site itself holds the aggregator against; None for none; reads a file.

    Raises:
        ConfigError: It cannot be read, or is malformed.
    """
    path = settings.require.attested_aggregator
    return None if path is None else load_policy(path)


def plan_policies(manifest: Manifest, bundle: Path) -> PlanPolicies:
    """The policies of a plan; reads files.

    Args:
        manifest: The plan.
        bundle: Folder with its code.

    Raises:
        PlanError: One is malformed.
        TamperedError: One is not the one that the plan names.
        StorageError: One cannot be read.
    """

    def read(file: CodeFile) -> bytes:
        with file_errors(f"read {file.path}"):
            return (bundle / file.path).read_bytes()

    return policies_of(manifest, read)
