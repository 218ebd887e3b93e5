"""The exported journal of a run whose training is summed masked, and whose evaluation is in the open."""

from __future__ import annotations

from typing import Any

from tests.blobs import named
from tests.journals import LAST_MODEL, MODEL, RUN, UPDATE, Author, World
from tests.unit.core.plan.privacy.secure_plans import SECTION, TRAIN, secure_plan

from hanse.core.plan.manifest import CodeFile, Manifest
from hanse.core.run.lifecycle import Finish
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound, RecordAggregate
from hanse.core.run.sums.commands import RecordSum, TakeReady
from hanse.core.run.sums.standing import CellStanding
from hanse.core.values.canonical import sha256
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.sums.place import SumPlace
from hanse.core.values.sums.ready import READY, SUITE, ReadyBody
from hanse.privacy.secagg.keys import private_key, public_of
from hanse.wire.messages.sites import UpdateFile

SITES = ("a", "b", "c", "d")
CONTEXT = sha256(b"the same question")
EVALUATE = {"discloses": {"metrics": ["loss"]}}


def masked_manifest() -> Manifest:
    """A plan of the built-in workflow, so that its commits are counted again."""
    plan = secure_plan(
        SECTION | {"in_the_open": ["evaluate"]},
        tasks={"train": TRAIN, "evaluate": EVALUATE},
        workflow="fedavg",
        initial_model="first.safetensors",
        rounds=1,
    )
    files = (CodeFile(path="model.py", sha256="0" * 64, size=1),)
    first = CodeFile(path="first.safetensors", sha256=MODEL.digest, size=1)
    return Manifest(plan=plan, files=files, initial_model=first)


class MaskedAuthor(Author):
    """Writes the journal of such a run, in which everybody signs what is theirs to sign."""

    def __init__(self, world: World) -> None:
        super().__init__(world, manifest=masked_manifest(), sites=SITES)

    @property
    def standing(self) -> CellStanding:
        return self.journaled_run.run.exchanges[1].sums["all"]

    def state_ready(self, site: str, attempt: int = 1) -> None:
        body = ReadyBody(
            suite=SUITE,
            federation="north",
            run_id=RUN,
            exchange=1,
            cell="all",
            attempt=attempt,
            site=site,
            signer=self.key(site).fingerprint,
            context=CONTEXT,
            public=public_of(private_key(bytes.fromhex(sha256(f"{site}{attempt}".encode())))),
            commitment=sha256(f"q of {site}".encode()),
        )
        statement = self.key(site).sign(READY, body.model_dump())
        reason = f"{site} lost the key of attempt {attempt - 1}" if attempt > 1 else ""
        self.do(TakeReady(1, site, "all", attempt, statement, body.commitment, reason))

    def mask(self, site: str, **changes: Any) -> None:
        standing = self.standing
        assert standing.rho is not None
        place = SumPlace(cell="all", attempt=standing.attempt, rho=standing.rho)
        update = UpdateFile(digest=sha256(f"y of {site} {standing.attempt}".encode()), size=120)
        told = {"num_examples": 0, "metrics": {}, "update": update, "secure_sum": place}
        self.answer_task(site, **told | changes)

    def whole_run(self) -> None:
        """A run of one round, in which c loses its key once."""
        for site in SITES:
            self.accept_plan(site)
        self.do(OpenRound(0))
        self.do(Commit(0, MODEL))
        self.do(OpenRound(1))
        self.do(OpenExchange(1, 0, "train", MODEL))
        for site in SITES:
            self.state_ready(site)
        self.mask("a")
        for site in "cabd":
            self.state_ready(site, 2)
        for site in SITES:
            self.mask(site)
        self.open_sum()
        self.do(RecordAggregate(1, SITES, 800, "e" * 64))
        self.do(OpenExchange(1, 1, "evaluate", ModelRef(named(LAST_MODEL))))
        for site in SITES:
            self.answer_task(site)
        self.do(Commit(1, ModelRef(named(LAST_MODEL)), {"loss": 0.5}))
        self.do(Finish())

    def open_sum(self) -> None:
        standing = self.standing
        masked = dict(standing.masked)
        self.do(RecordSum(1, "all", standing.attempt, standing.rho or "", masked, UPDATE, 800, 1e-9))
