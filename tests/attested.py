"""Parties that show evidence in tests: a TPM in the tests' hands, and plans that ask for it."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import Any

from tests.federations import MODEL, FederationFixture
from tests.parties import signing_key
from tests.policy_files import whole_text
from tests.tpm.activate import opened
from tests.tpm.forge import Tpm, policy

from hanse.attestation.attesters.base import Attester
from hanse.attestation.base import Evidence, Kind
from hanse.attestation.instance import Instance, Occasion
from hanse.attestation.tpm.activation import Credential
from hanse.control.appraisal.options import EvidenceOptions
from hanse.control.appraisal.own_machine import OwnMachine
from hanse.core.plan.plan import Plan
from hanse.core.values.evidence.device_keys import DeviceKeys
from hanse.pki.introductions import introduce_site, key_fingerprint
from hanse.wire.messages.evidence import AttestReply, AttestRequest, Introduction, Shown

POLICY = "machines.toml"
NONCE = "5" * 64


class SoftTpm(Attester):
    """A TPM in the tests' hands as the device of a machine."""

    kind = Kind.TPM
    event_log = b""

    def __init__(self, tpm: Tpm | None = None) -> None:
        self.tpm = tpm or Tpm()

    def keys(self) -> DeviceKeys:
        return DeviceKeys(ek=self.tpm.ek_area.hex(), ak=self.tpm.ak_area.hex())

    def activate(self, challenge: bytes) -> bytes:
        return opened(Credential.from_file(challenge), self.tpm, self.tpm.activated.ak_name)

    def evidence(self, report_data: bytes) -> Evidence:
        return self.tpm.evidence(report_data)

    def close(self) -> None:
        pass


def machine(tpm: Tpm | None = None) -> OwnMachine:
    """A machine with such a TPM, and a new instance."""
    return OwnMachine(partial(Instance.start, os.urandom), SoftTpm(tpm), rehearsal=False)


def options(tpm: Tpm | None = None) -> EvidenceOptions:
    """Options of a party whose machine has such a TPM."""
    return EvidenceOptions(attester=SoftTpm(tpm))


def asking(*, aggregator: bool = False, sites: bool = True, **changes: Any) -> dict[str, Any]:
    """A plan that asks for evidence, and accepts the machine of `Tpm()`."""
    section: dict[str, Any] = dict(changes)
    if aggregator:
        section["aggregator"] = POLICY
    if sites:
        section["collaborators"] = POLICY
    text = whole_text(tpm=policy(Tpm())).encode()
    return {"attestation": section, "others": {POLICY: text}, "initial": MODEL}


class HandSite:
    """A site that exchanges evidence as a test has it.

    Attributes:
        machine: Its machine.
        name: Its name.
    """

    def __init__(self, fixture: FederationFixture, run_id: str, name: str = "a", **tpm: Any) -> None:
        self.fixture = fixture
        self.run_id = run_id
        self.name = name
        self.machine = machine(replace(Tpm(), **tpm))

    async def step(self, **fields: Any) -> AttestReply:
        """A request of this site."""
        request = AttestRequest(run_id=fields.pop("run_id", self.run_id), **fields)
        return await self.fixture.upstream(self.name).attest(request)

    async def begun(self, nonce: str = NONCE) -> AttestReply:
        """The step that asks the aggregator for its nonce."""
        return await self.step(device=await self.machine.keys(), nonce=nonce)

    async def shown(self, reply: AttestReply, **changes: Any) -> dict[str, Any]:
        """Fields of the step that shows evidence for the aggregator's nonce, true unless changed."""
        run, credentials = self.fixture.run(self.run_id), self.fixture.credentials[self.name]
        policy_digest = _policy_digest(run.plan, self.fixture, run)
        occasion = Occasion(
            purpose="run",
            verifier=key_fingerprint(self.fixture.identity.certificate),
            nonce=reply.nonce or NONCE,
            federation="north",
            role="collaborator",
            name=self.name,
            signer=signing_key(credentials).fingerprint,
            run=self.run_id,
            plan=run.plan_digest,
            roster=run.roster.digest,
            policy=policy_digest,
        )
        shown, _ = await self.machine.show(replace(occasion, **changes), reply.challenge)
        return {"answered": reply.nonce, "shown": shown, "signed": self.introduced(reply, shown)}

    def introduced(self, reply: AttestReply, shown: Shown) -> Any:
        """What the site signs beside its evidence."""
        run, credentials = self.fixture.run(self.run_id), self.fixture.credentials[self.name]
        introduction = Introduction(
            federation="north",
            role="collaborator",
            name=self.name,
            run_id=self.run_id,
            plan_digest=run.plan_digest,
            nonce=reply.nonce or NONCE,
            roster=reply.roster or "0" * 64,
            seal=shown.seal,
            speak=shown.speak,
            evidence=shown.evidence_digest,
        )
        return introduce_site(signing_key(credentials), introduction)

    async def accepted(self) -> AttestReply:
        """A whole exchange."""
        reply = await self.begun()
        return await self.step(**await self.shown(reply))


def _policy_digest(plan: Plan, fixture: FederationFixture, run: Any) -> str:
    from hanse.control.appraisal.plan_policies import policies_of

    found = policies_of(run.manifest, lambda file: fixture.blobs.path(file.sha256).read_bytes())
    assert found.collaborators is not None
    return found.collaborators.digest
