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
Cells = dict[str, tuple[str, ...]]
CONTEXT = sha256(b"the same question")
EVALUATE = {"discloses": {"metrics": ["loss"]}}


def masked_manifest(cells: Cells, **section: Any) -> Manifest:
    """A plan of the built-in workflow, so that its commits are counted again."""
    plan = secure_plan(
        SECTION | {"in_the_open": ["evaluate"]} | section,
        tasks={"train": TRAIN, "evaluate": EVALUATE},
        workflow="fedavg",
        initial_model="first.safetensors",
        rounds=1,
        cells=cells,
        cohort={"minimum": 3, "quorum": 0.5} if len(cells) > 1 else {"minimum": 3},
    )
    files = (CodeFile(path="model.py", sha256="0" * 64, size=1),)
    first = CodeFile(path="first.safetensors", sha256=MODEL.digest, size=1)
    return Manifest(plan=plan, files=files, initial_model=first)


class MaskedAuthor(Author):
    """Writes the journal of such a run, in which everybody signs what is theirs to sign."""

    def __init__(self, world: World, cells: Cells | None = None, **section: Any) -> None:
        self.cells = cells or {"all": SITES}
        sites = tuple(sorted(site for members in self.cells.values() for site in members))
        super().__init__(world, manifest=masked_manifest(self.cells, **section), sites=sites)

    def standing(self, cell: str = "all") -> CellStanding:
        return self.journaled_run.run.exchanges[1].sums[cell]

    def cell_of(self, site: str) -> str:
        return next(cell for cell, members in self.cells.items() if site in members)

    def state_ready(self, site: str, attempt: int = 1) -> None:
        cell = self.cell_of(site)
        body = ReadyBody(
            suite=SUITE,
            federation="north",
            run_id=RUN,
            exchange=1,
            cell=cell,
            attempt=attempt,
            site=site,
            signer=self.key(site).fingerprint,
            context=CONTEXT,
            public=public_of(private_key(bytes.fromhex(sha256(f"{site}{attempt}".encode())))),
            commitment=sha256(f"q of {site}".encode()),
        )
        statement = self.key(site).sign(READY, body.model_dump())
        reason = f"{site} lost the key of attempt {attempt - 1}" if attempt > 1 else ""
        self.do(TakeReady(1, site, cell, attempt, statement, body.commitment, reason))

    def mask(self, site: str, **changes: Any) -> None:
        standing = self.standing(self.cell_of(site))
        assert standing.rho is not None
        place = SumPlace(cell=standing.cell, attempt=standing.attempt, rho=standing.rho)
        update = UpdateFile(digest=sha256(f"y of {site} {standing.attempt}".encode()), size=120)
        told = {"num_examples": 0, "metrics": {}, "update": update, "secure_sum": place}
        self.answer_task(site, **told | changes)

    def begin(self) -> None:
        """As far as the question of the first round."""
        for site in self.sites:
            self.accept_plan(site)
        self.do(OpenRound(0))
        self.do(Commit(0, MODEL))
        self.do(OpenRound(1))
        self.do(OpenExchange(1, 0, "train", MODEL))

    def end(self, sites: tuple[str, ...], examples: int) -> None:
        """From the sum of the first round to the end of the run."""
        self.do(RecordAggregate(1, sites, examples, "e" * 64))
        self.do(OpenExchange(1, 1, "evaluate", ModelRef(named(LAST_MODEL))))
        for site in self.sites:
            self.answer_task(site)
        self.do(Commit(1, ModelRef(named(LAST_MODEL)), {"loss": 0.5}))
        self.do(Finish())

    def whole_run(self) -> None:
        """A run of one round, in which c loses its key once."""
        self.begin()
        for site in SITES:
            self.state_ready(site)
        self.mask("a")
        for site in "cabd":
            self.state_ready(site, 2)
        for site in SITES:
            self.mask(site)
        self.open_sum()
        self.end(SITES, 800)

    def open_sum(self, cell: str = "all", examples: int = 800) -> None:
        standing = self.standing(cell)
        masked = dict(standing.masked)
        self.do(RecordSum(1, cell, standing.attempt, standing.rho or "", masked, UPDATE, examples, 1e-9))
