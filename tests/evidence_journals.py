"""Journals of runs whose parties show evidence, with the files of evidence beside them."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.journals import MODEL, NOW, NOW_MS, PLAN, RUN, SITES, UPDATE, Author, World
from tests.policy_files import whole_policy
from tests.snp import vectors
from tests.snp.forge import Forged, revocation_list, roots
from tests.tpm.forge import Tpm

from hanse.attestation.appraise import Verifiers, appraise
from hanse.attestation.base import Circumstances, Evidence, Kind, Tier
from hanse.attestation.claims import report_data
from hanse.attestation.evidence_file import write_evidence
from hanse.attestation.policy.file import AppraisalPolicy
from hanse.attestation.policy.write import toml_of
from hanse.attestation.snp.verifier import SnpVerifier
from hanse.attestation.tpm.verifier import TpmVerifier
from hanse.core.plan.manifest import CodeFile, Manifest
from hanse.core.plan.plan import Plan
from hanse.core.run.evidence.commands import RecordAppraisal, ReleaseKeys, StartInstance
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound, RecordAggregate
from hanse.core.run.tasks import AcceptResult, FailTask
from hanse.core.values.canonical import canonical_json, sha256
from hanse.core.values.evidence.claims import Claims, instance_name
from hanse.core.values.evidence.verdict import Verdict
from hanse.core.values.identity import Role
from hanse.core.values.model_ref import ModelRef
from hanse.pki.credentials import Credentials
from hanse.sealing.keys import PUBLIC_BYTES
from hanse.sealing.owner import Owner
from hanse.wire.messages.evidence import OUTCOME_SAID
from hanse.wire.messages.sites import UpdateFile

LIST = "amd/vcek/Genoa/crl"
DAY_MS = 86_400_000
VERIFIERS = Verifiers(snp=SnpVerifier(roots()))
"""Verifiers that take the reports of the tests' own making."""
SITE_POLICY = whole_policy(snp=vectors.policy_values(revocation="required"))
LATER_MODEL = ModelRef("d" * 64)


@dataclass
class Keys:
    """The keys of an instance, the same for a name each time."""

    name: str
    _speak: Ed25519PrivateKey = field(init=False)

    def __post_init__(self) -> None:
        seed = hashlib.sha256(self.name.encode()).digest()
        self._speak = Ed25519PrivateKey.from_private_bytes(seed)

    @property
    def seal(self) -> str:
        return hashlib.sha256(f"seal of {self.name}".encode()).hexdigest()

    @property
    def speak(self) -> str:
        return self._speak.public_key().public_bytes_raw().hex()

    @property
    def der(self) -> bytes:
        return self._speak.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @property
    def instance(self) -> str:
        return instance_name(self.seal, self.speak)

    def say(self, purpose: str, body: dict[str, Any]) -> str:
        signature = self._speak.sign(canonical_json({"purpose": purpose, "body": body}))
        return base64.b64encode(signature).decode("ascii")


PASSING = Verdict(
    kind="snp",
    accepted=True,
    vector={"executables": 2, "runtime-opaque": 2},
    policy=SITE_POLICY.digest,
    evidence="0" * 64,
    at_ms=NOW_MS,
    expires_ms=NOW_MS + 3_600_000,
)
OWNER = Keys("owner")
HUB = Keys("hub, first start")


def plan_folder(
    folder: Path, *, sealed: bool = True, policy: AppraisalPolicy | None = None, **attestation: Any
) -> Manifest:
    """Write the files of a plan that asks for evidence into a folder; its manifest."""
    folder.mkdir(exist_ok=True)
    files = {"heart.py": b"", "site.toml": toml_of(policy or SITE_POLICY).encode(), "hub.toml": _hub_toml()}
    if sealed:
        seal, sign = (base64.b64encode(key).decode("ascii") for key in (bytes(PUBLIC_BYTES), OWNER.der))
        files["owner.json"] = Owner(name="ada", seal=seal, sign=sign).to_bytes()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    sections: dict[str, Any] = {
        "code": tuple(files),
        "attestation": {"aggregator": "hub.toml", "collaborators": "site.toml"} | attestation,
    }
    if sealed:
        sections["sealed"] = {"owner": "owner.json"}
    plan = Plan.model_validate(PLAN.model_dump(mode="json", exclude_unset=True) | sections)
    listed = [CodeFile(path=name, sha256=sha256(data), size=len(data)) for name, data in files.items()]
    return Manifest(plan=plan, files=tuple(listed))


def hub_policy() -> AppraisalPolicy:
    return whole_policy(snp=vectors.policy_values(revocation="required", vmpl=1))


def _hub_toml() -> bytes:
    return toml_of(hub_policy()).encode()


@dataclass
class OneWorld(World):
    """A federation whose parties are made once, for many journals."""

    parties: dict[str, Credentials] = field(default_factory=dict)

    def party(self, name: str, role: Role = Role.COLLABORATOR) -> Credentials:
        if name not in self.parties:
            self.parties[name] = super().party(name, role)
        return self.parties[name]


class EvidenceAuthor(Author):
    """Writes the journal of a run in which instances show evidence, and keeps the files of it.

    Attributes:
        files: Folder of the files of evidence.
        keeps_files: Whether evidence is real, and kept; else only the journal speaks of it.
    """

    def __init__(self, world: World, folder: Path, manifest: Manifest) -> None:
        super().__init__(world, manifest=manifest)
        self.files = folder
        self.sealed = manifest.plan.sealed is not None
        self.instances = {site: Keys(f"{site}, first start") for site in SITES}
        self.hub = HUB
        self.keeps_files = False
        self._nonces = 0

    def start(self, keys: Keys = HUB, **changes: Any) -> None:
        """An instance of the aggregator takes the run up."""
        said = {"federation": "north", "run": RUN, "plan": self.manifest.digest, "rehearsal": False}
        body = said | {"seal": keys.seal, "speak": keys.speak}
        owner = OWNER.say("hanse aggregator instance 1", body) if self.sealed else ""
        self.hub = keys
        command = {"instance": keys.instance, "seal": keys.seal, "speak": keys.speak, "owner": owner}
        self.do(StartInstance(**(command | changes)))

    def claims(self, site: str, **changes: Any) -> Claims:
        """What evidence of a site is bound to."""
        self._nonces += 1
        keys = self.instances[site]
        said = {
            "purpose": "run",
            "verifier": "5" * 64,
            "nonce": f"{self._nonces:064x}",
            "federation": "north",
            "role": "collaborator",
            "name": site,
            "signer": self.key(site).fingerprint,
            "seal": keys.seal,
            "speak": keys.speak,
            "run": RUN,
            "plan": self.manifest.digest,
            "roster": self.journaled_run.run.roster.digest,
            "policy": SITE_POLICY.digest,
        }
        return Claims.model_validate(said | changes)

    def appraise(self, site: str, claims: Claims | None = None, **verdict: Any) -> None:
        """A site shows evidence, which is kept and accepted."""
        claims = claims or self.claims(site)
        if self.keeps_files:
            found = verdict_of(self.files, evidence_for(claims), claims, SITE_POLICY)
        else:
            found = PASSING.model_copy(update={"policy": claims.policy, "evidence": claims.digest})
        self.do(RecordAppraisal(site, claims, found.model_copy(update=verdict)))

    def release(self, site: str) -> None:
        self.do(ReleaseKeys(site, self.instances[site].instance))

    def answer_task(self, site: str, spoken: str | None = None, **changes: Any) -> None:
        """A site's instance answers, and signs what it says."""
        said: dict[str, Any] = {"instance": self.instances[site].instance}
        if self.sealed and changes.get("update") is not None:
            said["sealed_to"] = self.hub.instance
        outcome = self.outcome(site, **(said | changes))
        statement = self.statement(site, outcome)
        signed = self.instances[site].say(OUTCOME_SAID, statement.body) if spoken is None else spoken
        if outcome.outcome == "failed":
            self.do(FailTask(outcome.exchange, site, outcome.reason, "", statement, signed))
            return
        update = None if outcome.update is None else outcome.update.digest
        about = (outcome.num_examples, outcome.metrics, update, statement)
        self.do(AcceptResult(outcome.exchange, site, *about, spoken=signed))

    def begin(self) -> None:
        """All agree, show evidence and get keys, and the first round is under way."""
        self.start()
        for site in SITES:
            self.accept_plan(site)
        for site in SITES:
            self.appraise(site)
            if self.sealed:
                self.release(site)
        self.do(OpenRound(0))
        self.do(Commit(0, MODEL))
        self.open_round()

    def open_round(self) -> None:
        self.do(OpenRound(1))
        self.do(OpenExchange(1, 0, "train", MODEL))

    def end_round(self) -> None:
        """Both answer, and what they sent is the model of the round."""
        for site in SITES:
            self.answer_task(site, update=UpdateFile(digest=UPDATE, size=120))
        self.do(RecordAggregate(1, SITES, 10, "e" * 64))
        self.do(OpenExchange(1, 1, "evaluate", LATER_MODEL))
        for site in SITES:
            self.answer_task(site)
        self.do(Commit(1, LATER_MODEL, {"loss": 0.5}))


def evidence_for(claims: Claims, forged: Forged | None = None) -> Evidence:
    """Evidence that is bound to claims."""
    base = forged or Forged()
    bound = report_data(claims, base.evidence().kind)
    return base.but(fields={0x50: bound, **base.fields}).evidence()


def verdict_of(
    files: Path, shown: Evidence, claims: Claims, policy: AppraisalPolicy, at: datetime = NOW
) -> Verdict:
    """The verdict of a verifier that keeps evidence and collateral in a folder."""
    documents = {LIST: revocation_list("Genoa", at=at)}
    data = write_evidence(shown)
    for folder, name, content in (
        ("evidence", f"{sha256(data)}.json", data),
        *(("collateral-used", sha256(document), document) for document in documents.values()),
    ):
        (files / "attestation" / folder).mkdir(parents=True, exist_ok=True)
        (files / "attestation" / folder / name).write_bytes(content)
    given = Circumstances(at, report_data(claims, shown.kind), documents)
    found = appraise(shown, policy, given, verifiers=VERIFIERS)
    assert found.expires is not None
    passes = found.tier in (Tier.AFFIRMING, Tier.WARNING)
    return Verdict(
        kind=shown.kind.value,
        accepted=passes,
        vector={aspect.value: int(tier) for aspect, tier in found.vector.items()},
        policy=policy.digest,
        evidence=sha256(data),
        collateral=dict(found.collateral),
        at_ms=NOW_MS,
        expires_ms=int(found.expires.timestamp() * 1000),
        reason="" if passes else "it differs",
    )


class Write(Protocol):
    """Begins a journal; settings are those of the plan, see `plan_folder`."""

    def __call__(self, **plan: Any) -> EvidenceAuthor: ...


def show_tpm(run: EvidenceAuthor, site: str, tpm: Tpm, policy: AppraisalPolicy, **verdict: Any) -> None:
    """A site shows evidence of a TPM in a rehearsal, whose AK the aggregator has activated; it is kept."""
    claims = run.claims(site, policy=policy.digest, rehearsal=True)
    shown = tpm.evidence(report_data(claims, Kind.TPM))
    assert policy.tpm is not None
    given = Circumstances(NOW, report_data(claims, Kind.TPM))
    found = TpmVerifier(tpm.activated).appraise(shown, policy.tpm, given)
    data = write_evidence(shown)
    (run.files / "attestation" / "evidence").mkdir(parents=True, exist_ok=True)
    (run.files / "attestation" / "evidence" / f"{sha256(data)}.json").write_bytes(data)
    vector = {aspect.value: int(tier) for aspect, tier in found.vector.items()}
    about = {"kind": "tpm", "vector": vector, "policy": policy.digest, "evidence": sha256(data)}
    made = PASSING.model_copy(update=about | verdict)
    run.do(RecordAppraisal(site, claims, made))
