"""Groups, settings and cells of a task at a site, whose aggregator may send anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.collaborator.aggregators import MODEL, TRAIN, Site, manifest_of, tasks_of

from hanse.collaborator.progress import Progress
from hanse.collaborator.review import Reviewer
from hanse.collaborator.run_folder import RunFolder
from hanse.collaborator.task_worker.process import TaskHost
from hanse.collaborator.task_worker.protocol import Order, Setup, TaskReport
from hanse.core.plan.group_tensors import Received
from hanse.core.plan.manifest import Manifest
from hanse.core.values.parameters import Parameters, specs
from hanse.updates.incoming import open_incoming
from hanse.updates.origin import Origin
from hanse.wire.messages.sites import Assignment, GroupFile, RunWork, TaskOutcome
from hanse.wire.tensors import encode, open_file, write_file

Run = Callable[[Any], Any]

GROUPS = {
    "edges": {"float64": ["bins"]},
    "control": {"like": "model"},
    "counts": {"n": {"int64": ["bins"]}, "sum": {"float64": []}},
}
COUNT = {
    "receives": ["model", "edges", "control"],
    "varies": {"scale": [0.0, 4.0]},
    "exchanges": 5,
    "discloses": {"aggregated_by": "aggregator", "groups": {"counts": "total"}},
}
PLAN: dict[str, Any] = {
    "groups": GROUPS,
    "dimensions": {"bins": 4},
    "cells": {"north": ["berlin", "hospital-a", "oslo"], "south": ["x", "y", "z"]},
    "tasks": {"train": TRAIN, "count": COUNT, "ping": {"receives": []}},
}
EDGES = {"@edges": np.array([0.0, 1.0])}
CONTROL = {"@control/weight": np.ones((2, 3), np.float32)}
COUNTED: dict[str, Any] = {"@counts/n": np.array([1, 2]), "@counts/sum": np.array(0.5)}


class FakeWorkers:
    """Writes what a test has it, and notes what it was given to read."""

    def __init__(self, update: Parameters | None = None) -> None:
        self.update = COUNTED if update is None else update
        self.orders: list[Order] = []
        self.read: dict[str, Any] = {}

    async def carry_out(
        self, run_id: str, manifest: Manifest, folder: RunFolder, order: Order, progress: Progress
    ) -> TaskReport:
        self.orders.append(order)
        for name in order.groups:
            self.read |= open_file(Path(name))
        write_file(Path(order.update), self.update)
        return TaskReport(num_examples=10)

    async def end_run(self, run_id: str) -> None: ...


@pytest.fixture
def work(site: Site, run: Run) -> RunWork:
    return accepted(site, run)


def accepted(site: Site, run: Run, **changes: Any) -> RunWork:
    """A run whose plan the site has accepted."""
    work = site.publish(manifest_of(**(PLAN | changes)))
    run(Reviewer(site.context()).review(work))
    assert site.upstream.answers[-1].accepted, site.upstream.answers[-1].reasons
    return work


def sent(site: Site, tensors: Parameters) -> GroupFile:
    data = encode(tensors)
    return GroupFile(digest=site.upstream.add(data), size=len(data))


def asked(site: Site, **changes: Any) -> Assignment:
    groups = {"edges": sent(site, EDGES), "control": sent(site, CONTROL)}
    return site.assignment("count", **({"groups": groups, "max_update_bytes": 10_000} | changes))


def settled(site: Site, run: Run, work: RunWork, assignment: Assignment, workers: FakeWorkers) -> TaskOutcome:
    """Have an agent that just started settle a task; what the aggregator got of it last."""
    told = {"accept": ["demo"], "discloses": {"failures": "message"}}
    run(tasks_of(site.context(policy=told), workers).run(work, assignment))
    return site.upstream.outcomes[-1]


def test_a_task_has_its_groups_and_settings_and_the_outcome_names_them(
    site: Site, run: Run, work: RunWork
) -> None:
    workers = FakeWorkers()
    assignment = asked(site, settings={"scale": 2.0}, cells=("north",))

    outcome = settled(site, run, work, assignment, workers)

    assert outcome.outcome == "done", outcome.reason
    assert workers.read.keys() == {"@edges", "@control/weight"}
    assert workers.orders[0].settings == {"scale": 2.0}
    assert outcome.groups == {name: file.digest for name, file in assignment.groups.items()}
    assert (outcome.settings, outcome.cells) == ({"scale": 2.0}, ("north",))
    assert site.upstream.update(outcome).keys() == COUNTED.keys()


def test_a_task_may_receive_no_model(site: Site, run: Run, work: RunWork) -> None:
    workers = FakeWorkers()
    assignment = site.assignment("ping", model=None, model_bytes=0)

    settled(site, run, work, assignment, workers)

    assert workers.orders[0].model is None


def test_groups_are_deleted_with_the_next_task_and_fetched_once(site: Site, run: Run, work: RunWork) -> None:
    settled(site, run, work, asked(site), FakeWorkers())
    assert settled(site, run, work, asked(site, exchange=2), FakeWorkers()).outcome == "done"

    fetched = site.upstream.fetched
    digests = [file.digest for file in asked(site).groups.values()]
    assert [fetched.count(digest) for digest in digests] == [1, 1]
    settled(site, run, work, site.assignment("train", exchange=3), FakeWorkers({}))
    here = {path.stem for path in (site.directory / "runs" / "demo-1" / "in").iterdir()}
    assert not here & set(digests)


class TestHostileAggregator:
    """Refused before the worker is given anything."""

    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({"groups": {}}, "is asked with the groups none; by the plan it receives control and edges"),
            ({"settings": {"scale": 5.0}}, "the setting 'scale' of task count is 5.0"),
            ({"settings": {"scale": 10**400}}, "the setting 'scale' of task count is 1000"),
            ({"settings": {"lr": 0.1}}, "the setting 'lr' of task count does not vary by the plan"),
            ({"cells": ("south",)}, "is asked of the cells south; this site is in north"),
            ({"cells": ("west",)}, "the cell 'west'"),
            ({"cells": ()}, "no cell, or one twice"),
            ({"model": None}, "is asked without a model"),
        ],
    )
    def test_other_inputs_than_the_plans_are_refused(
        self, changes: dict[str, Any], problem: str, site: Site, run: Run, work: RunWork
    ) -> None:
        workers = FakeWorkers()

        outcome = settled(site, run, work, asked(site, **changes), workers)

        assert problem in outcome.reason
        assert (outcome.outcome, workers.orders) == ("failed", [])

    @pytest.mark.parametrize(
        ("name", "tensors", "problem"),
        [
            ("edges", {}, "group 'edges' is missing"),
            ("edges", {"edges": np.zeros(2)}, "the file of the group 'edges' has a tensor 'edges'"),
            ("edges", EDGES | {"weight": np.zeros(2)}, "has a tensor 'weight'"),
            ("edges", EDGES | CONTROL, "has a tensor '@control/weight'"),
            ("edges", {"@edges": np.zeros(5)}, "bins is 5, at most 4 by the plan"),
            ("edges", {"@edges": np.zeros(2, np.float32)}, "group 'edges' is float32, and should be float64"),
            ("edges", {"@edges/x": np.zeros(2)}, "it has array 'x' of group 'edges'"),
            (
                "control",
                {"@control/weight": np.ones((3, 2), np.float32)},
                "array 'weight' of group 'control'",
            ),
            ("control", {"@control/steps": np.array(1)}, "it has array 'steps' of group 'control'"),
        ],
    )
    def test_a_file_of_a_group_with_other_tensors_is_refused(
        self, name: str, tensors: Parameters, problem: str, site: Site, run: Run, work: RunWork
    ) -> None:
        workers, assignment = FakeWorkers(), asked(site)
        groups = assignment.groups | {name: sent(site, tensors)}

        outcome = settled(site, run, work, asked(site, groups=groups), workers)

        assert problem in outcome.reason
        assert (outcome.outcome, workers.orders) == ("failed", [])

    def test_so_is_one_that_is_none_of_tensors(self, site: Site, run: Run, work: RunWork) -> None:
        data = b"no tensors at all"
        bad = GroupFile(digest=site.upstream.add(data), size=len(data))
        workers, groups = FakeWorkers(), asked(site).groups | {"edges": bad}

        outcome = settled(site, run, work, asked(site, groups=groups), workers)

        assert (outcome.outcome, workers.orders) == ("failed", [])

    def test_the_same_exchange_with_other_groups_is_another_question(
        self, site: Site, run: Run, work: RunWork
    ) -> None:
        settled(site, run, work, asked(site), FakeWorkers())
        others = asked(site).groups | {"edges": sent(site, {"@edges": np.zeros(3)})}
        workers = FakeWorkers({"@counts/n": np.zeros(3, np.int64), "@counts/sum": np.array(0.0)})

        outcome = settled(site, run, work, asked(site, groups=others), workers)

        assert (outcome.outcome, workers.orders) == ("failed", [])

    def test_a_site_outside_all_cells_is_asked_for_nothing(self, site: Site, run: Run) -> None:
        work = accepted(site, run, cells={"north": ["x", "y", "z"]})
        workers = FakeWorkers()

        outcome = settled(site, run, work, asked(site), workers)

        assert "this site is in no cell of the plan" in outcome.reason
        assert workers.orders == []


class TestLeaving:
    @pytest.mark.parametrize(
        ("update", "problem"),
        [
            ({"@counts/n": np.array([1, 2])}, "array 'sum' of group 'counts' is missing"),
            (COUNTED | {"@patients": np.zeros(2)}, "group 'patients' was not expected"),
            (COUNTED | {"weight": MODEL["weight"]}, "tensor 'weight' was not expected"),
            (COUNTED | {"@counts/n": np.array([1.0, 2.0])}, "array 'n' of group 'counts' has dtype float64"),
            (COUNTED | {"@counts/n": np.array([1, 2, 3])}, "array 'n' of group 'counts' has shape (3,)"),
            (COUNTED | {"@counts/sum": np.array(np.inf)}, "infinity in array 'sum' of group 'counts'"),
        ],
    )
    def test_groups_that_are_not_declared_stay(
        self, update: Parameters, problem: str, site: Site, run: Run, work: RunWork
    ) -> None:
        outcome = settled(site, run, work, asked(site), FakeWorkers(update))

        assert outcome.outcome == "failed"
        assert problem in outcome.reason
        assert site.upstream.delivered == {}

    def test_so_do_numbers_outside_of_the_range(self, site: Site, run: Run) -> None:
        counts = {"n": {"int64": ["bins"]}, "sum": {"float64": []}, "range": [0, 5]}
        work = accepted(site, run, groups=GROUPS | {"counts": counts})

        fine = settled(site, run, work, asked(site), FakeWorkers())
        beyond = settled(
            site, run, work, asked(site, exchange=2), FakeWorkers(COUNTED | {"@counts/n": np.array([1, 6])})
        )

        assert fine.outcome == "done"
        assert "array 'n' of group 'counts' has a number outside of 0 to 5" in beyond.reason

    def test_lossy_steps_leave_what_is_counted_as_it_is(self, site: Site, run: Run) -> None:
        """A total that is rounded is another one."""
        many = {"@counts/n": np.array([3, 2**40 + 1]), "@counts/sum": np.array(1 / 3)}
        lossy = {"upload": ["int8", "zstd"], "smallest": 1}
        work = accepted(site, run, compression=lossy)

        outcome = settled(site, run, work, asked(site), FakeWorkers(many))

        assert outcome.outcome == "done", outcome.reason
        plan = manifest_of(**PLAN, compression=lossy).plan
        received = Received(specs(MODEL), specs(EDGES | CONTROL))
        origin = Origin(plan, "count", "hospital-a", 1, received)
        arrived = open_incoming(site.upstream.update(outcome), origin)
        assert {name: np.array(arrived[name]).tolist() for name in many} == {
            name: array.tolist() for name, array in many.items()
        }


LEARNER = """
import numpy as np
import hanse

class Counter:
    def parameters(self):
        return {"weight": np.zeros((2, 3), np.float32), "steps": np.array(0)}

    def train(self, parameters, task):
        return hanse.TaskResult(1, {"loss": 0.5}, dict(parameters), converged=True)

    def ping(self, parameters, task):
        return hanse.TaskResult(1)

    def count(self, parameters, task):
        edges, control = task.groups["edges"], task.groups["control"]["weight"]
        assert set(task.groups) == {"edges", "control"}
        assert not edges.flags.writeable and not control.flags.writeable
        counts = GIVEN
        return hanse.TaskResult(1, groups=counts)

def learner(site):
    return Counter()
"""


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (
            '{"counts": {"n": np.array([1, 2]), "sum": float(control.sum()) * task.settings["scale"]}}',
            "",
        ),
        (
            '{"counts": {"n": np.array([1, 2]), "sum": control.sum() * np.float64(task.settings["scale"])}}',
            "",
        ),
        ('{"counts": {"n": np.array([1, 2])}, "patients": np.zeros(2)}', "gave the group 'patients'"),
        (
            '{"counts": {"n": np.array([1, 2], np.int32), "sum": np.float64(0)}}',
            "has dtype int32, expected int64",
        ),
        ('{"counts": {"n": np.zeros(3, np.int64), "sum": np.float64(0)}}', "has shape (3,), expected (2,)"),
        ("{}", "array 'n' of group 'counts' is missing"),
    ],
)
def test_a_worker_gives_its_learner_the_groups_and_checks_what_comes(
    given: str, problem: str, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = LEARNER.replace("GIVEN", given)
    manifest = manifest_of(code, **PLAN)
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "federation.py").write_text(code)
    (tmp_path / "manifest").write_bytes(manifest.to_bytes())
    places = {"model": MODEL, "edges": EDGES, "control": CONTROL}
    for name, tensors in places.items():
        write_file(tmp_path / f"{name}.safetensors", tensors)
    monkeypatch.chdir(tmp_path)
    setup = Setup(
        manifest=str(tmp_path / "manifest"),
        digest=manifest.digest,
        bundle=str(bundle),
        site="hospital-a",
        data={},
    )
    order = Order(
        exchange=1,
        round_number=1,
        task="count",
        model=str(tmp_path / "model.safetensors"),
        update=str(tmp_path / "update.safetensors"),
        groups=tuple(str(tmp_path / f"{name}.safetensors") for name in ("control", "edges")),
        settings={"scale": 2.0},
        counted=0,
    )

    report = TaskHost(setup).carry_out(order)

    assert problem in report.reason
    assert bool(problem) == bool(report.error), report.reason
    if not problem:
        found = open_file(tmp_path / "update.safetensors")
        assert float(found["@counts/sum"]) == 12.0
