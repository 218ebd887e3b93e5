"""What every `ServiceWorld` stands on: identities, which take long to make, a plan, folders to die in."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from tests.blobs import put
from tests.deterministic.fault_plan import Shape

from hanse.aggregator.members.member_registry import CertificateLifetimes, MemberRegistry
from hanse.core.journal.membership import STREAM
from hanse.core.plan.manifest import CodeFile, Manifest
from hanse.core.values.canonical import sha256
from hanse.core.values.identity import Party, Role
from hanse.core.values.peer import Peer
from hanse.pki.authority import Authority
from hanse.pki.certificates import peer_of, pem_of, read_certificate
from hanse.pki.credentials import Credentials
from hanse.pki.enrolment import request_certificate
from hanse.pki.key_statements import enrolment_of
from hanse.pki.keys import new_key
from hanse.pki.signing_key import SigningKey
from hanse.storage.base import BlobStore
from hanse.storage.journal_memory import MemoryJournal
from hanse.wire.tensors import encode

BEGIN = datetime(2026, 5, 4, 10, tzinfo=UTC)
SITES = ("a", "b", "c")
LIFETIMES = CertificateLifetimes(collaborator=timedelta(days=30), operator=timedelta(days=30))

CODE = b"""
import numpy as np

import hanse


class Trainer:
    # Numbers whose sum is another in another order.

    def __init__(self, site):
        self.own = np.float32(sum(site.name.encode()) % 97) / np.float32(7)
        self.examples = 3 + sum(site.name.encode()) % 11

    def parameters(self):
        return {"w": np.linspace(0.1, 0.9, 5, dtype=np.float32) * self.own, "b": np.zeros(3)}

    def train(self, parameters, task):
        w = np.sin(parameters["w"] * self.own) + np.random.rand(5).astype(np.float32)
        loss = float(np.abs(w).mean())
        return hanse.TaskResult(self.examples, {"loss": loss}, {"w": w, "b": parameters["b"] + loss})

    def evaluate(self, parameters, task):
        return hanse.TaskResult(self.examples, {"loss": float((parameters["w"] * self.own).sum())})


def learner(site):
    return Trainer(site)


def stream(federation):
    model, taken = None, []
    for update in federation.stream("train"):
        taken.append(update)
        if len(taken) == 2:
            model = dict(federation.model)
            for one in taken:
                model = {name: model[name] + one.delta[name] / 3 for name in model}
            federation.commit(model, {"stale": sum(one.staleness for one in taken)})
            taken = []
"""
SECURE_CODE = CODE.replace(
    b"    def parameters",
    b"""        examples, scale = site.data["numbers"].read_text().split()
        self.examples, self.own = int(examples), np.float32(scale) * self.own

    def parameters""",
).replace(b"np.sin(parameters", b"self.own * np.sin(parameters")
"""The same, of sites whose data say how many examples they have, and how large their numbers are."""
NUMBERS = {"a": "12 1", "b": "13 2", "c": "3 0.5"}
"""The data of each site."""
FIRST = {"w": [0.5, 0.25, 0.125, 1.5, -2.0], "b": [0.0, 1.0, 2.0]}


@dataclass(frozen=True)
class ServiceFixture:
    """A federation whose members have their keys; made once.

    Attributes:
        directory: Holds the folders that lives begin with: `aggregator`, and one for each site.
        membership: The journal with its members.
    """

    directory: Path
    authority: Authority
    operator: Peer
    membership: MemoryJournal

    def journal(self, sites: tuple[str, ...]) -> MemoryJournal:
        """A journal with these members and the operator, and no run yet."""
        journal = MemoryJournal()
        for record in self.membership.read(STREAM):
            if record.body["name"] in (*sites, "operator"):
                journal.append(STREAM, [(record.kind, record.body)], time_ms=record.time_ms)
        return journal

    def identity(self, directory: Path) -> Credentials:
        """The credentials in a folder of a party."""
        return Credentials.load(directory / "identity", BEGIN)


def forget_fixture() -> None:
    """Delete the federation of this process, if any: one of pytest-xdist ends without `atexit`."""
    if service_fixture.cache_info().currsize:
        _delete(service_fixture().directory)
        service_fixture.cache_clear()


def _delete(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)


@cache
def service_fixture() -> ServiceFixture:
    """The one federation of this process."""
    directory = Path(tempfile.mkdtemp(prefix="hanse-deterministic-", dir=memory()))
    atexit.register(_delete, directory)
    since = BEGIN - timedelta(hours=1)
    authority = Authority.create("north", BEGIN - timedelta(days=1), timedelta(days=3650))
    journal = MemoryJournal()
    registry = MemberRegistry(journal, authority, lifetimes=LIFETIMES, clock=lambda: since)
    key, hub = new_key(), Party("north", Role.AGGREGATOR, "hub")
    certificate = authority.issue(
        key.public_key(), hub, now=since, lifetime=timedelta(days=30), hosts=("localhost",)
    )
    Credentials.save_new(
        directory / "aggregator" / "identity", key, pem_of(certificate), pem_of(authority.certificate), BEGIN
    )
    for name in SITES:
        key, party, signing_key = new_key(), Party("north", Role.COLLABORATOR, name), SigningKey.create()
        signing_key.save(directory / name / "identity")
        _, issued = registry.sign(
            name, Role.COLLABORATOR, request_certificate(key, party), enrolment_of(signing_key, party)
        )
        Credentials.save_new(directory / name / "identity", key, issued.certificate, issued.authority, BEGIN)
    party = Party("north", Role.OPERATOR, "operator")
    enrolment = enrolment_of(SigningKey.create(), party)
    _, issued = registry.sign("operator", Role.OPERATOR, request_certificate(new_key(), party), enrolment)
    operator = peer_of(read_certificate(issued.certificate))
    return ServiceFixture(directory, authority, operator, journal)


def memory() -> str | None:
    """A file system in memory where there is one: a file there is as durable as it ever gets."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def manifest_of(shape: Shape, blobs: BlobStore) -> Manifest:
    """The plan of a shape, uploaded with its code."""
    import numpy as np

    more: dict[str, object] = {"code": ["federation.py"], "learner": "federation:learner"}
    if shape.stream:
        more["workflow"] = "federation:stream"
    text = SECURE_CODE if shape.secure else CODE
    code = CodeFile(path="federation.py", sha256=put(blobs, text), size=len(text))
    first = None
    if shape.given:
        data = encode({"w": np.array(FIRST["w"], np.float32), "b": np.array(FIRST["b"])})
        put(blobs, data)
        first = CodeFile(path="first.safetensors", sha256=sha256(data), size=len(data))
    manifest = Manifest(plan=shape.plan(**more), files=(code,), initial_model=first)
    put(blobs, manifest.to_bytes())
    return manifest


class Folders:
    """The disk of one process, life after life: what a kill leaves is what the next life finds.

    Each life has a copy, so that what an earlier one still holds open or locked is not in its way.
    """

    def __init__(self, root: Path, name: str) -> None:
        self._root = root
        self._name = name
        self._life = 0
        self.now = service_fixture().directory / ("aggregator" if name == "aggregator" else name)
        self.freeze()

    def freeze(self) -> Path:
        """What is on the disk at this moment becomes the next life's."""
        self._life += 1
        after = self._root / f"{self._name}-{self._life}"
        shutil.copytree(self.now, after)
        self.now = after
        return after
