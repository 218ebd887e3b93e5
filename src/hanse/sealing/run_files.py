"""Sealed files of one run: their labels, and what a key on its way to a site's instance is bound to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hanse.core.values.canonical import canonical_json
from hanse.errors import SealError
from hanse.sealing.header import OF_NO_RUN, Label, Purpose

FOR_SITES: tuple[Purpose, ...] = ("model", "initial")
"""Purposes of a file that a site starts from."""
AT_AGGREGATOR: tuple[Purpose, ...] = (*FOR_SITES, "group", "result", "state")
"""Purposes of the files that the aggregator keeps, sealed to the owner."""

SEALED_KEY = "hanse sealed key 1"
"""Purpose for which the aggregator's instance signs a key that it gives."""
AGGREGATOR_INSTANCE = "hanse aggregator instance 1"
"""Purpose for which an owner signs the keys of an instance of the aggregator."""


@dataclass(frozen=True, slots=True)
class RunLabels:
    """Labels of the files of a run.

    Attributes:
        federation: Name of the federation.
        run: Id of the run.
        plan: Digest of its plan.
        rehearsal: Whether the run is a rehearsal, whose keys nothing protects.
    """

    federation: str
    run: str
    plan: str
    rehearsal: bool = False

    def of(self, purpose: Purpose, name: str) -> Label:
        """The label of a file that the aggregator seals."""
        return self._label(purpose, name)

    def update(self, exchange: int, site: str) -> Label:
        """The label of a site's update."""
        return self._label("update", f"exchange {exchange}, {site}")

    def check(self, found: Label, path: Path, *purposes: Purpose) -> None:
        """Refuse a file that is of another run, or sealed for something else.

        Args:
            found: The label in its header.
            path: The file, for the message.
            purposes: What the file may be.

        Raises:
            SealError: Says what differs.
        """
        if found.purpose not in purposes:
            raise SealError(f"{path} is sealed as the {found}; it should be a file for {purposes[0]}")
        of_no_run = found.purpose in OF_NO_RUN
        expected = {
            "federation": self.federation,
            "run": "" if of_no_run else self.run,
            "plan": "" if of_no_run else self.plan,
            "rehearsal": self.rehearsal,
        }
        for name, value in expected.items():
            if getattr(found, name) != value:
                raise SealError(
                    f"{path} is sealed as the {found}; its {name} should be {value!r}",
                    mend="Get the file that is meant.",
                )

    def key_info(self, instance: str, digest: str) -> bytes:
        """Binding of a file's key on its way to an instance; see `hanse.sealing.keys.wrap_key`.

        Args:
            instance: Name of the instance that gets the key.
            digest: Digest of the sealed file.
        """
        return b"hanse run key" + hashlib.sha256(canonical_json(self._key(instance, digest))).digest()

    def key_body(self, instance: str, digest: str, wrapped: str) -> dict[str, Any]:
        """Body that the aggregator's instance signs of a key that it gives, for the purpose `SEALED_KEY`.

        Args:
            instance: Name of the instance that gets the key.
            digest: Digest of the sealed file.
            wrapped: The wrapped key, base64.
        """
        return {**self._key(instance, digest), "wrapped": wrapped}

    def instance_body(self, seal: str, speak: str) -> dict[str, Any]:
        """Body that the owner signs of an aggregator's instance, for the purpose `AGGREGATOR_INSTANCE`.

        Args:
            seal: Its public key for what stays secret for it, hexadecimal.
            speak: Its public key for what is to be believed of it, hexadecimal.
        """
        return {**self._run(), "seal": seal, "speak": speak}

    def _run(self) -> dict[str, Any]:
        return {
            "federation": self.federation,
            "run": self.run,
            "plan": self.plan,
            "rehearsal": self.rehearsal,
        }

    def _key(self, instance: str, digest: str) -> dict[str, Any]:
        return {**self._run(), "instance": instance, "file": digest}

    def _label(self, purpose: Purpose, name: str) -> Label:
        return Label(
            purpose=purpose,
            federation=self.federation,
            run=self.run,
            plan=self.plan,
            name=name,
            rehearsal=self.rehearsal,
        )
