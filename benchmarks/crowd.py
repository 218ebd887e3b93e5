"""A real aggregator with many enrolled collaborators, which `load.py` plays in a process of its own."""

from __future__ import annotations

import asyncio
import json
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from deployment import Deployment, free_port, hanse, wait_for_port

from hanse.assembly.operator import administration
from hanse.core.values.identity import Party, Role
from hanse.pki.credentials import Credentials
from hanse.pki.enrolment import request_certificate
from hanse.pki.key_statements import enrolment_of
from hanse.pki.keys import new_key
from hanse.pki.signing_key import SigningKey
from hanse.wire.messages.members import SignRequest
from hanse.wire.tensors import write_file

FEDERATION = "bench"
LEARNER = "def learner(site):\n    raise NotImplementedError('the load process trains nothing')\n"


@dataclass
class Load:
    """A load process.

    Attributes:
        connected_s: What it took all of its sites to connect.
    """

    process: subprocess.Popen[str]
    connected_s: float = 0.0
    _told: dict[str, queue.Queue[dict[str, Any]]] = field(default_factory=lambda: defaultdict(queue.Queue))

    def __post_init__(self) -> None:
        threading.Thread(target=self._read, daemon=True).start()

    def wait(self, what: str, timeout_s: float = 120.0) -> dict[str, Any]:
        """The next thing of this kind that it tells."""
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            with suppress(queue.Empty):
                return self._told[what].get(timeout=0.05)
            if not self._told["error"].empty():
                raise SystemExit(f"the load process failed: {self._told['error'].get()['error']}")
        raise SystemExit(f"the load process did not tell {what!r} within {timeout_s:g} s")

    def count(self, what: str) -> int:
        """How many things of this kind it has told that nobody has taken."""
        return self._told[what].qsize()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            said = json.loads(line)
            self._told[said["what"]].put(said)
        self._told["error"].put({"error": "it ended"})


@dataclass(frozen=True)
class Crowd:
    """An aggregator, and identities that may connect to it."""

    deployment: Deployment
    root: Path
    scratch: Path
    port: int

    @property
    def identities(self) -> Path:
        return self.root / "identities"

    def credentials(self, number: int) -> Credentials:
        return Credentials.load(sorted(self.identities.iterdir())[number], datetime.now(UTC))

    @contextmanager
    def load(self, sites: int, *, port: int | None = None) -> Iterator[Load]:
        """So many of the sites, connected; through another port where that is given."""
        command = [sys.executable, str(Path(__file__).with_name("load.py"))]
        command += ["--url", f"https://127.0.0.1:{port or self.port}", "--sites", str(sites)]
        command += ["--identities", str(self.identities), "--scratch", str(self.scratch)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        load = Load(process)
        try:
            load.connected_s = load.wait("connected")["seconds"]
            yield load
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def submit(self, name: str, *, sites: int, rounds: int, size: int, tensors: int = 10, **plan: Any) -> str:
        """Begin a run in which each of `sites` sends an update of `size` bytes; the run's id."""
        folder = self.root / name
        folder.mkdir()
        (folder / "trivial.py").write_text(LEARNER)
        model = {f"t{i:04d}": np.zeros(size // 4 // tensors, np.float32) for i in range(tensors)}
        write_file(folder / "model.safetensors", model)
        written = {
            "name": name,
            "code": ["trivial.py"],
            "learner": "trivial:learner",
            "initial_model": "model.safetensors",
            "rounds": rounds,
            "cohort": {"minimum": sites, "deadline": "10m", "approvals": "10m"},
            "tasks": {"train": {"discloses": {"update": "aggregate", "aggregated_by": "aggregator"}}},
            **plan,
        }
        (folder / "plan.yaml").write_text(json.dumps(written))
        submitted = hanse("run", "submit", folder / "plan.yaml", "-d", self.deployment.directory, "--json")
        return str(json.loads(submitted)["run_id"])

    def finished(self, run_id: str, timeout_s: float = 300.0) -> list[dict[str, Any]]:
        """Wait for the end of a run; its journal."""
        hanse("run", "watch", run_id, "--json", "-d", self.deployment.directory, timeout=timeout_s)
        return self.deployment.events(run_id)


@contextmanager
def crowd(sites: int, *, connections: int = 4_000) -> Iterator[Crowd]:
    """An aggregator of a federation of so many sites, which are enrolled beforehand.

    What the sites write goes to memory where the machine has a file system there:
    their disks are not the aggregator's.
    """
    memory = Path("/dev/shm")
    with (
        tempfile.TemporaryDirectory(prefix="hanse-bench-") as folder,
        tempfile.TemporaryDirectory(prefix="hanse-load-", dir=memory if memory.is_dir() else None) as scratch,
    ):
        root, port = Path(folder), free_port()
        deployment = Deployment(root)
        place = ("--host", "127.0.0.1", "--port", str(port))
        hanse("federation", "create", deployment.directory, "--name", FEDERATION, *place)
        settings = deployment.directory / "aggregator.yaml"
        default, wanted = "# connections: 2000", f"connections: {connections}"
        settings.write_text(settings.read_text().replace(default, wanted))
        asyncio.run(_enrol(deployment.directory, root / "identities", sites))
        try:
            deployment.start("aggregator", "start", deployment.directory)
            wait_for_port(port)
            yield Crowd(deployment, root, Path(scratch), port)
        finally:
            deployment.stop()


async def _enrol(directory: Path, identities: Path, sites: int) -> None:
    """Certificates from the federation's own authority, as `hanse federation sign` gives them."""
    identities.mkdir()
    async with administration(directory) as members:
        for number in range(sites):
            party, key = Party(FEDERATION, Role.COLLABORATOR, f"site-{number:04d}"), new_key()
            signing_key = SigningKey.create()
            signing_key.save(identities / party.name)
            request = SignRequest(
                name=party.name,
                csr=request_certificate(key, party),
                enrolment=enrolment_of(signing_key, party),
            )
            issued = await members.sign(request)
            Credentials.save_new(
                identities / party.name, key, issued.certificate, issued.authority, datetime.now(UTC)
            )
