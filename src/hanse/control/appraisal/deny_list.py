"""The deny list of a party, `attestation/deny.json`: it refuses what policies accept, and only grows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from hanse.attestation.base import Appraisal, Aspect, Check, Tier
from hanse.core.values.canonical import sha256
from hanse.core.values.safe_text import is_safe
from hanse.core.values.schema import Name, Strict, problem_of
from hanse.core.values.statements import CertifiedStatement, SignedStatement
from hanse.errors import ConfigError, HanseError, TamperedError
from hanse.files.atomic import write_file
from hanse.files.errors import file_errors

DENY_FILE = "deny.json"
MOST_ENTRIES = 1_000
_MOST_BYTES = 1 << 20
_MEND = (
    "Put back a copy of the file. Without one, move it away and deny again with `hanse attest deny`; until "
    "then all evidence is refused."
)

EntryKind = Literal["machine", "measurement", "advisory"]
Signed = SignedStatement | CertifiedStatement


class DenyEntry(Strict):
    """Something that is refused.

    Attributes:
        kind: What the value is: the identity of a machine, a measured value, or a published advisory.
        value: As an appraisal states it.
        reason: Why, in a sentence.
        added_ms: When, milliseconds since 1970.
    """

    kind: EntryKind
    value: Annotated[str, Field(min_length=1, max_length=300)]
    reason: Annotated[str, Field(min_length=1, max_length=500)]
    added_ms: int = Field(ge=0, le=2**53)


class DenyFile(Strict):
    """A deny list; the body of a signed statement."""

    format: Literal["hanse-deny-1"] = "hanse-deny-1"
    federation: Name
    role: Literal["aggregator", "collaborator"]
    name: Name
    entries: tuple[DenyEntry, ...] = Field((), max_length=MOST_ENTRIES)


@dataclass(frozen=True, slots=True)
class DenyOwner:
    """The party whose list it is, and how its signature is checked.

    Attributes:
        federation: Its federation.
        role: Its role.
        name: Its name.
        verify: Raises where a statement was not signed by the party for the purpose of deny lists.
    """

    federation: str
    role: Literal["aggregator", "collaborator"]
    name: str
    verify: Callable[[Signed], None]


@dataclass(frozen=True, slots=True)
class Denied:
    """A deny list as it was read.

    Attributes:
        entries: What is refused.
        digest: SHA-256 of the file; None where there is no list.
    """

    entries: tuple[DenyEntry, ...] = ()
    digest: str | None = None

    def checks(self, appraisal: Appraisal) -> tuple[Check, ...]:
        """Lines of a verdict for what the list refuses of a machine."""
        return tuple(_check(entry) for entry in self.entries if _concerns(entry, appraisal))


class DenyList:
    """Reads the list of a party, at each appraisal and before each release of keys.

    Remembers what it has read: within one process no entry disappears.

    Args:
        path: The file; missing where nothing is denied.
        owner: The party.
    """

    def __init__(self, path: Path, owner: DenyOwner) -> None:
        self.path = path
        self._owner = owner
        self._seen: tuple[DenyEntry, ...] = ()
        self._last: tuple[bytes, Denied] | None = None

    def read(self) -> Denied:
        """The list as it stands.

        Raises:
            TamperedError: It is damaged, not signed by this party, or lacks what was read before.
        """
        with file_errors(f"read {self.path}"):
            try:
                with self.path.open("rb") as file:
                    data = file.read(_MOST_BYTES + 1)
            except FileNotFoundError:
                data = b""
        if self._last is None or self._last[0] != data:
            found = self._parsed(data) if data else Denied()
            if not set(self._seen) <= set(found.entries):
                raise TamperedError(
                    f"the deny list {self.path} lacks entries that it had: a deny list only grows",
                    mend="Put the file back as it was.",
                )
            self._seen, self._last = found.entries, (data, found)
        return self._last[1]

    def add(self, entries: Iterable[DenyEntry], sign: Callable[[dict[str, Any]], Signed]) -> Denied:
        """Add entries, and sign the list; durable when this returns.

        Args:
            entries: What to refuse from now on; what is there already is left alone.
            sign: Signs the body for the purpose `hanse.pki.deny_lists.DENY_LIST`.

        Raises:
            ConfigError: The list is full.
            TamperedError: See `read`.
            StorageError: The disk refuses.
        """
        before = self.read().entries
        known = {(entry.kind, entry.value) for entry in before}
        new = [entry for entry in entries if (entry.kind, entry.value) not in known]
        if len(before) + len(new) > MOST_ENTRIES:
            raise ConfigError(f"{self.path} has {len(before)} entries; at most {MOST_ENTRIES} are kept")
        owner = self._owner
        body = DenyFile(
            federation=owner.federation, role=owner.role, name=owner.name, entries=(*before, *new)
        )
        statement = sign(body.model_dump(mode="json"))
        data = json.dumps(statement.model_dump(mode="json"), indent=2).encode() + b"\n"
        write_file(self.path, data, mode=0o600)
        return self.read()

    def _parsed(self, data: bytes) -> Denied:
        try:
            if len(data) > _MOST_BYTES:
                raise TamperedError(f"it has more than {_MOST_BYTES} bytes")
            statement = _statement(data)
            self._owner.verify(statement)
            body = DenyFile.model_validate_json(json.dumps(statement.body))
            stated = body.federation, body.role, body.name
            if stated != (self._owner.federation, self._owner.role, self._owner.name):
                raise TamperedError(f"it is that of {body.role} {body.name} in {body.federation}")
            if not all(is_safe(entry.value) and is_safe(entry.reason) for entry in body.entries):
                raise TamperedError("it has text that is not printable")
        except (HanseError, ValidationError, ValueError, RecursionError) as error:
            why = error.message if isinstance(error, HanseError) else _problem(error)
            raise TamperedError(f"the deny list {self.path} does not count: {why}", mend=_MEND) from None
        return Denied(body.entries, sha256(data))


def _statement(data: bytes) -> Signed:
    value = json.loads(data)
    kind = CertifiedStatement if isinstance(value, dict) and "certificate" in value else SignedStatement
    return kind.model_validate(value)


def _problem(error: Exception) -> str:
    return problem_of(error) if isinstance(error, ValidationError) else str(error)[:200]


def _concerns(entry: DenyEntry, appraisal: Appraisal) -> bool:
    value = entry.value.lower()
    match entry.kind:
        case "machine":
            return value == appraisal.machine.lower()
        case "measurement":
            return any(value == measured.lower() for measured in appraisal.measured.values())
        case "advisory":
            return any(value == advisory.lower() for advisory in appraisal.advisories)


def _check(entry: DenyEntry) -> Check:
    return Check(
        component="deny list",
        aspect=Aspect.INSTANCE_IDENTITY,
        tier=Tier.CONTRAINDICATED,
        expected="nothing that the verifier's deny list names",
        seen=f"{entry.kind} {entry.value}",
        note=entry.reason,
        mend="Run the party on another machine or image, or mend what the entry names.",
    )
