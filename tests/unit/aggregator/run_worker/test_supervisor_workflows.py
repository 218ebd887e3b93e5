"""Workflows of one's own in their worker: how they fail, and how they end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.fake_sites import fake_sites, until, until_phase
from tests.federations import MODEL, TASKS, FederationFixture
from tests.stand_ins import ThreadWorker

from hanse.aggregator.blobs.retention import references
from hanse.core.run.run import TERMINAL, Phase

Run = Callable[[Any], Any]

WORKFLOW = """
def workflow(federation):
    {body}
"""

FAILURES = {
    "raise KeyError('rate')": "the workflow failed at flow.py:3: KeyError: 'rate'",
    "raise SystemExit(3)": "the workflow failed at flow.py:3: SystemExit: 3",
    "raise type('Evil', (Exception,), {'__str__': lambda _: exit(0)})": (
        "the workflow failed at flow.py:3: Evil: its message cannot be read"
    ),
    "raise GeneratorExit": "the workflow failed at flow.py:3: GeneratorExit",
    r"raise ValueError('caf\udce9\x1b[2J\n.')": r"ValueError: caf\udce9\x1b[2J .",
    "open('/srv/visby/patients.csv')": "No such file or directory: '<path>'",
    "next(federation.rounds()).commit({}, {'loss': float('nan')})": "metric 'loss' is nan",
    "next(federation.rounds()).commit({'w': 1.0})": "parameter 'w' is a float",
    "next(federation.rounds()).ask('train')": "only in aggregate",
    "next(federation.rounds()).ask('evaluate', sites=['z'])": "the workflow asked z",
    "next(federation.rounds()).ask('evaluate', sites=map(str, range(200_000)))": "a message to or from a",
}


class TestWorkflows:
    async def ended(self, working: FederationFixture, body: str, **changes: Any) -> Any:
        """How a run of a workflow of one's own ends."""
        code = WORKFLOW.format(body=body).encode()
        plan = {"initial": MODEL, "workflow": "flow:workflow", "code": code, "path": "flow.py"}
        return await until_phase(working, await working.submit(**plan | changes), *TERMINAL)

    @pytest.mark.parametrize("body", FAILURES)
    def test_the_reason_for_a_failure_is_told(self, body: str, working: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with working.serving(), fake_sites(working):
                ended = await self.ended(working, body)
                assert ended.phase is Phase.FAILED
                assert FAILURES[body] in ended.reason

        run(main())

    def test_a_workflow_that_is_not_there_is_told_with_what_is(
        self, working: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with working.serving(), fake_sites(working):
                ended = await self.ended(working, "pass", workflow="flow:workflw")
                assert "flow.py has no function 'workflw'" in ended.reason

        run(main())

    def test_a_workflow_may_end_early(self, working: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with working.serving(), fake_sites(working):
                body = "round = next(federation.rounds()); round.commit(round.model)"
                ended = await self.ended(working, body, rounds=9)
                assert (ended.phase, ended.committed) == (Phase.FINISHED, 1)

        run(main())

    def test_one_that_does_something_else_when_it_begins_again_is_caught(
        self, working: FederationFixture, run: Run, tmp_path: Path
    ) -> None:
        body = f"""
    import pathlib, numpy as np
    trace = pathlib.Path({str(tmp_path / "trace")!r})
    value = 1.0 if trace.exists() else 0.0
    trace.touch()
    next(federation.rounds()).ask("evaluate", {{"w": np.full(3, value, np.float32)}})
    """

        async def main() -> None:
            async with working.serving(), fake_sites(working) as sites:
                sites["a"].before_result = lambda exchange: ThreadWorker.started[0].kill()
                ended = await self.ended(working, body)
                assert "after a restart the workflow asked something else" in ended.reason

        run(main())

    def test_many_answers_reach_the_workflow_though_they_fit_in_no_message(
        self, working: FederationFixture, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("hanse.aggregator.run_worker.workspace._LONGEST_INLINE", 10)

        async def main() -> None:
            async with working.serving(), fake_sites(working):
                run_id = await working.submit(tasks=TASKS)
                assert (await until_phase(working, run_id, *TERMINAL)).phase is Phase.FINISHED

        run(main())

    def test_a_stream_goes_on_to_its_last_round_and_leaves_no_update(
        self, working: FederationFixture, run: Run
    ) -> None:
        body = """
    for number, update in enumerate(federation.stream("train"), start=1):
        if number % 2 == 0:
            federation.commit(federation.model, {"staleness": update.staleness})
    """
        individually = {"train": {"discloses": {"update": "individual", "metrics": ["loss"]}}}

        async def main() -> None:
            async with working.serving() as service, fake_sites(working):
                ended = await self.ended(working, body, rounds=3, tasks=individually)
                assert (ended.phase, ended.committed) == (Phase.FINISHED, 3)
                await until(lambda: not service._run_registry._tasks)
                left = {path.name for path in working.directory.glob("blobs/*/*")}
                assert left == references(ended)

        run(main())
