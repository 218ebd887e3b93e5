"""Options of a party about evidence, as its settings have them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

from hanse.attestation.appraise import Verifiers
from hanse.attestation.attesters.base import Attester
from hanse.attestation.instance import Instance
from hanse.control.appraisal.appraiser import Appraiser
from hanse.control.appraisal.deny_list import DENY_FILE, DenyList, DenyOwner
from hanse.control.appraisal.own_machine import OwnMachine

ATTESTATION = "attestation"
"""Folder of a party with its deny list, collateral, and evidence that it was shown."""
COLLATERAL = "collateral"


@dataclass(frozen=True, slots=True)
class EvidenceOptions:
    """Options of a party about evidence, as its settings have them.

    Attributes:
        attester: The device of this machine, opened; None for none.
        collateral: Folder of collateral; None for the one in the party's folder.
        rehearsal: Whether software may play devices, where a plan says so too.
        randomness: Of the operating system.
        verifiers: Verifiers with their roots.
        secrets: Files by which others could use the device.
        instance: The instance of this process, where it was made already; None to make it when it is needed.
    """

    attester: Attester | None = None
    collateral: Path | None = None
    rehearsal: bool = False
    randomness: Callable[[int], bytes] = os.urandom
    verifiers: Verifiers = field(default_factory=Verifiers)
    secrets: tuple[Path, ...] = ()
    instance: Instance | None = None

    def machine(self) -> OwnMachine:
        """The own side of exchanges, with an instance that is made when it is first needed."""
        made = self.instance
        start = partial(Instance.start, self.randomness) if made is None else lambda: made
        return OwnMachine(start, self.attester, rehearsal=self.rehearsal)

    def appraiser(self, directory: Path, owner: DenyOwner, clock: Callable[[], datetime]) -> Appraiser:
        """The verifier's side.

        Args:
            directory: The party's folder.
            owner: The party, as the owner of its deny list.
            clock: The time, with its zone.
        """
        folder = directory / ATTESTATION
        return Appraiser(
            folder=folder,
            collateral=self.collateral or folder / COLLATERAL,
            rehearsal=self.rehearsal,
            deny=DenyList(folder / DENY_FILE, owner),
            clock=clock,
            randomness=self.randomness,
            verifiers=self.verifiers,
        )
