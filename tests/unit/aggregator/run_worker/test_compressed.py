"""Updates that arrive compressed: checked at the door, folded as they are decoded, lent as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.federations import FederationFixture
from tests.unit.aggregator.run_workers import INDIVIDUALLY, Run, Worker, exchange, worker

from hanse.aggregator.run_worker.protocol import AnswersReply, SumReply
from hanse.compression.update import UpdateCodec, update_seed
from hanse.core.values.parameters import Array, Parameters, TensorSpec
from hanse.errors import DisclosureError, UpdateError
from hanse.wire.messages.sites import NextRequest, UpdateFile
from hanse.wire.tensors import encode, open_file

COMPRESSION = {"upload": [{"name": "int8", "block": 16}, "zstd"], "smallest": 1}
VALUES = {"a": [1.0, 2.0, 3.0], "b": [-4.0, 0.5, 0.25], "c": [10.0, 10.0, 0.0]}


def compressed(fixture: FederationFixture, run_id: str, name: str, **changes: Any) -> Parameters:
    """What a site's agent would send of its update."""
    run = fixture.run(run_id)
    seed = update_seed(run.plan.seed, changes.get("seed_of", name), run.last_exchange)
    update = {"w": np.array(VALUES[name], np.float32)}
    return {each.name: each.data for each in UpdateCodec(run.plan.compression).encode(update, seed)}


async def all_answer(w: Worker) -> dict[str, Array]:
    """Have all sites answer; what their updates decode to."""
    found = {}
    for name in "cab":
        sent = compressed(w.fixture, w.run_id, name)
        update = w.fixture.bring(name, encode(sent))
        await w.fixture.hand_in(w.fixture.outcome(w.run_id, name, update=update))
        run = w.fixture.run(w.run_id)
        seed = update_seed(run.plan.seed, name, run.last_exchange)
        expected = {"w": TensorSpec((3,), "float32")}
        found[name] = np.asarray(UpdateCodec(run.plan.compression).decode(sent, expected, seed)["w"])
    return found


def test_the_sum_is_that_of_the_decoded_updates(fixture: FederationFixture, run: Run) -> None:
    async def main() -> None:
        async with worker(fixture, compression=COMPRESSION) as w:
            await w.in_round()
            asked = await w.asking(exchange())
            found = await all_answer(w)
            reply = await asked
            assert isinstance(reply, SumReply)
            mean = np.mean([found[name].astype(np.float64) for name in "abc"], axis=0)
            assert w.read(reply.file) == mean.astype(np.float32).tolist()

    run(main())


def test_a_workflow_that_sees_each_update_gets_arrays(fixture: FederationFixture, run: Run) -> None:
    async def main() -> None:
        async with worker(fixture, compression=COMPRESSION, tasks=INDIVIDUALLY) as w:
            await w.in_round()
            asked = await w.asking(exchange("ask"))
            found = await all_answer(w)
            reply = await asked
            assert isinstance(reply, AnswersReply)
            for answer in reply.answers:
                assert answer.update is not None
                lent = open_file(w.workspace.inbox / answer.update)["w"]
                assert (lent.dtype, lent.tolist()) == (np.float32, found[answer.site].tolist())

    run(main())


def refusal(fixture: FederationFixture, run: Run, update: Any, kind: type[Exception]) -> str:
    """How the service refuses what site `a` brings."""

    async def main() -> str:
        async with worker(fixture, compression=COMPRESSION) as w:
            await w.in_round()
            asked = await w.asking(exchange())
            brought: UpdateFile = fixture.bring("a", encode(update(w)))
            with pytest.raises(kind) as refused:
                await fixture.hand_in(fixture.outcome(w.run_id, "a", update=brought))
            asked.cancel()
            return str(refused.value)

    return str(run(main()))


def test_an_update_that_is_not_compressed_is_refused(fixture: FederationFixture, run: Run) -> None:
    told = refusal(fixture, run, lambda w: {"w": np.ones(3, np.float32)}, DisclosureError)

    assert "not what the plan declares: tensor 'w'" in told


def test_a_damaged_update_is_refused(fixture: FederationFixture, run: Run) -> None:
    def damaged(w: Worker) -> Parameters:
        data = compressed(fixture, w.run_id, "a")["w"].copy()
        data[4:] = 0
        return {"w": data}

    assert "unusable in tensor 'w'" in refusal(fixture, run, damaged, UpdateError)


def test_a_compressed_update_may_be_a_little_longer_than_its_model(
    fixture: FederationFixture, run: Run
) -> None:
    async def main() -> None:
        async with worker(fixture, compression=COMPRESSION) as w:
            await w.in_round()
            asked = await w.asking(exchange())
            work = await fixture.service.site_requests.next(fixture.peer("a"), NextRequest())
            ((assignment,),) = [run.assignments for run in work.runs]
            assert assignment.max_update_bytes > 1.2 * assignment.model_bytes
            assert assignment.accepted == 0
            asked.cancel()

    run(main())
