"""The file of an appraisal policy: TOML with a section for each kind of evidence that is accepted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from hanse.attestation.base import Kind
from hanse.attestation.policy.gpu import GpuPolicy
from hanse.attestation.policy.sgx import SgxPolicy
from hanse.attestation.policy.snp import SnpPolicy
from hanse.attestation.policy.tdx import TdxPolicy
from hanse.attestation.policy.toml import read_toml
from hanse.attestation.policy.tpm import TpmPolicy
from hanse.config.dialect import Loc
from hanse.config.document import MAX_BYTES
from hanse.core.values.canonical import canonical_json, sha256
from hanse.core.values.schema import Strict
from hanse.errors import ConfigError, PolicyError

FORMAT = "hanse-policy-1"
DRAFT = "DRAFT:"
"""Begin of a reason that a draft leaves to a person; a file that still has one is refused."""

Section = SgxPolicy | TdxPolicy | SnpPolicy | TpmPolicy | GpuPolicy


class AppraisalPolicy(Strict):
    """Sections of what a verifier accepts, one a kind of evidence; kinds without one are refused.

    Every field of a section is required. `{ any = "reason" }` is the only way to accept every value, and
    the review shows it.
    """

    format: Literal["hanse-policy-1"] = Field(description=f"Version of this file: `{FORMAT}`.")
    sgx: SgxPolicy | None = Field(None, description="Enclaves of Intel SGX.")
    tdx: TdxPolicy | None = Field(None, description="Trust domains of Intel TDX.")
    snp: SnpPolicy | None = Field(None, description="Guests of AMD SEV-SNP.")
    tpm: TpmPolicy | None = Field(None, description="Machines with a TPM 2.0.")
    gpu: GpuPolicy | None = Field(None, description="GPUs of NVIDIA.")

    @model_validator(mode="after")
    def _some_section(self) -> AppraisalPolicy:
        if not self.sections:
            raise ValueError(f"no section: it accepts no kind of evidence; known are {_KNOWN}")
        alone = [kind for kind, section in self.sections.items() if is_rehearsal(section)]
        if alone and len(self.sections) > 1:
            raise ValueError(
                f"the section {alone[0]} is for a rehearsal, and stands alone: software that plays a device "
                "must not count where devices do"
            )
        return self

    @property
    def sections(self) -> dict[Kind, Section]:
        """The sections, by kind."""
        found: dict[Kind, Section | None] = {kind: getattr(self, kind.value) for kind in Kind}
        return {kind: section for kind, section in found.items() if section is not None}

    @property
    def rehearsal(self) -> bool:
        """True where software that plays a device is accepted: for rehearsals only."""
        return any(is_rehearsal(section) for section in self.sections.values())

    @property
    def digest(self) -> str:
        """SHA-256 of the policy as canonical JSON: comments and order of keys do not count."""
        return sha256(canonical_json(self.model_dump(mode="json", exclude_none=True)))

    def section(self, kind: Kind) -> Section:
        """The section of a kind.

        Raises:
            PolicyError: There is none: the kind is not accepted.
        """
        found = self.sections.get(kind)
        if found is None:
            named = ", ".join(self.sections)
            raise PolicyError(
                f"the policy has no section {kind}: evidence of this kind is refused; it has {named}",
                mend="Show evidence of a kind that the policy names, or have a section added.",
            )
        return found


_KNOWN = ", ".join(Kind)


def is_rehearsal(section: Section) -> bool:
    """Decide whether a section accepts software that plays a device."""
    return isinstance(section, TpmPolicy) and section.rehearsal


def read_policy(data: bytes, file: str) -> AppraisalPolicy:
    """Read a policy.

    Args:
        data: What stands in the file.
        file: The file, as messages name it.

    Raises:
        ConfigError: It is malformed; names every problem with its place.
    """
    document = read_toml(data, file)
    policy = document.check(AppraisalPolicy)
    undecided = [
        f"{document.place(place)}: a draft has left this to a person: decide, and write the reason"
        for place in _drafted(document.value, ())
    ]
    if undecided:
        raise document.refusal(undecided)
    return policy


def _drafted(value: Any, at: Loc) -> Iterator[Loc]:
    """Places of text that begins as a draft's."""
    if isinstance(value, str) and value.startswith(DRAFT):
        yield at
    elif isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _drafted(inner, (*at, key))


def load_policy(path: Path) -> AppraisalPolicy:
    """Read a policy from a file; see `read_policy`."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as problem:
        raise ConfigError(f"cannot read {path}: {problem.strerror}", mend="Check the path.") from None
    return read_policy(data, str(path))
