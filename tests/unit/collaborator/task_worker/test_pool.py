import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.collaborator.aggregators import LEARNER, MODEL, TRAIN, Site, manifest_of, until

from hanse.collaborator.context import SiteContext
from hanse.collaborator.progress import Progress
from hanse.collaborator.review import Reviewer
from hanse.collaborator.run_folder import RunFolder
from hanse.collaborator.task_worker.pool import Workers, _checked
from hanse.collaborator.task_worker.protocol import Order, TaskReport
from hanse.core.plan.manifest import CodeFile, Manifest
from hanse.core.plan.plan import Plan
from hanse.core.values.model_ref import ModelRef
from hanse.errors import PlanError, PolicyError, TaskError
from hanse.sandbox.confine import Confined
from hanse.sandbox.probe import available
from hanse.wire.tensors import write_file

pytestmark = pytest.mark.slow

Run = Callable[[Any], Any]

WITH_PID = LEARNER.replace('"loss": 0.5', '"loss": float(__import__("os").getpid())')
KILLED = LEARNER.replace("trained = {", "__import__('os').kill(__import__('os').getpid(), 9); trained = {")
CHATTING = LEARNER.replace("trained = {", "print('about to end'); __import__('os')._exit(3); trained = {")
HOARDING = LEARNER.replace(
    "trained = {",
    "import os, time; held = os.memfd_create('x')\n"
    "        for _ in range(300): os.write(held, bytes(1 << 20))\n"
    "        time.sleep(60); trained = {",
)
HANGING = LEARNER.replace("trained = {", "import time; time.sleep(60); trained = {")


class Desk:
    """Workers of a site, and what is needed to give them orders."""

    def __init__(self, context: SiteContext, manifest: Manifest, most: int = 2) -> None:
        self.context = context
        self.workers = Workers(context, Reviewer(context).bring_code, most)
        self.manifest = manifest
        self.pids: list[int] = []

    async def order(self, run_id: str = "demo-1", task: str = "train") -> TaskReport:
        folder = RunFolder(self.context.directory / "runs" / run_id)
        write_file(folder.model(ModelRef("a" * 64)), MODEL)
        order = Order(
            exchange=1,
            round_number=1,
            task=task,
            counted=0,
            model=str(folder.model(ModelRef("a" * 64)).absolute()),
            update=str(folder.written.absolute()),
        )
        return await self.workers.carry_out(run_id, self.manifest, folder, order, self.progress())

    def progress(self) -> Progress:
        desk = self

        class Noting(Progress):
            def __setattr__(self, name: str, value: Any) -> None:
                if name == "sign" and hasattr(value, "args"):
                    desk.pids.append(value.args[0])
                super().__setattr__(name, value)

        async def report() -> None:
            pass

        return Noting(report, 1.0)


Prepare = Callable[..., Awaitable[Desk]]


@pytest.fixture
def prepare(site: Site) -> Prepare:
    """Accepts a plan of this code, and readies the site for its tasks."""

    async def prepare(
        code: str = LEARNER, most: int = 2, plan: dict[str, Any] | None = None, **settings: Any
    ) -> Desk:
        manifest = manifest_of(code, **(plan or {}))
        context = site.context(**settings)
        await Reviewer(context).review(site.publish(manifest, code))
        return Desk(context, manifest, most)

    return prepare


def test_the_worker_of_a_run_is_kept_between_its_tasks(prepare: Prepare, run: Run) -> None:
    async def scenario() -> None:
        desk = await prepare(WITH_PID)
        first, second = await desk.order(), await desk.order()
        await desk.workers.close()

        assert first.metrics == second.metrics
        assert desk.pids[0] == desk.pids[1]

    run(scenario())


def test_a_notice_is_in_the_log_of_the_agent(
    prepare: Prepare, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        desk = await prepare(
            LEARNER.replace("trained = {", "return hanse.TaskResult(10, {}, parameters); t = {")
        )
        await desk.order()
        await desk.workers.close()

    run(scenario())

    (line,) = [message for message in caplog.messages if "exactly the parameters" in message]
    assert line.startswith("run demo-1: train of round 1: task train gave back")


def test_a_warning_of_a_library_is_in_the_log_once_a_run(
    prepare: Prepare, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        warn = "import warnings; warnings.warn('it did not converge', stacklevel=1)\n        trained = {"
        desk = await prepare(WITH_PID.replace("trained = {", warn))
        for killed in (False, True, False):
            await desk.order()
            if killed:
                os.killpg(desk.pids[-1], signal.SIGKILL)
                await asyncio.sleep(0.2)
        await desk.workers.close()
        assert desk.pids[0] != desk.pids[-1]

    run(scenario())

    (line,) = [message for message in caplog.messages if "did not converge" in message]
    assert line.startswith("run demo-1: train of round 1: UserWarning of ")


def test_an_idle_worker_that_was_killed_is_replaced(prepare: Prepare, run: Run) -> None:
    async def scenario() -> None:
        desk = await prepare(WITH_PID)
        await desk.order()
        os.killpg(desk.pids[0], signal.SIGKILL)
        await asyncio.sleep(0.2)

        report = await desk.order()

        await desk.workers.close()
        assert report.num_examples == 10
        assert desk.pids[0] != desk.pids[1]

    run(scenario())


def test_a_worker_that_dies_says_so_with_its_last_words(prepare: Prepare, run: Run) -> None:
    async def scenario() -> None:
        desk = await prepare(CHATTING)
        with pytest.raises(TaskError, match="exited with status 3 during task train") as caught:
            await desk.order()
        assert "about to end" in caught.value.log_tail

        desk = await prepare(KILLED)
        with pytest.raises(TaskError, match=r"was killed by SIGKILL \(out of memory\?\)"):
            await desk.order()

    run(scenario())


def test_a_worker_that_is_idle_for_as_long_as_the_settings_permit_is_ended(
    prepare: Prepare, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def scenario() -> None:
        desk = await prepare(WITH_PID, worker={"idle": "1s"})
        await desk.order()
        await until(lambda: not alive(desk.pids[0]))
        await desk.order()
        await desk.workers.close()

        assert desk.pids[0] != desk.pids[1]

    run(scenario())

    (line,) = [message for message in caplog.messages if "without a task" in message]
    assert line.startswith(
        "run demo-1: its worker ended after 1s without a task, as `worker: {idle: 1s}` says"
    )


SCRIPT = """
import os
import numpy as np
import hanse

model = {"weight": np.zeros((2, 3), np.float32), "steps": np.array(0)}
done = 0
for round in hanse.rounds(model):
    done += 1
    round.report(examples=done, loss=os.getpid())
"""


def test_a_script_keeps_its_worker_and_its_variables_however_long_it_is_idle(
    prepare: Prepare, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def scenario() -> None:
        plan = {"code": ("train.py",), "learner": None, "script": "train.py", "tasks": {"train": TRAIN}}
        desk = await prepare(SCRIPT, plan=plan, worker={"idle": "1s"})
        first = await desk.order()
        await asyncio.sleep(1.5)
        second = await desk.order()
        await desk.workers.close()

        assert (first.num_examples, second.num_examples) == (1, 2)

    run(scenario())

    assert (
        "run demo-1: its worker is kept while it has no task: a script's variables live in it" in caplog.text
    )


ONCE_ONLY = """
import multiprocessing, signal, threading
import numpy as np
import hanse

multiprocessing.set_start_method("spawn")  # a second time is an error
signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # in the main thread alone
model = {"weight": np.zeros((2, 3), np.float32), "steps": np.array(0)}
for round in hanse.rounds(model):
    tried = hanse.site().state_dir / "tried"
    if not tried.exists():
        tried.touch()
        raise RuntimeError("the first time")
    assert threading.current_thread() is threading.main_thread()
    model["weight"] += 1
    round.report(examples=7)
"""


def test_a_script_has_the_main_thread_and_after_a_failure_another_process(prepare: Prepare, run: Run) -> None:
    async def scenario() -> None:
        plan = {"code": ("train.py",), "learner": None, "script": "train.py", "tasks": {"train": TRAIN}}
        desk = await prepare(ONCE_ONLY, plan=plan)
        with pytest.raises(TaskError, match="the first time"):
            await desk.order()

        report = await desk.order()

        await desk.workers.close()
        assert report.num_examples == 7
        assert desk.pids[0] != desk.pids[1]

    run(scenario())


def test_a_worker_that_takes_too_much_fails_its_task_with_the_limit_and_the_setting(
    prepare: Prepare, run: Run
) -> None:
    async def scenario() -> None:
        desk = await prepare(HOARDING, worker={"memory": "200MiB"})
        with pytest.raises(
            TaskError, match=r"was ended during task train because .* 210 MB that `worker: {memory: \.\.\.}`"
        ) as caught:
            await desk.order()
        await desk.workers.close()
        assert "Raise `memory`" in caught.value.mend

    run(scenario())


def test_workers_are_limited_as_the_settings_say(prepare: Prepare, run: Run) -> None:
    async def scenario() -> None:
        desk = await prepare(worker={"memory": "2GB", "processes": 100}, disk_reserve=10**6)
        await desk.order()
        (worker,) = desk.workers._places._all
        found = worker._spec.confinement
        await desk.workers.close()

        assert (found.memory_bytes, found.processes, found.disk_reserve) == (2 * 10**9, 100, 10**6)
        assert found.file_bytes is not None

    run(scenario())


def test_a_run_without_a_task_makes_room_for_one_with(prepare: Prepare, run: Run) -> None:
    async def scenario() -> None:
        desk = await prepare(WITH_PID, most=1)
        await desk.order("demo-1")
        await desk.order("demo-2")
        await desk.order("demo-1")
        await desk.workers.close()

        assert len(set(desk.pids)) == 3
        assert [alive(pid) for pid in desk.pids] == [False] * 3

    run(scenario())


def test_no_more_workers_are_busy_than_permitted(prepare: Prepare, run: Run) -> None:
    async def scenario() -> None:
        desk = await prepare(most=1)
        await asyncio.gather(desk.order("demo-1"), desk.order("demo-2"))
        await desk.workers.close()

        assert len(desk.pids) == 2
        assert not any(map(alive, desk.pids))

    run(scenario())


def test_a_cancelled_task_ends_its_worker(prepare: Prepare, run: Run) -> None:
    async def scenario() -> None:
        desk = await prepare(HANGING)
        task = asyncio.create_task(desk.order())
        await until(lambda: desk.pids)
        task.cancel()
        await asyncio.wait({task})

        assert not alive(desk.pids[0])

    run(scenario())


def test_a_worker_whose_run_is_over_ends(prepare: Prepare, run: Run) -> None:
    async def scenario() -> None:
        desk = await prepare()
        await desk.order()
        await desk.workers.end_run("demo-1")
        await desk.workers.end_run("demo-2")

        assert not alive(desk.pids[0])

    run(scenario())


def test_code_that_was_altered_is_brought_again_before_a_worker_starts_with_it(
    prepare: Prepare, run: Run
) -> None:
    async def scenario() -> None:
        desk = await prepare()
        bundle = desk.context.plans.bundle(desk.manifest.digest)
        for file in desk.manifest.files:
            (bundle / file.path).unlink()
            (bundle / file.path).write_text("steal()")

        report = await desk.order()
        await desk.workers.close()

        assert report.metrics == {"loss": 0.5}

    run(scenario())


def test_a_failure_of_the_plans_code_leaves_the_worker_warm(prepare: Prepare, run: Run) -> None:
    async def scenario() -> None:
        desk = await prepare(LEARNER.replace("trained = {", "boom(); trained = {"))
        with pytest.raises(TaskError, match=r"federation\.py:13: NameError"):
            await desk.order()
        report = await desk.order(task="evaluate")
        await desk.workers.close()

        assert report.num_examples == 4
        assert desk.pids[0] == desk.pids[1]

    run(scenario())


def test_the_plans_mistakes_are_not_taken_for_failed_tasks(prepare: Prepare, run: Run) -> None:
    async def scenario() -> None:
        desk = await prepare("import nothing_of_the_kind")
        with pytest.raises(PlanError, match="nothing_of_the_kind"):
            await desk.order()
        await desk.workers.close()

    run(scenario())


def test_a_worker_cannot_claim_an_error_that_would_end_the_agent() -> None:
    with pytest.raises(TaskError, match="removed"):
        _checked(TaskReport(error="credential", reason="the site was removed"))


OPEN = Confined(layers=(), files=False, network=False, processes=False, gaps=("no Landlock",))
CLOSED = Confined(layers=(), files=True, network=True, processes=True, gaps=("the number of processes",))


def test_plan_code_that_cannot_be_locked_in_is_refused_where_that_is_required(site: Site) -> None:
    context = site.context(sandbox="required")
    workers = Workers(context, Reviewer(context).bring_code)

    with pytest.raises(PolicyError, match=r"`sandbox: required`, and plan code cannot .*Landlock"):
        workers._check(OPEN)
    workers._check(CLOSED)


def test_gaps_are_told_once(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    context = site.context()
    workers = Workers(context, Reviewer(context).bring_code)

    workers._check(OPEN)
    workers._check(OPEN)

    assert caplog.text.count("not fully locked in on this machine: no Landlock") == 1


def test_the_site_key_is_out_of_the_workers_reach(prepare: Prepare, site: Site, run: Run) -> None:
    async def scenario() -> None:
        await must_be_lockable()
        key = site.directory / "pki" / "party.key"
        desk = await prepare(LEARNER.replace("trained = {", f"open({str(key)!r}); trained = {{"))
        with pytest.raises(TaskError, match=r"federation\.py:13: (FileNotFound|Permission)Error"):
            await desk.order()
        await desk.workers.close()

    run(scenario())


def test_a_worker_reaches_only_the_data_that_its_plan_names(
    prepare: Prepare, tmp_path: Path, run: Run
) -> None:
    for name in ("xrays", "letters"):
        (tmp_path / name).write_text("Jane Doe")
    reading = f"print(open(self.site.data['xrays']).read()); open({str(tmp_path / 'letters')!r})"

    async def scenario() -> None:
        await must_be_lockable()
        data = {name: str(tmp_path / name) for name in ("xrays", "letters")}
        source = LEARNER.replace("trained = {", f"{reading}; trained = {{")
        desk = await prepare(source, data=data, plan={"data": ("xrays",)})
        with pytest.raises(TaskError, match=r"(FileNotFound|Permission)Error.*letters"):
            await desk.order()
        await desk.workers.close()

    run(scenario())
    assert (tmp_path / "site" / "runs" / "demo-1" / "worker.log").read_text() == "Jane Doe\n"


def test_settings_limit_the_threads_of_a_worker(prepare: Prepare, run: Run) -> None:
    async def scenario() -> None:
        code = LEARNER.replace('"loss": 0.5', '"loss": float(__import__("os").environ["OMP_NUM_THREADS"])')
        desk = await prepare(code, worker={"threads": 3})
        report = await desk.order()
        await desk.workers.close()

        assert report.metrics == {"loss": 3.0}

    run(scenario())


async def must_be_lockable() -> None:
    if not (await available()).files:
        pytest.skip("this machine cannot keep plan code from files")


def alive(pid: int) -> bool:
    """Whether any process of a worker's group is left."""
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_sealed_run_starts_no_worker_whose_folder_is_on_a_disk(run: Run, site: Site) -> None:
    names = ("federation.py", "owner.json", "policy.toml")
    parts = {"sealed": {"owner": "owner.json"}, "attestation": {"collaborators": "policy.toml"}}
    plan = Plan.model_validate(manifest_of().plan.model_dump() | {"code": names} | parts)
    files = tuple(CodeFile(path=name, sha256="a" * 64, size=1) for name in sorted(plan.code))
    sealed = Manifest(plan=plan, files=files)
    desk = Desk(site.context(), sealed)

    async def bring_nothing(_: Manifest) -> None:
        pass

    desk.workers = Workers(desk.context, bring_nothing)

    with pytest.raises(PolicyError, match="which is not in memory"):
        run(desk.order())
