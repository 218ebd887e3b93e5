"""Models in fewer bytes for sites that have the one before."""

from __future__ import annotations

import numpy as np
import pytest
from tests.blobs import named
from tests.federations import FederationFixture
from tests.unit.aggregator.run_workers import Run, Worker, exchange, worker

from hanse.aggregator.run_worker.protocol import CohortReply, OpenRoundCall
from hanse.compression.delta import apply_delta
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.parameters import Parameters
from hanse.errors import PolicyError
from hanse.wire.messages.sites import Assignment, ModelDelta, NextRequest
from hanse.wire.tensors import encode, open_file

DOWNLOAD = {"download": ["delta", "zstd"]}
FIRST = {"w": np.arange(3000, dtype=np.float32)}
SECOND = {"w": FIRST["w"] + np.float32(1 / 64)}
THIRD = {"w": SECOND["w"] + np.float32(1 / 64)}


async def assignment(w: Worker) -> Assignment:
    """What site `a` is asked."""
    work = await w.fixture.service.site_requests.next(w.fixture.peer("a"), NextRequest())
    ((asked,),) = [run.assignments for run in work.runs]
    return asked


async def committed(w: Worker, number: int, model: Parameters) -> None:
    await w.commit(number, w.written(model, f"{number}.safetensors"))


def ref(model: Parameters) -> ModelRef:
    return ModelRef(named(encode(model)))


def made(w: Worker, delta: ModelDelta | None, base: Parameters) -> ModelRef:
    """The model that a site makes of what it is offered."""
    assert delta is not None
    path = w.fixture.service.blob_requests.blob_to_send(w.fixture.peer("a"), delta.digest)
    assert (path.stat().st_size, named(path.read_bytes())) == (delta.size, delta.digest)
    model = apply_delta(open_file(path), base)
    return ref({name: np.asarray(array) for name, array in model.items()})


def test_a_site_is_offered_what_is_new_against_the_committed_model(
    fixture: FederationFixture, run: Run
) -> None:
    async def main() -> None:
        async with worker(fixture, compression=DOWNLOAD, initial=FIRST) as w:
            await committed(w, 0, FIRST)
            await committed(w, 1, SECOND)
            await w.call(OpenRoundCall(round_number=2), CohortReply)
            asking = await w.asking(exchange(round_number=2, model=w.written(SECOND, "again.safetensors")))
            asked = await assignment(w)
            assert asked.delta is not None
            assert asked.delta.base == ref(FIRST)
            assert asked.delta.size < asked.model_bytes / 2
            assert made(w, asked.delta, FIRST) == asked.model
            asking.cancel()

    run(main())


def test_a_model_that_is_not_committed_yet_is_offered_too(fixture: FederationFixture, run: Run) -> None:
    async def main() -> None:
        async with worker(fixture, compression=DOWNLOAD, initial=FIRST) as w:
            await committed(w, 0, FIRST)
            await w.call(OpenRoundCall(round_number=1), CohortReply)
            asking = await w.asking(exchange(task="evaluate", model=w.written(SECOND)))
            asked = await assignment(w)
            assert made(w, asked.delta, FIRST) == asked.model == ref(SECOND)
            asking.cancel()

    run(main())


def test_of_a_run_the_last_two_are_kept(fixture: FederationFixture, run: Run) -> None:
    async def main() -> None:
        async with worker(fixture, compression=DOWNLOAD, initial=FIRST, rounds=9) as w:
            for number, model in enumerate([FIRST, SECOND, THIRD, FIRST, SECOND]):
                await committed(w, number, model)
            assert len(list((fixture.directory / "downloads").iterdir())) == 2
            fixture.service._run_registry.model_deltas.forget(w.run_id)
            assert list((fixture.directory / "downloads").iterdir()) == []

    run(main())


def test_nothing_is_offered_unless_the_plan_asks(fixture: FederationFixture, run: Run) -> None:
    async def main() -> None:
        async with worker(fixture, initial=FIRST) as w:
            await committed(w, 0, FIRST)
            await committed(w, 1, SECOND)
            assert fixture.service._run_registry.model_deltas.offer(w.run_id, ref(SECOND)) is None
            assert not (fixture.directory / "downloads").exists()

    run(main())


def test_what_saves_nothing_is_not_offered(fixture: FederationFixture, run: Run) -> None:
    noise = np.random.default_rng(0).integers(0, 2**62, (2, 3000))

    async def main() -> None:
        async with worker(fixture, compression=DOWNLOAD, initial={"w": noise[0]}) as w:
            await committed(w, 0, {"w": noise[0]})
            await committed(w, 1, {"w": noise[1]})
            assert fixture.service._run_registry.model_deltas.offer(w.run_id, ref({"w": noise[1]})) is None

    run(main())


def test_who_may_not_have_the_model_may_not_have_what_makes_it(fixture: FederationFixture, run: Run) -> None:
    async def main() -> None:
        async with worker(fixture, compression=DOWNLOAD, initial=FIRST) as w:
            await committed(w, 0, FIRST)
            await committed(w, 1, SECOND)
            delta = fixture.service._run_registry.model_deltas.offer(w.run_id, ref(SECOND))
            assert delta is not None
            with pytest.raises(PolicyError):  # no task of site `a` starts from it
                fixture.service.blob_requests.blob_to_send(fixture.peer("a"), delta.digest)

    run(main())
