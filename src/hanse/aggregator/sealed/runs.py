"""Sealed runs of an aggregator: folders in memory, blobs, and the owner's word for the instance."""

from __future__ import annotations

import secrets
import tempfile
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from hanse.aggregator.sealed.blobs import RunKeys, SealedBlobs
from hanse.aggregator.sealed.release_policy import ReleasePolicyFile
from hanse.core.plan.manifest import CodeFile, Manifest
from hanse.core.plan.plan import Plan
from hanse.core.run.run import Run
from hanse.errors import ConfigError, PlanError, SealError
from hanse.files.atomic import MAX_BYTES
from hanse.files.deleting import delete_tree
from hanse.files.errors import file_errors
from hanse.sealing.file import open_sealed
from hanse.sealing.header import file_key, read_header
from hanse.sealing.keys import Randomness, SealKey
from hanse.sealing.owner import OwnerKey, read_owner
from hanse.sealing.run_files import AGGREGATOR_INSTANCE, RunLabels
from hanse.storage.base import BlobStore
from hanse.wire.tensors import read_specs

RunBlobs = Callable[[Run], Collection[str]]
"""Blobs that a run refers to."""


class SpeakingInstance(Protocol):
    """The aggregator's own instance; see `hanse.attestation.instance`."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def seal(self) -> SealKey:
        """Opens what is sealed to it."""
        ...

    @property
    def seal_public(self) -> str:
        """The public key of `seal`, hexadecimal."""
        ...

    @property
    def speak_public(self) -> str:
        """The public key that checks what it says, hexadecimal."""
        ...

    def say(self, purpose: str, body: dict[str, Any]) -> str:
        """Sign a JSON object for one purpose; base64."""
        ...


@dataclass(frozen=True, slots=True)
class Sealing:
    """Needs of sealed runs at an aggregator.

    Attributes:
        owner: Keys of the owner, who operates it.
        instance: Its instance.
        memory: Its memory folder.
        release: The owner's release policy.
        rehearsal: Whether its settings permit rehearsals.
        unfit: What else of its settings or its machine rules sealed runs out, in words; empty for nothing.
    """

    owner: OwnerKey
    instance: SpeakingInstance
    memory: Path
    release: ReleasePolicyFile
    rehearsal: bool = False
    unfit: str = ""
    randomness: Randomness = field(default=secrets.token_bytes, repr=False)


class SealedRuns:
    """Knows where the files of each run are: of a sealed one in memory, of any other in the store.

    Methods may be called from any thread.

    Args:
        federation: Name of the federation.
        blobs: The aggregator's blobs.
        sealing: What sealed runs take; None where the settings name no owner.
        references: Lists the blobs that a run refers to.
    """

    def __init__(
        self, federation: str, blobs: BlobStore, sealing: Sealing | None, references: RunBlobs
    ) -> None:
        self._federation = federation
        self._blobs = blobs
        self._sealing = sealing
        self._references = references
        self._lock = threading.Lock()
        self._open: dict[str, SealedBlobs] = {}

    @property
    def sealing(self) -> Sealing:
        """The needs of sealed runs.

        Raises:
            ConfigError: The settings name no owner, or rule sealed runs out.
        """
        if self._sealing is None:
            raise ConfigError(
                "this aggregator has no keys of an owner, and so no sealed runs",
                mend="Set `owner: {key: owner.key, release: release.toml}` and `sealed_memory` in "
                "aggregator.yaml, and restart it.",
            )
        if self._sealing.unfit:
            raise ConfigError(f"this aggregator has no sealed runs: {self._sealing.unfit}")
        return self._sealing

    def labels(self, run: Run) -> RunLabels:
        """Labels of the files of a run."""
        return RunLabels(self._federation, run.run_id, run.plan_digest, is_rehearsal(run.plan))

    def blobs_of(self, run: Run) -> BlobStore:
        """The blobs as the handlers of a run see them: those of a sealed run in plain text.

        Raises:
            ConfigError: The run is sealed, and this aggregator has no sealed runs.
            StorageError: Its folder in memory cannot be made.
        """
        return self._blobs if run.plan.sealed is None else self.sealed_blobs(run)

    def sealed_blobs(self, run: Run) -> SealedBlobs:
        """As `blobs_of`, of a run that is sealed."""
        sealing = self.sealing
        self._check_rehearsal(run.plan)
        with self._lock:
            found = self._open.get(run.run_id)
            if found is None:
                keys = RunKeys(self.labels(run), sealing.owner, sealing.instance.seal)
                found = self._open[run.run_id] = SealedBlobs(
                    *(self._blobs, self._folder(run.run_id) / "plain", keys),
                    earlier=sorted(self._references(run)),
                    randomness=sealing.randomness,
                )
            return found

    def directory(self, run: Run, otherwise: Path) -> Path:
        """The folder of a run: of a sealed one in memory.

        Raises:
            ConfigError: As `blobs_of`.
        """
        if run.plan.sealed is None:
            return otherwise
        folder = self._folder(run.run_id)
        with file_errors(f"make {folder}"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def forget(self, run: Run) -> None:
        """Forget all plain text of a run that is over."""
        if run.plan.sealed is None or self._sealing is None:
            return
        with self._lock:
            found = self._open.pop(run.run_id, None)
        if found is not None:
            found.close()
        delete_tree(self._folder(run.run_id))

    def owners_word(self, run: Run) -> str:
        """The owner's signature over this instance, base64; empty where the run cannot be sealed here."""
        if run.plan.sealed is None or self._sealing is None or self._sealing.unfit:
            return ""
        instance = self._sealing.instance
        body = self.labels(run).instance_body(instance.seal_public, instance.speak_public)
        return self._sealing.owner.sign(AGGREGATOR_INSTANCE, body).signature

    def check(self, manifest: Manifest) -> None:
        """Refuse a sealed plan that this aggregator cannot run, as it is submitted; opens the first model.

        Raises:
            PlanError: Says why.
            StorageError: A file cannot be read.
        """
        plan = manifest.plan
        if plan.sealed is None:
            return
        try:
            sealing = self.sealing
            self._check_rehearsal(plan)
            refusal = sealing.release.now().refusal_of_plan(manifest.digest)
        except ConfigError as error:
            raise PlanError(f"{plan.name} is sealed: {error.message}", mend=error.mend) from error
        if refusal:
            raise PlanError(
                f"{plan.name}: {refusal}",
                mend=f'The owner adds "{manifest.digest}" to `plans` in {sealing.release.path.name}.',
            )
        self._check_owner(manifest, sealing.owner)
        if manifest.initial_model is not None:
            try:
                self._check_first(manifest.initial_model, plan)
            except SealError as error:
                raise PlanError(f"{manifest.initial_model.path}: {error.message}", mend=error.mend) from error

    def _check_owner(self, manifest: Manifest, owner: OwnerKey) -> None:
        assert manifest.plan.sealed is not None
        named = manifest.plan.sealed.owner
        (file,) = (each for each in manifest.files if each.path == named)
        path = self._blobs.path(file.sha256)
        with file_errors(f"read {path}"), path.open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
        try:
            found = read_owner(data, named)
        except SealError as error:
            raise PlanError(error.message, mend=error.mend) from error
        if (found.seal, found.sign) != (owner.public.seal, owner.public.sign):
            raise PlanError(
                f"{named} has the keys {found.fingerprint[:16]}, and the owner who operates this aggregator "
                f"has {owner.public.fingerprint[:16]}",
                mend="Take the owner.json that was written beside the aggregator's owner.key.",
            )

    def _check_first(self, first: CodeFile, plan: Plan) -> None:
        sealing, path = self.sealing, self._blobs.path(first.sha256)
        header = read_header(path)
        RunLabels(self._federation, "", "", is_rehearsal(plan)).check(header.label, path, "initial")
        key = file_key(header, sealing.owner.seal)
        if key is None:
            raise SealError("it is not sealed to the owner who operates this aggregator")
        with file_errors(f"make a folder in {sealing.memory}"):
            folder = tempfile.TemporaryDirectory(dir=sealing.memory)
        with folder as made:
            plain = Path(made) / "first.safetensors"
            open_sealed(path, plain, key, header.label, owner=sealing.owner.public)
            read_specs(plain)

    def _check_rehearsal(self, plan: Plan) -> None:
        if is_rehearsal(plan) and not self.sealing.rehearsal:
            raise ConfigError(
                f"the plan {plan.name} is a rehearsal, which this aggregator does not permit",
                mend="Set `attestation: {rehearsal: true}` in aggregator.yaml, for a trial only.",
            )

    def _folder(self, run_id: str) -> Path:
        return self.sealing.memory / "runs" / run_id


def is_rehearsal(plan: Plan) -> bool:
    """Check if software may play the devices by a plan, so that its files are marked."""
    return plan.attestation is not None and plan.attestation.rehearsal
