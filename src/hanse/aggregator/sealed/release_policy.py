"""The owner's release policy: which plans and which sites may get keys of sealed models."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from hanse.attestation.policy.toml import read_toml
from hanse.config.document import MAX_BYTES
from hanse.core.values.schema import Digest, Name, Strict
from hanse.files.errors import file_errors

_Mark = tuple[int, int, int]


class ReleasedSite(Strict):
    """A site that may get keys.

    Attributes:
        name: Its name in the federation.
        key: Fingerprint of its signing key, as `hanse collaborator key` shows it at the site.
    """

    name: Name
    key: Digest


class ReleasePolicy(Strict):
    """Permissions of an owner; a certificate of the federation counts for nothing here.

    Attributes:
        format: Version of this structure.
        plans: Digests of plans.
        sites: Sites with their signing keys.
    """

    format: Literal["hanse-release-1"]
    plans: tuple[Digest, ...] = Field(max_length=1_000)
    sites: tuple[ReleasedSite, ...] = Field(max_length=10_000)

    def refusal_of_plan(self, plan: str) -> str:
        """Why no site gets keys in a run of a plan; empty where sites may."""
        return "" if plan in self.plans else f"the owner's release policy does not list plan {plan[:12]}"

    def refusal(self, plan: str, site: str, key: str | None) -> str:
        """Why a site gets no keys; empty where it may have them.

        Args:
            plan: Digest of the plan.
            site: Name of the site.
            key: Fingerprint of the signing key with which it agreed to the plan; None for none.
        """
        if problem := self.refusal_of_plan(plan):
            return problem
        listed = [each.key for each in self.sites if each.name == site]
        if key is not None and key in listed:
            return ""
        if not listed:
            return f"the owner's release policy does not list the site {site}"
        return (
            f"the owner's release policy lists {site} with the signing key {listed[0][:16]}, and the site "
            f"signs with {(key or 'none')[:16]}"
        )


def read_release_policy(data: bytes, place: str) -> ReleasePolicy:
    """Read a release policy (TOML).

    Args:
        data: The bytes of the file.
        place: Where they are, for errors.

    Raises:
        ConfigError: They are not a release policy; names every problem.
    """
    return read_toml(data, place).check(ReleasePolicy)


class ReleasePolicyFile:
    """A release policy in a file, read again whenever the file has changed.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read: tuple[_Mark, ReleasePolicy] | None = None

    def now(self) -> ReleasePolicy:
        """The policy as it stands.

        Raises:
            ConfigError: It is not a release policy.
            StorageError: It cannot be read.
        """
        with file_errors(f"read {self.path}"):
            found = self.path.stat()
            mark = found.st_ino, found.st_size, found.st_mtime_ns
            if self._read is not None and self._read[0] == mark:
                return self._read[1]
            with self.path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        policy = read_release_policy(data, str(self.path))
        self._read = mark, policy
        return policy
