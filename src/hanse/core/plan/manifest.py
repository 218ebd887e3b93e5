"""Manifest of a plan: the plan with the digests of its files.

Its canonical JSON is what travels; the SHA-256 of that is the plan's name everywhere.
"""

from __future__ import annotations

import json
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from hanse.core.plan.plan import MOST_FILES, Plan
from hanse.core.plan.section import PlanSection
from hanse.core.values.canonical import canonical_json, sha256
from hanse.core.values.schema import CodePath, Digest, problem_of
from hanse.errors import PlanError, TamperedError

MAX_CODE_BYTES = 50_000_000
"""Largest file of code; it is read whole."""


class CodeFile(PlanSection):
    """One file of a plan's bundle: of its code, or the model it starts from."""

    path: CodePath
    sha256: Digest
    size: int = Field(ge=0, le=1 << 40)


class Manifest(PlanSection):
    """A plan with its exact code: what the plan's digest is the SHA-256 of."""

    format: Literal["hanse-plan/1"] = "hanse-plan/1"
    plan: Plan
    files: tuple[CodeFile, ...] = Field(max_length=MOST_FILES)
    initial_model: CodeFile | None = None

    @model_validator(mode="after")
    def _files_are_the_code(self) -> Self:
        if sorted(file.path for file in self.files) != sorted(self.plan.code):
            raise ValueError("the files of the manifest are not the files that the plan lists under `code`")
        for file in self.files:
            if file.size > MAX_CODE_BYTES:
                raise ValueError(f"{file.path} is larger than {MAX_CODE_BYTES // 10**6} MB")
        named = self.plan.initial_model if self.plan.first_model == "file" else None
        if (self.initial_model.path if self.initial_model else None) != named:
            raise ValueError("the `initial_model` of the manifest is not the one that the plan names")
        return self

    def to_bytes(self) -> bytes:
        """The canonical form."""
        return canonical_json(self.model_dump(mode="json"))

    @property
    def digest(self) -> str:
        """The plan's digest: SHA-256 of the canonical form."""
        return sha256(self.to_bytes())

    @classmethod
    def from_bytes(cls, data: bytes, digest: str) -> Self:
        """Read a manifest that another party sent.

        Raises:
            TamperedError: The bytes are not those that `digest` names.
            PlanError: They are not a manifest as `to_bytes` writes it.
        """
        if sha256(data) != digest:
            raise TamperedError(f"the plan received is not plan {digest[:12]}: its SHA-256 differs")
        try:
            # Strict: read leniently, "20" and 20 would be two plans that mean the same.
            manifest = cls.model_validate_json(data, strict=True)
            value = json.loads(data)
            canonical = canonical_json(value)
        except ValidationError as error:
            raise PlanError(
                f"this version of Hanse does not understand plan {digest[:12]}: {problem_of(error)}"
            ) from None
        except ValueError as error:
            raise PlanError(f"plan {digest[:12]} holds what no plan can hold: {error}") from None
        if canonical != data:
            raise PlanError(f"plan {digest[:12]} is not in canonical form")
        if manifest.to_bytes() != data:  # a second digest of one plan
            place = _first_difference(value, json.loads(manifest.to_bytes()))
            raise PlanError(f"plan {digest[:12]} does not write `{place}` as a manifest does")
        return manifest


def _first_difference(sent: Any, written: Any, place: str = "") -> str:
    """The path to the first key that two JSON values do not share; empty where they are the same."""
    if canonical_json(sent) == canonical_json(written):
        return ""
    if not (isinstance(sent, dict) and isinstance(written, dict)):
        return place
    for key in sorted(sent.keys() | written.keys()):
        inner = f"{place}.{key}".removeprefix(".")
        if key not in sent or key not in written:
            return inner
        if found := _first_difference(sent[key], written[key], inner):
            return found
    return place
