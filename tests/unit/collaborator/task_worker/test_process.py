from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.collaborator.aggregators import LEARNER, MODEL, TRAIN, manifest_of

from hanse.collaborator.task_worker.process import TaskHost, main
from hanse.collaborator.task_worker.protocol import Order, Setup, TaskReport
from hanse.core.plan.manifest import Manifest
from hanse.core.plan.tasks import INITIALISE
from hanse.sandbox.channel import Channel
from hanse.sandbox.confine import Confined
from hanse.wire.tensors import open_file, write_file

SCRIPT = """
import numpy as np
import hanse

model = {"weight": np.zeros((2, 3), np.float32), "steps": np.array(0)}
for round in hanse.rounds(model):
    model["weight"] += 1
    round.report(examples=7, loss=float(len(hanse.site().data)))
"""

CONFINED = Confined(("landlock 7",), files=True, network=True, processes=True, gaps=())

Begin = Callable[..., TaskHost]


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Begin]:
    """Sets up a worker in this process, in a folder of its own."""
    hosts: list[TaskHost] = []
    monkeypatch.syspath_prepend(str(tmp_path))  # undone, with what the bundle adds, at the end

    def begin(source: str = LEARNER, data: dict[str, str] | None = None, **plan: Any) -> TaskHost:
        manifest = manifest_of(source, **plan)
        hosts.append(TaskHost(set_up(tmp_path, manifest, source, data or {})))
        return hosts[-1]

    write_file(tmp_path / "model", MODEL)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    yield begin
    for host in hosts:
        host.close()


def set_up(directory: Path, manifest: Manifest, code: str, data: dict[str, str]) -> Setup:
    bundle = directory / "bundle"
    bundle.mkdir(exist_ok=True)
    (bundle / manifest.plan.code[0]).write_text(code, encoding="utf-8")
    (directory / "manifest.json").write_bytes(manifest.to_bytes())
    return Setup(
        manifest=str(directory / "manifest.json"),
        digest=manifest.digest,
        bundle=str(bundle),
        site="hospital-a",
        data=data,
    )


def order(directory: Path, task: str = "train", exchange: int = 1) -> Order:
    model = None if task == INITIALISE else str(directory / "model")
    update = str(directory / "update")
    return Order(
        exchange=exchange, round_number=1, task=task, counted=exchange - 1, model=model, update=update
    )


def test_a_task_leaves_its_update_in_a_file(begin: Begin, tmp_path: Path) -> None:
    report = begin().carry_out(order(tmp_path))

    assert report == TaskReport(num_examples=10, metrics={"loss": 0.5})
    assert np.array_equal(open_file(tmp_path / "update")["weight"], np.ones((2, 3)))


@pytest.mark.parametrize("line", ["raise SystemExit(0)", "raise type('E', (Exception,), {'__str__': exit})"])
def test_a_learner_that_would_end_the_worker_fails_its_task(begin: Begin, tmp_path: Path, line: str) -> None:
    code = LEARNER.replace("def learner(site):", f"def learner(site):\n    {line}")

    report = begin(code).carry_out(order(tmp_path))

    assert report.error == "task"
    assert "making the learner failed at " in report.reason


def test_a_task_without_an_update_leaves_none(begin: Begin, tmp_path: Path) -> None:
    report = begin().carry_out(order(tmp_path, "evaluate"))

    assert report.metrics == {"accuracy": 2.5}
    assert not (tmp_path / "update").exists()


def test_the_first_model_is_the_learners_own(begin: Begin, tmp_path: Path) -> None:
    begin().carry_out(order(tmp_path, INITIALISE))

    assert np.array_equal(open_file(tmp_path / "update")["weight"], np.zeros((2, 3)))


def test_a_script_is_driven_too(begin: Begin, tmp_path: Path) -> None:
    host = begin(
        SCRIPT, {"xrays": "/srv/xrays"}, code=("train.py",), learner=None, script="train.py",
        tasks={"train": TRAIN},
    )  # fmt: skip

    assert host.carry_out(order(tmp_path)) == TaskReport(num_examples=7, metrics={"loss": 1.0})
    assert host.carry_out(order(tmp_path, exchange=2)).num_examples == 7


def test_a_script_gets_the_arguments_of_its_plan(begin: Begin, tmp_path: Path) -> None:
    script = SCRIPT.replace("examples=7", "examples=int(__import__('sys').argv[1])")
    host = begin(
        script, code=("train.py",), learner=None, script="train.py", arguments=("42",),
        tasks={"train": TRAIN},
    )  # fmt: skip

    assert host.carry_out(order(tmp_path)).num_examples == 42


def test_what_the_learner_is_told_of_its_site(begin: Begin, tmp_path: Path) -> None:
    code = LEARNER.replace("def learner(site):", "def learner(site):\n    print_site(site)").replace(
        "class Adder",
        "def print_site(site):\n"
        "    told = [site.name, str(site.data['xrays']), str(site.data_root), site.options['k'], site.seed]\n"
        "    (site.state_dir / 'told').write_text(repr(told))\n\n"
        "class Adder",
    )
    host = begin(code, {"xrays": "/srv/xrays"}, options={"k": "v"}, seed=1)

    host.carry_out(order(tmp_path))

    told = (tmp_path / "work" / "site" / "told").read_text()
    assert told.startswith("['hospital-a', '/srv/xrays', '/srv/xrays', 'v', ")


def test_a_notice_is_reported_for_the_sites_own_log(begin: Begin, tmp_path: Path) -> None:
    host = begin(LEARNER.replace("trained = {", "return hanse.TaskResult(10, {}, parameters); trained = {"))

    report = host.carry_out(order(tmp_path))

    assert "gave back exactly the parameters that it received" in report.notices[0]
    assert TaskReport.model_validate(report.model_dump()) == report


def test_a_notice_is_reported_with_a_failure_too(begin: Begin, tmp_path: Path) -> None:
    code = LEARNER.replace(
        "class Adder:", "class Adder:\n    def agreement(self):\n        return AGREEMENT\n"
    )
    code += "\nfrom hanse.learners.agreement import Agreement\nAGREEMENT = Agreement(('Jane', 'Joe'))\n"

    report = begin(code, labels=["ill", "well"]).carry_out(order(tmp_path))

    assert (report.error, "Jane" in f"{report.reason}{report.mend}{report.log_tail}") == ("task", False)
    assert "labels that the plan states: 'ill' and 'well'. labels here: 'Jane' and 'Joe'" in report.notices[0]


def test_a_failure_is_reported_with_its_place(begin: Begin, tmp_path: Path) -> None:
    report = begin(LEARNER.replace("trained = {", "trained = 1 / 0, {")).carry_out(order(tmp_path))

    assert report.error == "task"
    assert "train failed at federation.py:13: ZeroDivisionError" in report.reason
    assert "Traceback" in report.log_tail


def test_code_that_cannot_be_imported_is_reported(begin: Begin, tmp_path: Path) -> None:
    report = begin("import nothing_of_the_kind").carry_out(order(tmp_path))

    assert report.error == "plan"
    assert "nothing_of_the_kind" in report.reason


def test_a_worker_serves_until_the_agent_hangs_up(tmp_path: Path, begin: Begin) -> None:
    class Scripted(Channel):
        def __init__(self) -> None:
            self.incoming = [order(tmp_path).model_dump(), order(tmp_path, "evaluate", 2).model_dump(), None]
            self.sent: list[dict[str, Any]] = []

        def receive(self) -> dict[str, Any] | None:
            return self.incoming.pop(0)

        def send(self, message: dict[str, Any]) -> None:
            self.sent.append(message)

    channel = Scripted()
    setup = set_up(tmp_path, manifest_of(), LEARNER, {})
    main(channel, CONFINED, (setup.model_dump_json(),))

    assert [message["num_examples"] for message in channel.sent] == [10, 4]
