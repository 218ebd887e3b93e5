"""Demands of plans on this aggregator about evidence."""

from __future__ import annotations

from dataclasses import dataclass

from hanse.control.appraisal.own_machine import OwnMachine
from hanse.control.appraisal.plan_policies import PlanPolicies, policies_of
from hanse.core.plan.manifest import CodeFile, Manifest
from hanse.errors import ConfigError
from hanse.files.errors import file_errors
from hanse.storage.base import BlobStore


@dataclass(frozen=True, slots=True)
class PlanReader:
    """Reads the policies of plans, and checks that this aggregator can do what they ask.

    Attributes:
        machine: The aggregator's own.
        blobs: Have the files of plans.
    """

    machine: OwnMachine
    blobs: BlobStore

    def check(self, manifest: Manifest) -> None:
        """Refuse a plan that asks for what this aggregator cannot show or judge; reads files.

        Raises:
            ConfigError: It does; names the setting or the file.
            SealError: OpenSSL here cannot make the keys of an instance.
            StorageError: A file of the plan cannot be read.
        """
        section = manifest.plan.attestation
        if section is None:
            return
        if section.rehearsal and not self.machine.rehearsal:
            raise ConfigError(
                "the plan is for a rehearsal, and aggregator.yaml does not permit software to play devices",
                mend="Write `attestation: {rehearsal: true}` in aggregator.yaml, for trials only.",
            )
        if section.aggregator is not None and self.machine.attester is None:
            raise ConfigError(
                "the plan asks for evidence of the aggregator, and aggregator.yaml names no device",
                mend="Write `attestation: {own: {device: tpm}}` or another device in aggregator.yaml.",
            )
        self.policies(manifest)
        _ = self.machine.instance  # made here, so that what OpenSSL lacks is said now

    def policies(self, manifest: Manifest) -> PlanPolicies:
        """The policies of a plan; reads files.

        Raises:
            PlanError: One is malformed.
            StorageError: One cannot be read.
        """

        def read(file: CodeFile) -> bytes:
            with file_errors(f"read {file.path}"):
                return self.blobs.path(file.sha256).read_bytes()

        return policies_of(manifest, read)
