"""Updates that the agent compresses, and what becomes of what was left out when something dies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.collaborator.aggregators import MODEL, Site, manifest_of, tasks_of

from hanse.collaborator.progress import Progress
from hanse.collaborator.review import Reviewer
from hanse.collaborator.run_folder import RunFolder
from hanse.collaborator.task_worker.protocol import Order, TaskReport
from hanse.compression.delta import model_delta
from hanse.compression.update import UpdateCodec, update_seed
from hanse.core.plan.manifest import Manifest
from hanse.core.values.canonical import sha256
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.parameters import Array, Parameters, specs
from hanse.errors import CredentialError, LateResultError, PolicyError
from hanse.wire.messages.sites import Assignment, RunWork, TaskOutcome
from hanse.wire.tensors import encode, write_file

Run = Callable[[Any], Any]

COMPRESSION = {"upload": [{"name": "top_k", "fraction": 0.2}, "fp16"], "smallest": 1}
UPDATE = {"weight": np.array([[3, -2, 1], [0.5, 0.25, 4]], np.float32), "steps": np.array(1)}


class Trainer:
    """Stands for the task worker: gives the same update whenever it is asked."""

    def __init__(self, update: Parameters = UPDATE) -> None:
        self.update = update
        self.times = 0

    async def carry_out(
        self, run_id: str, manifest: Manifest, folder: RunFolder, order: Order, progress: Progress
    ) -> TaskReport:
        self.times += 1
        write_file(folder.written, self.update)
        return TaskReport(num_examples=10, metrics={"loss": 0.5})

    async def end_run(self, run_id: str) -> None: ...


class Agents:
    """One agent after another at the same site, for one run."""

    def __init__(self, site: Site, run: Run) -> None:
        self.site, self._run = site, run
        self.manifest = manifest_of(compression=COMPRESSION)
        self.codec = UpdateCodec(self.manifest.plan.compression)
        self.work: RunWork = site.publish(self.manifest)
        run(Reviewer(site.context()).review(self.work))
        self.folder = site.directory / "runs" / self.work.run_id
        self.trainer = Trainer()

    def asked(self, exchange: int, accepted: int = 0) -> Assignment:
        return self.site.assignment(exchange=exchange, accepted=accepted, max_update_bytes=10_000)

    def settle(self, exchange: int, accepted: int = 0) -> TaskOutcome:
        context = self.site.context(policy={"accept": ["demo"], "discloses": {"failures": "message"}})
        tasks = tasks_of(context, self.trainer)
        self._run(tasks.run(self.work, self.asked(exchange, accepted)))
        return self.site.upstream.outcomes[-1]

    def dies(self, at: str, exchange: int, accepted: int = 0) -> None:
        """Have an agent end when it makes this call."""
        self.site.upstream.fail(at, CredentialError("a test ends the agent here"))
        with pytest.raises(CredentialError):
            self.settle(exchange, accepted)

    def decoded(self, outcome: TaskOutcome) -> Array:
        seed = update_seed(self.manifest.plan.seed, "hospital-a", outcome.exchange)
        travelled = self.site.upstream.update(outcome)
        self.codec.check(travelled, specs(MODEL), seed, "a test")
        return np.asarray(self.codec.decode(travelled, specs(MODEL), seed)["weight"])


@pytest.fixture
def agents(site: Site, run: Run) -> Agents:
    return Agents(site, run)


LARGEST = [[3, 0, 0], [0, 0, 4]]
"""What travels of the first update."""
NEXT = [[3, 0, 0], [0, 0, 4]]
"""What travels of the second one without a memory; with it, -4 takes the place of 3."""
CAUGHT_UP = [[0, -4, 0], [0, 0, 4]]


def test_what_leaves_is_compressed(agents: Agents) -> None:
    outcome = agents.settle(1)

    assert agents.decoded(outcome).tolist() == LARGEST
    assert agents.site.upstream.update(outcome)["weight"].dtype == np.uint8
    assert agents.site.upstream.update(outcome)["steps"] == 1
    assert {path.name for path in (agents.folder / "outcomes").iterdir()} == {"1.json", "spare.safetensors"}


def test_what_was_left_out_is_in_the_next_update(agents: Agents) -> None:
    agents.settle(1)

    assert agents.decoded(agents.settle(3, accepted=1)).tolist() == CAUGHT_UP


def test_what_is_undeclared_is_found_before_anything_is_compressed(agents: Agents) -> None:
    agents.trainer.update = {**UPDATE, "patients": np.ones(3)}

    outcome = agents.settle(1)

    assert outcome.outcome == "failed"
    assert "'patients' was not expected" in outcome.reason
    assert not (agents.folder / "memory").exists()


def test_numbers_that_cannot_be_compressed_fail_the_task_in_words(agents: Agents) -> None:
    agents.trainer.update = {**UPDATE, "weight": np.full((2, 3), np.nan, np.float32)}

    outcome = agents.settle(1)

    assert outcome.outcome == "failed"
    assert "NaN" in outcome.reason


@pytest.mark.parametrize("call", ["deliver", "result"])
def test_an_agent_that_comes_after_one_that_died_sends_the_same(agents: Agents, call: str) -> None:
    agents.dies(call, 1)

    outcome = agents.settle(1)

    assert agents.decoded(outcome).tolist() == LARGEST
    assert agents.trainer.times == 1
    assert agents.decoded(agents.settle(3, accepted=1)).tolist() == CAUGHT_UP


def test_a_task_that_is_performed_again_gives_the_same_bits(agents: Agents) -> None:
    agents.settle(1)
    agents.dies("deliver", 3, accepted=1)
    (agents.folder / "outcomes" / "3.json").unlink()  # as if it had died before it signed

    outcome = agents.settle(3, accepted=1)

    assert agents.trainer.times == 3
    assert agents.decoded(outcome).tolist() == CAUGHT_UP


def test_an_update_whose_reply_was_lost_with_the_agent_counts_when_the_aggregator_says_so(
    agents: Agents,
) -> None:
    agents.dies("result", 1)

    assert agents.decoded(agents.settle(3, accepted=1)).tolist() == CAUGHT_UP


def test_an_update_that_the_aggregator_never_took_leaves_no_trace(agents: Agents) -> None:
    agents.dies("result", 1)

    assert agents.decoded(agents.settle(3, accepted=0)).tolist() == NEXT


def test_an_update_that_came_too_late_leaves_no_trace(agents: Agents) -> None:
    agents.site.upstream.fail("result", LateResultError("exchange 1 is over"))
    context = agents.site.context()
    tasks = tasks_of(context, agents.trainer)
    agents._run(tasks.run(agents.work, agents.asked(1)))

    assert agents.decoded(agents.settle(3)).tolist() == NEXT


def test_the_memory_stays_with_the_run_when_its_tasks_are_over(agents: Agents, run: Run) -> None:
    agents.settle(1)
    context = agents.site.context()

    run(tasks_of(context, agents.trainer).end_run(agents.work.run_id))

    assert agents.decoded(agents.settle(3, accepted=1)).tolist() == CAUGHT_UP


# Models in fewer bytes


BEFORE = {"weight": np.arange(600, dtype=np.float32), "steps": np.array(2)}
AFTER = {"weight": BEFORE["weight"] + np.float32(1 / 64), "steps": np.array(3)}


class Reader(Trainer):
    """Trains nothing that matters; notes the model that it was shown."""

    async def carry_out(
        self, run_id: str, manifest: Manifest, folder: RunFolder, order: Order, progress: Progress
    ) -> TaskReport:
        assert order.model is not None
        self.shown = Path(order.model).read_bytes()
        return TaskReport(num_examples=10, metrics={"accuracy": 0.5})


def evaluate(
    site: Site,
    run: Run,
    delta: bytes | None,
    shown: Callable[[Path], Path] = lambda path: path,
    failing: Exception | None = None,
) -> bytes:
    """Have a site with the model `BEFORE` evaluate `AFTER`; the model that its worker was shown."""
    work = site.publish(manifest_of(compression={"download": ["delta", "zstd"]}))
    run(Reviewer(site.context()).review(work))
    before, after, reader = encode(BEFORE), encode(AFTER), Reader()
    folder = RunFolder(site.directory / "runs" / work.run_id)
    shown(folder.model(ModelRef(sha256(before)))).write_bytes(before)
    told = None
    if delta is not None:
        told = {"base": sha256(before), "digest": site.upstream.add(delta), "size": len(delta)}
    asked = site.assignment("evaluate", model=site.upstream.add(after), model_bytes=len(after), delta=told)
    context = site.context()
    if failing is not None:
        site.upstream.fail("fetch", failing)
    run(tasks_of(context, reader).run(work, asked))
    assert site.upstream.outcomes[-1].outcome == "done"
    return reader.shown


DELTA = encode(dict(model_delta(AFTER, BEFORE, 1)))


def test_a_model_is_made_of_the_one_before(site: Site, run: Run) -> None:
    assert evaluate(site, run, DELTA) == encode(AFTER)
    assert sha256(encode(AFTER)) not in site.upstream.fetched


def test_a_site_without_the_model_before_fetches_it_whole(site: Site, run: Run) -> None:
    assert evaluate(site, run, DELTA, lambda path: path.with_suffix(".gone")) == encode(AFTER)
    assert sha256(DELTA) not in site.upstream.fetched


@pytest.mark.parametrize(
    "delta", [b"nonsense", encode(dict(model_delta(BEFORE, BEFORE, 1))), encode({"w": np.ones(3)})]
)
def test_what_does_not_make_the_model_is_dropped_and_the_model_fetched_whole(
    site: Site, run: Run, delta: bytes
) -> None:
    assert evaluate(site, run, delta) == encode(AFTER)
    assert sha256(encode(AFTER)) in site.upstream.fetched
    assert not list((site.directory / "runs").rglob("*.patched"))
    assert not list((site.directory / "runs").rglob("*.part"))


def test_a_delta_that_is_no_longer_to_be_had_costs_nothing_but_the_try(site: Site, run: Run) -> None:
    gone = PolicyError("blob is not for you, or does not exist")

    assert evaluate(site, run, DELTA, failing=gone) == encode(AFTER)
