"""The plans that a site has seen, in `plans/DIGEST/`: their code, and the site's answer."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

from pydantic import TypeAdapter, ValidationError, model_validator

from hanse.core.plan.manifest import Manifest
from hanse.core.values.schema import Strict
from hanse.core.values.statements import Statement
from hanse.errors import ConfigError, StorageError
from hanse.files.atomic import write_file
from hanse.files.errors import file_errors
from hanse.wire.messages.sites import PlanAnswer

_MANIFEST = "manifest.json"
_ANSWER = "answer.json"
_PENDING = "pending"
_RUNS = "runs.json"
_NotedRuns = dict[str, int | None]
_NOTED_RUNS: TypeAdapter[_NotedRuns | list[str]] = TypeAdapter(_NotedRuns | list[str])
"""0.1 noted no times."""


class StoredAnswer(Strict):
    """A site's answer to a plan.

    Attributes:
        by: What gave it. A person's answer holds for later runs too; a rule is asked each time.
        statement: The answer, signed; its body is a `PlanAnswer`.
    """

    by: Literal["rule", "person"]
    statement: Statement

    @model_validator(mode="after")
    def _is_an_answer(self) -> Self:
        PlanAnswer.model_validate(self.statement.body)
        return self

    @property
    def body(self) -> PlanAnswer:
        """What was answered."""
        return PlanAnswer.model_validate(self.statement.body)

    @property
    def decided(self) -> datetime:
        """When."""
        return datetime.fromtimestamp(self.body.decided_ms / 1000, UTC)


class PlanStore:
    """Reads and writes the folders of plans.

    Args:
        directory: The `plans` folder of a site; made when there is something to keep.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def bundle(self, digest: str) -> Path:
        """Folder with the plan's code, once that is here."""
        return self._directory / digest / "bundle"

    def file(self, digest: str) -> Path:
        """File with the plan itself."""
        return self._directory / digest / _MANIFEST

    def find(self, prefix: str) -> str:
        """Complete the digest of a plan from its beginning.

        Raises:
            ConfigError: No plan here begins so, or several do.
        """
        found = self.digests()
        matching = [digest for digest in found if digest.startswith(prefix)]
        if len(matching) == 1:
            return matching[0]
        shown = ", ".join(digest[:12] for digest in matching or found) or "none"
        raise ConfigError(
            f"{len(matching)} plans in {self._directory} begin with {prefix!r}",
            mend=f"Give more or other digits; plans seen here: {shown}.",
        )

    def digests(self) -> tuple[str, ...]:
        """All plans that are here, in order."""
        return tuple(sorted(path.parent.name for path in self._directory.glob(f"*/{_MANIFEST}")))

    def used_at(self, digest: str) -> float:
        """When a plan was last asked about, answered, or wanted for a run, seconds since 1970."""
        folder = self._directory / digest
        files = (folder / name for name in (_MANIFEST, _ANSWER, _PENDING, _RUNS))
        return max(file.stat().st_mtime for file in files if file.exists())

    def decided_by_person(self, digest: str) -> bool:
        """Check if a person has answered a plan, or the answer cannot be read."""
        try:
            answer = self.answer(digest)
        except StorageError:
            return True
        return answer is not None and answer.by == "person"

    def has(self, digest: str) -> bool:
        """Whether the plan is here; its code may be not."""
        return self.file(digest).is_file()

    def manifest(self, digest: str) -> Manifest:
        """Read a plan.

        Raises:
            StorageError: It is not here, or was altered.
            PlanError: This version does not understand it.
        """
        path = self.file(digest)
        with file_errors(f"read {path}"):
            return _read_once(path.read_bytes(), digest)

    def keep(self, manifest: Manifest) -> None:
        """Write a plan down."""
        write_file(self.file(manifest.digest), manifest.to_bytes())

    def answer(self, digest: str) -> StoredAnswer | None:
        """The site's answer to a plan; None where it has not answered.

        Raises:
            StorageError: The answer cannot be read.
        """
        path = self._directory / digest / _ANSWER
        if not path.is_file():
            return None
        try:
            with file_errors(f"read {path}"):
                return StoredAnswer.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise StorageError(
                f"{path} is damaged",
                mend=f"Decide again: `hanse plan approve {digest[:12]}`.",
            ) from error

    def record(self, digest: str, answer: StoredAnswer) -> None:
        """Write the site's answer down, in place of an earlier one."""
        write_file(self._directory / digest / _ANSWER, answer.model_dump_json(indent=2).encode())
        with file_errors(f"write in {self._directory / digest}"):
            (self._directory / digest / _PENDING).unlink(missing_ok=True)

    def wait_for_person(self, digest: str, reasons: tuple[str, ...]) -> None:
        """Mark a plan as one that a person has to decide on."""
        write_file(self._directory / digest / _PENDING, "".join(f"{reason}\n" for reason in reasons).encode())

    def pending(self) -> tuple[str, ...]:
        """Plans that wait for a person."""
        return tuple(sorted(path.parent.name for path in self._directory.glob(f"*/{_PENDING}")))

    def note_runs(self, plans: Mapping[str, str], submitted_ms: Mapping[str, int | None]) -> None:
        """Note which runs each plan is wanted for at present.

        Args:
            plans: Digest of the plan, by run.
            submitted_ms: When each run was submitted, milliseconds since 1970; None where that is not known.
        """
        known = {path.parent.name for path in self._directory.glob(f"*/{_RUNS}")}
        for digest in known | set(plans.values()):
            runs = {run: submitted_ms.get(run) for run in sorted(plans) if plans[run] == digest}
            if runs != self.runs(digest):
                write_file(self._directory / digest / _RUNS, json.dumps(runs).encode())

    def runs(self, digest: str) -> dict[str, int | None]:
        """The runs that a plan is wanted for at present, in order, and when each was submitted."""
        path = self._directory / digest / _RUNS
        if not path.is_file():
            return {}
        with file_errors(f"read {path}"):
            data = path.read_bytes()
        try:
            found = _NOTED_RUNS.validate_json(data)
        except ValidationError:  # damaged: it is rewritten as soon as the aggregator names the runs
            return {}
        return found if isinstance(found, dict) else dict.fromkeys(found)


# A plan is read for every task of its runs.
_read_once = functools.lru_cache(maxsize=8)(Manifest.from_bytes)
