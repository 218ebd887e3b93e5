"""Questions about masked sums that a person of the site has to answer, in `questions/ID.json`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from hanse.core.journal.sum_records import AgreedOverlap, CellsAgreed, FailuresPermitted
from hanse.core.values.canonical import digest_of
from hanse.core.values.schema import Digest, Label, Name, Strict
from hanse.core.values.sums.ready import MOST_MEMBERS
from hanse.errors import ConfigError
from hanse.files.atomic import write_file
from hanse.files.errors import file_errors
from hanse.privacy.secagg.cells import EarlierRoster, Overlap, question

_ID_CHARS = 12


class CellsQuestion(Strict):
    """May a roster be accepted that overlaps earlier ones over the same data?

    Attributes:
        run_id: The run that waits.
        asked_ms: When it was asked, milliseconds since 1970.
        signers: Fingerprints of the roster that waits, by name.
        data: Names of the data sources.
        paths: Salted digests of their resolved paths.
    """

    kind: Literal["cells"] = "cells"
    run_id: str = Field(max_length=128)
    asked_ms: int = Field(ge=0)
    plan_digest: Digest
    cell: Label
    signers: Annotated[dict[Name, Digest], Field(max_length=MOST_MEMBERS)]
    overlaps: tuple[AgreedOverlap, ...] = Field(max_length=1_000)
    data: tuple[Label, ...] = Field((), max_length=1_000)
    paths: tuple[Digest, ...] = Field((), max_length=1_000)

    @property
    def id(self) -> str:
        """Name of the question: the same for the same rosters, whenever they meet."""
        return _id(self.model_dump(mode="json", exclude={"run_id", "asked_ms"}))

    @property
    def text(self) -> str:
        """The question, for a person."""
        overlaps = [
            Overlap(EarlierRoster(each.plan_digest, each.cell, each.signers), each.disclosed)
            for each in self.overlaps
        ]
        return question(self.cell, overlaps)

    def permission(self, by: str, reason: str) -> CellsAgreed:
        """A person's yes, for the journal."""
        told = self.model_dump(include={"plan_digest", "cell", "signers", "overlaps", "data", "paths"})
        return CellsAgreed(**told, by=by, reason=reason)


class FailuresQuestion(Strict):
    """May further tasks be performed, where tasks failed for what may be reasons of the data?

    Attributes:
        run_id: The run that waits.
        asked_ms: When it was asked, milliseconds since 1970.
        failures: Number of tasks that failed.
    """

    kind: Literal["failures"] = "failures"
    run_id: str = Field(max_length=128)
    asked_ms: int = Field(ge=0)
    plan_digest: Digest
    failures: int = Field(ge=1)

    @property
    def id(self) -> str:
        """Name of the question: one for the site, whichever run waits."""
        return _id(["failures"])

    @property
    def text(self) -> str:
        """The question, for a person."""
        return (
            f"{self.failures} masked tasks failed at this site, of all runs together. Whether a task fails "
            "can depend on the data of one person, and a model can be built for that; this site's log says "
            "why they failed. Permit further tasks only if the reasons have nothing to do with single "
            "persons."
        )

    def permission(self, by: str, reason: str) -> FailuresPermitted:
        """A person's yes, for the journal."""
        return FailuresPermitted(run_id=self.run_id, plan_digest=self.plan_digest, by=by, reason=reason)


Question = CellsQuestion | FailuresQuestion
_ANY: TypeAdapter[Question] = TypeAdapter(Annotated[Question, Field(discriminator="kind")])


class Questions:
    """Reads and writes the questions of a site.

    Args:
        directory: The folder `questions` of the site; made when there is one.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def ask(self, asked: Question) -> None:
        """Write a question down, for a person to find.

        Raises:
            StorageError: The folder cannot be written.
        """
        write_file(self._place(asked.id), asked.model_dump_json(indent=2).encode(), mode=0o600)

    def is_open(self, name: str) -> bool:
        """Check if a question waits for its answer."""
        return self._place(name).is_file()

    async def until_answered(
        self, name: str, sleep: Callable[[float], Awaitable[None]], look_s: float
    ) -> None:
        """Wait until a question is answered: its file is deleted once the answer is recorded.

        Args:
            name: Of the question.
            sleep: Waits, seconds.
            look_s: How often to look.
        """
        while self.is_open(name):
            await sleep(look_s)

    def drop(self, name: str) -> None:
        """Take a question off that is answered, or of no more use.

        Raises:
            StorageError: The folder cannot be written.
        """
        with file_errors(f"delete {self._place(name)}"):
            self._place(name).unlink(missing_ok=True)

    def all(self) -> tuple[Question, ...]:
        """All open questions, the oldest first.

        Raises:
            StorageError: They cannot be read.
        """
        found = []
        with file_errors(f"read {self._directory}"):
            for path in self._directory.glob("*.json"):
                try:
                    found.append(_ANY.validate_json(path.read_bytes()))
                except (ValidationError, FileNotFoundError):
                    continue  # damaged, or answered meanwhile: the agent asks again where it has to
        return tuple(sorted(found, key=lambda each: (each.asked_ms, each.id)))

    def find(self, prefix: str) -> Question:
        """The one open question whose name begins so.

        Raises:
            ConfigError: There is none, or several.
            StorageError: They cannot be read.
        """
        found = self.all()
        matching = [each for each in found if each.id.startswith(prefix)]
        if len(matching) == 1:
            return matching[0]
        raise ConfigError(
            f"{len(matching)} open questions begin with {prefix[:80]!r}",
            mend=f"Give one of: {', '.join(each.id for each in found) or 'none is open'}.",
        )

    def _place(self, name: str) -> Path:
        return self._directory / f"{name}.json"


def _id(content: object) -> str:
    return digest_of(content)[:_ID_CHARS]
