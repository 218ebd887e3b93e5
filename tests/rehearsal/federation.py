"""A federation whose owner operates the aggregator, and whose sites show evidence of software TPMs."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.integration.deployment import Deployment, Site, change_settings, done
from tests.policy_files import whole_policy
from tests.rehearsal.firmware import PCR, Machine, Tree, change, make_tree, started
from tests.tpm.logs import firmware_log

from hanse.attestation.policy.tpm import TpmPolicy
from hanse.attestation.policy.write import toml_of
from hanse.core.values.parameters import Parameters
from hanse.wire.tensors import decode, encode

CODE = Path(__file__).parent / "code"
ROW = "hanse"
SITES = {"a": "whole", "b": "whole", "changed": "changed", "lying": "changed"}
"""Trees of the sites' machines."""
PLAN: dict[str, Any] = {
    "name": "trial",
    "code": ["passing.py", "sites.toml"],
    "learner": "passing:learner",
    "initial_model": "first.safetensors",
    "rounds": 2,
    "data": ["numbers"],
    "cohort": {"deadline": "5m", "minimum": 2, "quorum": 0.5, "grace": "200ms"},
    "tasks": {
        "train": {"discloses": {"update": "aggregate", "aggregated_by": "aggregator", "metrics": ["loss"]}}
    },
    "attestation": {"collaborators": "sites.toml", "rehearsal": True},
}
"""What is attested; exchange R is that of round R."""
SEALED: dict[str, Any] = {
    "code": ["passing.py", "sites.toml", "owner.json"],
    "initial_model": "first.sealed",
    "sealed": {"owner": "owner.json"},
}
"""Changes of the plan for a sealed run."""

AGGREGATOR: dict[str, Any] = {
    "attestation": {"rehearsal": True},
    "sandbox": "required",
    "sealed_memory": "64MB",
}
"""Settings of the aggregator, beside the owner's files."""


@dataclass
class Rehearsal:
    """A federation of a rehearsal.

    Attributes:
        deployment: The parties, run from trees.
        trees: What machines run: `whole`, and `changed` by a byte.
        machines: The machine of each site, by the site's name.
        owner: Folder of the owner's keys.
    """

    deployment: Deployment
    trees: Mapping[str, Tree]
    machines: dict[str, Machine]
    owner: Path
    mark: np.ndarray[Any, np.dtype[np.float32]] = field(default_factory=lambda: new_mark())

    def join(self, name: str, machine: Machine) -> Site:
        """Let a site join that runs on a machine."""
        site = self.deployment.join(name)
        self.machines[name] = machine
        site.settings(attestation=machine.settings, sandbox="required", sealed_memory="64MB")
        return site

    def start_aggregator(self) -> None:
        """Start the owner's aggregator; it serves when this returns."""
        folder = self.deployment.directory
        known = folder / "attestation" / "collateral" / "tcg-log" / ROW
        known.parent.mkdir(parents=True, exist_ok=True)
        known.write_bytes(firmware_log(self.trees["whole"].events))
        owner = {"key": str(self.owner / "owner.key"), "release": str(self.release_policy)}
        change_settings(folder / "aggregator.yaml", AGGREGATOR | {"owner": owner})
        self.deployment.start_aggregator()

    def start_agent(self, name: str) -> None:
        """Start the agent of a site on its machine."""
        self.deployment.start_agent(name, self.machines[name].tree.execute)

    @property
    def release_policy(self) -> Path:
        """The owner's release policy."""
        return self.owner / "release.toml"

    def release(self, *plans: Path, sites: Sequence[str] | None = None) -> None:
        """Permit sites to have the keys of plans; all that have joined, if none are named."""
        names = list(self.machines) if sites is None else sites
        digests = [json.loads(done("plan", "check", plan, "--json"))["digest"] for plan in plans]
        lines = ['format = "hanse-release-1"', f"plans = {json.dumps(digests)}"]
        lines += [] if names else ["sites = []"]
        for name in names:
            folder = self.deployment.sites[name].directory
            key = json.loads(done("collaborator", "signing-key", "--site", folder, "--json"))["fingerprint"]
            lines += ["[[sites]]", f'name = "{name}"', f'key = "{key}"']
        self.release_policy.write_text("\n".join(lines))

    def policy(self) -> str:
        """Appraisal policy of sites: machines of this federation that run the whole tree."""
        row = {"name": ROW, "pcrs": {str(PCR): self.trees["whole"].register}, "ima": "none"}
        table = {
            "rehearsal": True,
            "machines": tuple(machine.ek for machine in self.machines.values()),
            "manufacturers": {"any": "software has no maker"},
            "selection": (PCR,),
            "rows": (row,),
            "firmware": {"any": "software states what it likes"},
            "clock_safe": {"any": "power is cut in the tests"},
        }
        return toml_of(whole_policy(tpm=TpmPolicy.model_validate(table)))

    def plan(self, **changes: Any) -> Path:
        """Write the plan, with changes, and all its files."""
        folder = self.deployment.root / "plan"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(CODE, folder)
        (folder / "sites.toml").write_text(self.policy())
        (folder / "first.safetensors").write_bytes(
            encode({"weight": np.zeros(4, np.float32), "mark": self.mark})
        )
        path = folder / "plan.yaml"
        path.write_text(json.dumps({**PLAN, **changes}))
        return path

    def sealed_plan(self, **changes: Any) -> Path:
        """Write the plan of a sealed run, with changes; no file of it has the model in plain text."""
        path = self.plan(**{**SEALED, **changes})
        shutil.copy(self.owner / "owner.json", path.parent)
        plain = path.with_name("first.safetensors")
        options = ("--owner", self.owner / "owner.key", "--federation", "north", "--rehearsal")
        done("seal", plain, *options, "-o", path.with_name("first.sealed"))
        plain.unlink()
        return path

    def released_plan(self, **changes: Any) -> Path:
        """As `sealed_plan`, with the owner's permission for all sites."""
        plan = self.sealed_plan(**changes)
        self.release(plan)
        return plan

    def opened(self, sealed: Path) -> Parameters:
        """A model as its owner has it; no file of it stays."""
        plain = self.owner / "opened.safetensors"
        done("unseal", sealed, "--key", self.owner / "owner.key", "--rehearsal", "-o", plain)
        found = decode(plain.read_bytes())
        plain.unlink()
        return found


def new_mark() -> np.ndarray[Any, np.dtype[np.float32]]:
    """Eight random numbers from 1 to 2, repeated: a mean of several is the same bytes, and no others are."""
    once = 1 + np.frombuffer(secrets.token_bytes(32), np.uint32).astype(np.float64) / 2**32
    return np.tile(once.astype(np.float32), 65_536)


@contextmanager
def rehearsed(root: Path, sites: Mapping[str, str] = SITES) -> Iterator[Rehearsal]:
    """A federation whose sites have these trees; all are started."""
    with ExitStack() as stack:
        trees = {name: make_tree(root / name) for name in ("whole", "changed")}
        change(trees["changed"])
        done("owner", "create", "hospital", "-d", root / "owner")
        machines = {name: stack.enter_context(started(trees[tree])) for name, tree in sites.items()}
        if "lying" in machines:  # its firmware has not measured what it shows
            machines["lying"] = replace(machines["lying"], log=machines["a"].log)
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        for name in ("HANSE_SITE", "HANSE_FEDERATION", "HANSE_TRACEBACK", "HTTPS_PROXY", "https_proxy"):
            environment.delenv(name, raising=False)
        deployment = Deployment(root / "parties", trees["whole"].execute)
        stack.callback(deployment.close)
        found = Rehearsal(deployment, trees, {}, root / "owner")
        found.release()
        found.start_aggregator()
        for name, machine in machines.items():
            found.join(name, machine)
            found.start_agent(name)
        yield found
