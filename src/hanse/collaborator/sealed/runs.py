"""Sealed runs of a site: whose keys count, how a model is opened, and how an update is sealed."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from hanse.attestation.instance import check_said
from hanse.core.plan.manifest import Manifest
from hanse.core.values.digests import Algorithm
from hanse.core.values.evidence.claims import instance_name
from hanse.core.values.evidence.sealed_key import WrappedKey
from hanse.core.values.statements import SignedStatement
from hanse.errors import PolicyError, SealError, TrustError
from hanse.sealing.file import open_sealed, seal_file
from hanse.sealing.header import Purpose, read_header
from hanse.sealing.keys import Randomness, SealKey
from hanse.sealing.owner import Owner, load_owner
from hanse.sealing.run_files import AGGREGATOR_INSTANCE, SEALED_KEY, RunLabels
from hanse.wire.messages.evidence import Shown
from hanse.wire.messages.sites import UpdateFile

SEALED_SLACK = 65_536
"""Bytes that a sealed file may be longer than its content, besides a small part of it."""


class OwnInstance(Protocol):
    """This site's own instance; see `hanse.attestation.instance`."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def seal(self) -> SealKey:
        """Opens what is sealed to it."""
        ...


def vouched_run(
    labels: RunLabels, manifest: Manifest, bundle: Path, own: OwnInstance, shown: Shown
) -> SealedRun:
    """A sealed run, once its owner vouches for the aggregator's instance.

    Args:
        labels: Of its files.
        manifest: Its plan.
        bundle: Folder with the plan's code, whole.
        own: This site's instance.
        shown: The aggregator's, as this site has accepted it.

    Raises:
        PolicyError: The owner of the plan does not vouch for the aggregator's instance.
        StorageError: The owner's keys in the plan cannot be read.
    """
    if manifest.plan.sealed is None:
        raise ValueError(f"run {labels.run} is not sealed")
    try:
        owner = load_owner(bundle / manifest.plan.sealed.owner)
        body = labels.instance_body(shown.seal, shown.speak)
        statement = SignedStatement(body=body, key=owner.sign, signature=shown.owner)
        owner.verify(statement, AGGREGATOR_INSTANCE)
    except (SealError, ValueError) as error:
        raise PolicyError(
            f"run {labels.run} is sealed, and its owner does not vouch for the aggregator's instance "
            f"{instance_name(shown.seal, shown.speak)[:12]}: {error}"
        ) from error
    first = None if manifest.initial_model is None else manifest.initial_model.sha256
    return SealedRun(labels, owner, own, shown, first)


@dataclass(frozen=True, slots=True)
class SealedRun:
    """A sealed run whose owner vouches for the aggregator's instance.

    Attributes:
        labels: Of the run's files.
        owner: The owner of the model, as the plan names it.
        instance: This site's instance.
        aggregator: The aggregator's.
        first: Digest of the first model, as the plan names it; None where the plan has none.
        randomness: Of the operating system.
    """

    labels: RunLabels
    owner: Owner
    instance: OwnInstance
    aggregator: Shown
    first: str | None
    randomness: Randomness = field(default=secrets.token_bytes, repr=False)

    @property
    def sealed_to(self) -> str:
        """Name of the aggregator's instance, which opens updates."""
        return instance_name(self.aggregator.seal, self.aggregator.speak)

    def open_input(
        self, blob: Path, place: Path, digest: str, key: WrappedKey | None, *purposes: Purpose
    ) -> None:
        """Open what a task starts from.

        Args:
            blob: The sealed file.
            place: Where its content goes, in memory.
            digest: Digest of the sealed file, which was checked.
            key: Its key as the aggregator gave it.
            purposes: What the file may be.

        Raises:
            PolicyError: The aggregator's instance did not give the key to this one for this file, the file is
                another than it should be, or its owner has not signed it.
            StorageError: A file cannot be read or written.
        """
        if key is None:
            raise PolicyError(f"the sealed file {digest[:12]} came without its key")
        try:
            body = self.labels.key_body(self.instance.name, digest, key.wrapped)
            check_said(self.aggregator.speak, SEALED_KEY, body, key.said)
            info = self.labels.key_info(self.instance.name, digest)
            found = self.instance.seal.unwrap(base64.b64decode(key.wrapped), info)
            header = read_header(blob)
            self.labels.check(header.label, blob, *purposes)
            initial = header.label.purpose == "initial"
            if initial and digest != self.first:
                raise SealError(f"the first model {digest[:12]} is not the one that the plan names")
            open_sealed(blob, place, found, header.label, owner=self.owner if initial else None)
        except (TrustError, ValueError) as error:  # of this file, and no reason for the agent to end
            message = error.message if isinstance(error, TrustError) else str(error)
            raise PolicyError(f"the sealed file {digest[:12]} is refused: {message}") from error

    def seal_update(
        self, path: Path, target: Path, exchange: int, algorithm: Algorithm, site: str
    ) -> UpdateFile:
        """Seal an update to the aggregator's instance alone.

        Args:
            path: The update, checked.
            target: Where the sealed file goes.
            exchange: Number of the exchange that it answers.
            algorithm: What makes the digest.
            site: This site.

        Raises:
            PolicyError: The aggregator's key cannot be sealed to.
            StorageError: A file cannot be read or written.
        """
        label = self.labels.update(exchange, site)
        to = bytes.fromhex(self.aggregator.seal)
        try:
            made = seal_file(path, target, label, [to], algorithm, randomness=self.randomness)
        except SealError as error:
            raise PolicyError(f"the update cannot be sealed: {error.message}") from error
        return UpdateFile(digest=made.digest, size=made.size)
