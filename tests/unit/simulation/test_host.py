"""The simulator's host over the inline engine: a workflow and the sites' tasks in one process."""

from __future__ import annotations

import ctypes
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hanse.algorithms.evaluation.evaluate import evaluate
from hanse.algorithms.optimisation.fedavg import fedavg
from hanse.core.plan.manifest import CodeFile, Manifest
from hanse.core.plan.plan import Plan
from hanse.core.run.events import Event
from hanse.core.run.round_events import (
    ResultRefused,
    RoundOpened,
    TaskFailed,
    UpdateAccepted,
    UpdatesAggregated,
)
from hanse.core.run.run import Phase, Run
from hanse.core.run.run_events import RunFailed
from hanse.core.run.site_events import SiteReinstated, SiteSuspended
from hanse.core.values.parameters import Parameters
from hanse.core.values.update import Task, TaskResult
from hanse.errors import PlanError, QuorumError, TaskError, WorkflowError
from hanse.simulation.engines.inline import InlineEngine
from hanse.simulation.host import SimulationHost, Submission
from hanse.storage.journal_memory import MemoryJournal
from hanse.workflow.averages import mean_metrics
from hanse.workflow.federation import Federation

INDIVIDUAL = {"update": "individual", "metrics": ["loss"]}
AGGREGATE = {"update": "aggregate", "aggregated_by": "aggregator", "metrics": ["loss"]}


class Adder:
    """Adds a step to its one weight; stands for the user's code at a site."""

    def __init__(self, step: float, examples: int = 1) -> None:
        self.step = step
        self.examples = examples
        self.sequences: list[int] = []

    def initial_parameters(self) -> Parameters:
        return {"w": np.zeros(2, np.float32)}

    def perform(
        self, task: Task, parameters: Parameters, *, sequence: int, counted: int | None = None
    ) -> TaskResult:
        self.sequences.append(sequence)
        metrics = {"loss": float(self.step)}
        if task.name == "evaluate":
            return TaskResult(self.examples, metrics)
        return TaskResult(self.examples, metrics, {"w": parameters["w"] + np.float32(self.step)})

    def close(self) -> None: ...


class Failing(Adder):
    def perform(
        self, task: Task, parameters: Parameters, *, sequence: int, counted: int | None = None
    ) -> TaskResult:
        raise TaskError("train failed at train.py:3: ZeroDivisionError", log_tail="Traceback ...")


class Unwritable(Adder):
    """Fails in words that no journal can hold."""

    def perform(
        self, task: Task, parameters: Parameters, *, sequence: int, counted: int | None = None
    ) -> TaskResult:
        raise TaskError("half a pair \ud800\n", log_tail="Traceback\n\x1b[2J \ud800")


class Telling(Adder):
    """Reports what the plan does not declare."""

    def perform(
        self, task: Task, parameters: Parameters, *, sequence: int, counted: int | None = None
    ) -> TaskResult:
        result = super().perform(task, parameters, sequence=sequence, counted=counted)
        return TaskResult(result.num_examples, {"patients": 3.0}, result.parameters)


class Diverging(Adder):
    def perform(
        self, task: Task, parameters: Parameters, *, sequence: int, counted: int | None = None
    ) -> TaskResult:
        return TaskResult(1, {}, {"w": np.full(2, np.nan, np.float32)})


def plan(**changes: Any) -> Plan:
    settings = {
        "name": "adding",
        "code": ["adding.py"],
        "learner": "adding:learner",
        "rounds": 2,
        "tasks": {"train": {"discloses": AGGREGATE}},
    }
    return Plan.model_validate(settings | changes)


class Simulation:
    """A host with the events that it told."""

    def __init__(
        self, sites: Mapping[str, Adder], directory: Path = Path("/nowhere"), **changes: Any
    ) -> None:
        self.events: list[Event] = []
        agreed = plan(**changes)
        start = CodeFile(path="m.safetensors", sha256="1" * 64, size=1) if agreed.initial_model else None
        code = (CodeFile(path="adding.py", sha256="0" * 64, size=1),)
        manifest = Manifest(plan=agreed, files=code, initial_model=start)
        self.host = SimulationHost(
            Submission(manifest, manifest.digest, tuple(sites), INITIAL if start else None),
            InlineEngine(agreed, sites, directory),
            MemoryJournal(),
            started_ms=1_000,
            listener=lambda run, event: self.events.append(event),
        )

    def drive(self, workflow: Callable[[Federation], None] = fedavg) -> Run:
        return self.host.drive(workflow)

    def model(self) -> list[float]:
        assert self.host.run.model is not None
        return self.host.tensors(self.host.run.model)["w"].tolist()

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


INITIAL = {"w": np.ones(2, np.float32)}


def test_fedavg_adds_the_mean_weighted_by_examples() -> None:
    simulation = Simulation({"a": Adder(1.0, examples=1), "b": Adder(4.0, examples=2)})

    run = simulation.drive()

    assert run.phase is Phase.FINISHED
    assert simulation.model() == [6.0, 6.0]
    assert run.metrics == {"loss": 3.0}


def test_a_failure_in_words_that_no_journal_can_hold_is_a_failure_of_its_site() -> None:
    sites = {"a": Adder(1.0), "b": Unwritable(1.0), "c": Adder(1.0)}
    simulation = Simulation(sites, cohort={"quorum": 0.6}, rounds=1)

    simulation.drive()

    (failed,) = simulation.of(TaskFailed)
    assert (failed.site, failed.reason) == ("b", r"half a pair \ud800")
    assert failed.log_tail == "Traceback\n\\x1b[2J \\ud800"


def test_a_workflow_that_fails_in_words_that_no_journal_can_hold_fails_the_run() -> None:
    def workflow(federation: Federation) -> None:
        raise ValueError("half a pair \ud800\n")

    simulation = Simulation({"a": Adder(1.0)})

    with pytest.raises(WorkflowError, match=r"ValueError: half a pair \\ud800$"):
        simulation.drive(workflow)

    (failed,) = simulation.of(RunFailed)
    assert failed.reason.endswith(r"ValueError: half a pair \ud800")


class Loud(Adder):
    """Reports a metric, of as many examples as a site may have."""

    def __init__(self, loss: float) -> None:
        super().__init__(1.0, examples=10**12)
        self.loss = loss

    def perform(
        self, task: Task, parameters: Parameters, *, sequence: int, counted: int | None = None
    ) -> TaskResult:
        result = super().perform(task, parameters, sequence=sequence, counted=counted)
        return TaskResult(self.examples, {"loss": self.loss}, result.parameters)


def test_the_largest_metrics_of_sites_with_the_most_examples_have_a_mean() -> None:
    tasks = {"train": {"discloses": AGGREGATE}, "evaluate": {"discloses": {"metrics": ["loss"]}}}
    sites = {"a": Loud(1.7e308), "b": Loud(1.7e308)}

    run = Simulation(sites, tasks=tasks, keep_best={"metric": "loss", "mode": "min"}).drive()

    assert run.metrics == {"loss": 1.7e308}


def test_a_metric_that_is_not_finite_is_a_failure_of_the_site_that_reports_it() -> None:
    sites = {"a": Adder(1.0), "b": Loud(float("inf")), "c": Adder(1.0)}
    simulation = Simulation(sites, cohort={"quorum": 0.6}, rounds=1)

    run = simulation.drive()

    assert run.phase is Phase.FINISHED
    assert [(e.site, e.reason.partition(". ")[0]) for e in simulation.of(TaskFailed)] == [
        ("b", "task train at b reports loss = inf")
    ]


@pytest.mark.parametrize(
    ("aggregation", "step"),
    [
        ({"rule": "mean"}, 3.0),
        ({"rule": "median"}, 2.0),
        ({"rule": "trimmed_mean", "trim": 0.34}, 2.0),
        ({"rule": "trimmed_mean", "trim": 0.33}, 3.0),
        ({"rule": "krum", "byzantine": 0}, 1.0),
        ({"rule": "norm_bounded_mean", "norm": 1e6, "weights": "alike"}, 3.0),
        ({"rule": "centred_clipping", "norm": 1e6}, 3.0),
        ({"rule": "geometric_median", "iterations": 200, "weights": "alike"}, 2.0),
    ],
)
def test_updates_become_one_by_the_plans_rule(aggregation: dict[str, Any], step: float) -> None:
    sites = {"a": Adder(1.0), "b": Adder(2.0), "c": Adder(6.0, examples=98)}
    simulation = Simulation(sites, aggregation=aggregation, rounds=1, cohort={"minimum": 3})

    simulation.drive()

    assert simulation.model() == [step, step]


@pytest.mark.parametrize("rule", ["weighted_mean", "mean", "median"])
def test_a_sum_over_no_examples_fails_once_no_site_with_examples_can_answer(rule: str) -> None:
    sites = {"a": Adder(1.0, examples=0), "b": Adder(2.0, examples=0)}
    simulation = Simulation(sites, aggregation={"rule": rule})

    with pytest.raises(QuorumError, match=r"2 had no examples; by .* a sum needs 1 with examples"):
        simulation.drive()

    assert [event.site for event in simulation.of(UpdateAccepted)][1:] == ["a", "b"]
    assert simulation.of(RunFailed)[0].error == "quorum"


class Growing(Adder):
    """Counts the bytes of arrays that are there when each task begins."""

    def __init__(self, traced: list[int]) -> None:
        super().__init__(1.0)
        self.traced = traced

    def initial_parameters(self) -> Parameters:
        return {"w": np.zeros(SIZE, np.float32)}

    def perform(
        self, task: Task, parameters: Parameters, *, sequence: int, counted: int | None = None
    ) -> TaskResult:
        self.traced.append(tracemalloc.get_traced_memory()[0])
        return super().perform(task, parameters, sequence=sequence, counted=counted)


SIZE = 1_000_000


@pytest.mark.parametrize("rule", ["weighted_mean", "mean"])
def test_memory_does_not_grow_with_the_sites_of_a_mean(rule: str) -> None:
    traced: list[int] = []
    Simulation({"a": Adder(1.0)}, aggregation={"rule": rule}).drive()  # what is made once and kept
    simulation = Simulation({f"site-{n:02}": Growing(traced) for n in range(16)}, aggregation={"rule": rule})

    tracemalloc.start()
    try:
        simulation.drive()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    model = 4 * SIZE
    assert peak < 6.5 * model  # the pieces that threads compute ahead come and go as they are scheduled
    assert max(traced[2:16]) - min(traced[2:16]) < 0.1 * model


def test_each_exchange_has_a_higher_sequence_than_the_one_before() -> None:
    site = Adder(1.0)
    tasks = {"train": {"discloses": AGGREGATE}, "evaluate": {"discloses": {"metrics": ["loss"]}}}

    Simulation({"a": site}, tasks=tasks).drive()

    assert site.sequences == sorted(set(site.sequences))
    assert len(site.sequences) == 4


def test_what_the_plan_does_not_declare_fails_the_task() -> None:
    simulation = Simulation({"a": Telling(1.0), "b": Adder(1.0)}, cohort={"quorum": 0.5}, rounds=1)

    run = simulation.drive()

    (failed,) = simulation.of(TaskFailed)
    assert failed.site == "a"
    assert "the metric 'patients'" in failed.reason
    assert run.phase is Phase.FINISHED


@pytest.mark.parametrize("bad", [Failing(1.0), Diverging(1.0)])
def test_too_few_answers_fail_the_run_with_the_sites_reasons(bad: Adder) -> None:
    simulation = Simulation({"a": bad, "b": Adder(1.0)})

    with pytest.raises(QuorumError, match=r"0 of 2 sites answered; 2 are needed; a: .*(ZeroDivision|NaN)"):
        simulation.drive()

    assert simulation.host.run.phase is Phase.FAILED


def test_the_tail_of_a_failed_tasks_log_is_kept() -> None:
    simulation = Simulation({"a": Failing(1.0)})

    with pytest.raises(QuorumError):
        simulation.drive()

    assert simulation.of(TaskFailed)[0].log_tail == "Traceback ..."


class Silent(Exception):
    def __str__(self) -> str:
        raise SystemExit(0)


@pytest.mark.parametrize("error", [Silent(), SystemExit(0), GeneratorExit()])
def test_a_workflow_that_would_end_the_process_fails(error: BaseException) -> None:
    def silent(federation: Federation) -> None:
        raise error

    with pytest.raises(WorkflowError, match=r"the workflow failed at test_host.py:\d+: "):
        Simulation({"a": Adder(1.0)}).drive(silent)


def test_an_error_of_the_workflow_names_its_line() -> None:
    def broken(federation: Federation) -> None:
        raise KeyError("momentum")

    simulation = Simulation({"a": Adder(1.0)})

    with pytest.raises(WorkflowError, match=r"the workflow failed at test_host.py:\d+: KeyError: 'momentum'"):
        simulation.drive(broken)

    assert simulation.of(RunFailed)[0].error == "workflow"


def test_an_error_of_ours_ends_the_run_as_what_it_is() -> None:
    def refused(federation: Federation) -> None:
        raise PlanError("task train: lr must be a number above 0")

    simulation = Simulation({"a": Adder(1.0)})

    with pytest.raises(PlanError, match="lr must be"):
        simulation.drive(refused)

    assert simulation.of(RunFailed)[0].error == "plan"


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        ({"w": np.zeros(3, np.float32)}, "not like the model before it"),
        ({"w": np.array([0, np.inf], np.float32)}, "a NaN or an infinity in tensor 'w'"),
    ],
)
def test_a_model_that_cannot_follow_is_not_committed(model: Parameters, complaint: str) -> None:
    def workflow(federation: Federation) -> None:
        for round in federation.rounds():
            round.commit(model)

    simulation = Simulation({"a": Adder(1.0)})

    with pytest.raises(WorkflowError, match=complaint):
        simulation.drive(workflow)

    assert simulation.host.run.committed == 0


def test_the_plans_initial_model_is_where_a_run_starts() -> None:
    simulation = Simulation(
        {"a": Adder(1.0)},
        rounds=1,
        workflow="evaluate",
        initial_model="m.safetensors",
        tasks={"evaluate": {"discloses": {"metrics": ["loss"]}}},
    )

    run = simulation.drive(evaluate)

    assert simulation.model() == [1.0, 1.0]
    assert run.metrics == {"loss": 1.0}


class Overwriting(Adder):
    """Writes to what it receives, as `torch.from_numpy` lets it."""

    def perform(
        self, task: Task, parameters: Parameters, *, sequence: int, counted: int | None = None
    ) -> TaskResult:
        address = parameters["w"].__array_interface__["data"][0]
        memory = (ctypes.c_float * 2).from_address(address)
        memory[0] += 1
        return TaskResult(1, {"loss": 1.0}, {"w": parameters["w"].copy()})


def asynchronously(federation: Federation) -> None:
    for update in federation.stream("train"):
        federation.commit(federation.model, mean_metrics([update]))


@pytest.mark.parametrize(
    ("workflow", "update"), [(fedavg, AGGREGATE), (asynchronously, INDIVIDUAL)], ids=["round", "stream"]
)
def test_code_that_writes_to_the_parameters_it_receives_ends_the_run(workflow: Any, update: Any) -> None:
    sites = {"a": Overwriting(1.0), "b": Adder(1.0)}
    simulation = Simulation(sites, tasks={"train": {"discloses": update}})

    with pytest.raises(TaskError, match=r"changed, in place, the parameters .* Copy them first"):
        simulation.drive(workflow)

    assert simulation.host.run.committed == 0


def test_a_stream_takes_updates_one_after_another() -> None:
    def asynchronous(federation: Federation) -> None:
        for update in federation.stream("train"):
            assert update.delta is not None
            federation.commit({"w": federation.model["w"] + update.delta["w"]}, mean_metrics([update]))

    simulation = Simulation(
        {"a": Adder(1.0), "b": Adder(2.0)}, rounds=4, tasks={"train": {"discloses": INDIVIDUAL}}
    )

    run = simulation.drive(asynchronous)

    assert run.committed == 4
    assert len(simulation.of(UpdateAccepted)) == 5  # the first model, and one update a commit
    assert simulation.of(ResultRefused) == []


def test_the_best_model_is_kept_to_the_end() -> None:
    def workflow(federation: Federation) -> None:
        for round in federation.rounds():
            round.commit({"w": np.full(2, round.number, np.float32)}, {"loss": abs(round.number - 2)})

    simulation = Simulation({"a": Adder(1.0)}, rounds=4, keep_best={"metric": "loss", "mode": "min"})

    run = simulation.drive(workflow)

    assert run.best is not None
    assert simulation.host.tensors(run.best.model)["w"].tolist() == [2.0, 2.0]


def test_two_simulations_of_one_plan_are_the_same_to_the_bit() -> None:
    sites = {"a": Adder(0.1, examples=3), "b": Adder(0.7, examples=5)}

    first, second = Simulation(sites).drive(), Simulation(sites).drive()

    assert first.model == second.model


def test_a_workflow_cannot_change_the_committed_model_in_place() -> None:
    def vandal(federation: Federation) -> None:
        federation.model["w"] = np.ones(2)  # type: ignore[index]  # the point of the test

    with pytest.raises(WorkflowError, match="does not support item assignment"):
        Simulation({"a": Adder(1.0)}).drive(vandal)


COMPRESSED = {"upload": [{"name": "top_k", "fraction": 0.5}, "fp16"], "smallest": 1}


class Uneven(Adder):
    """Changes its first weight by a step, and its second one by a little less."""

    def perform(
        self, task: Task, parameters: Parameters, *, sequence: int, counted: int | None = None
    ) -> TaskResult:
        result = super().perform(task, parameters, sequence=sequence, counted=counted)
        assert result.parameters is not None
        change = np.array([1.0, 0.75], np.float32) * np.float32(self.step)
        return TaskResult(self.examples, result.metrics, {"w": parameters["w"] + change})


def test_updates_are_compressed_as_a_site_would(tmp_path: Path) -> None:
    simulation = Simulation({"a": Uneven(1.0)}, tmp_path, compression=COMPRESSED, rounds=1)

    simulation.drive()

    assert simulation.model() == [1.0, 0.0]


def test_what_compression_left_out_is_in_the_next_update(tmp_path: Path) -> None:
    simulation = Simulation({"a": Uneven(1.0)}, tmp_path, compression=COMPRESSED)

    simulation.drive()

    assert simulation.model() == [1.0, 1.5]


def test_a_workflow_that_sees_each_update_gets_arrays_of_what_travelled(tmp_path: Path) -> None:
    seen: list[Any] = []

    def look(federation: Federation) -> None:
        for round in federation.rounds():
            seen.extend(update.delta["w"] for update in round.ask("train") if update.delta is not None)
            round.commit(round.model, metrics={})

    tasks = {"train": {"discloses": INDIVIDUAL}}
    simulation = Simulation({"a": Uneven(1.0)}, tmp_path, compression=COMPRESSED, tasks=tasks, rounds=1)

    simulation.drive(look)

    assert [type(array) for array in seen] == [np.ndarray]
    assert seen[0].tolist() == [1.0, 0.0]


class FailingInRounds(Adder):
    """Fails in some rounds."""

    def __init__(self, *rounds: int) -> None:
        super().__init__(1.0, examples=8)
        self._rounds = rounds

    def perform(
        self, task: Task, parameters: Parameters, *, sequence: int, counted: int | None = None
    ) -> TaskResult:
        if task.round_number in self._rounds:
            raise TaskError("out of memory")
        return super().perform(task, parameters, sequence=sequence, counted=counted)


def test_a_site_that_keeps_failing_is_set_aside_and_comes_back_after_its_rest() -> None:
    sites = {"a": Adder(1.0), "b": Adder(1.0), "c": FailingInRounds(2, 3)}
    cohort = {"quorum": 0.5, "set_aside_after": 2, "rest": "2 rounds"}
    simulation = Simulation(sites, rounds=7, cohort=cohort)

    run = simulation.drive()

    assert [len(event.cohort) for event in simulation.of(RoundOpened)] == [3, 3, 3, 3, 2, 2, 3, 3]
    assert [event.round_number for event in simulation.of(SiteSuspended)] == [3]
    assert len(simulation.of(SiteReinstated)) == 1
    assert run.attendance.short_rounds == 4


def test_a_simulation_done_again_tells_the_same_of_who_took_part() -> None:
    def events() -> list[Event]:
        sites = {"a": Adder(1.0), "b": Adder(1.0), "c": FailingInRounds(1, 2, 3)}
        simulation = Simulation(sites, rounds=9, cohort={"quorum": 0.5, "rest": "3 rounds"})
        simulation.drive()
        return simulation.events

    assert events() == events()


class DivergingInRounds(FailingInRounds):
    """Gives what is refused in some rounds."""

    def perform(
        self, task: Task, parameters: Parameters, *, sequence: int, counted: int | None = None
    ) -> TaskResult:
        if task.round_number in self._rounds:
            return TaskResult(self.examples, {}, {"w": np.full(2, np.nan, np.float32)})
        return super().perform(task, parameters, sequence=sequence, counted=counted)


def test_the_model_follows_from_who_answered_and_not_from_why_the_others_did_not() -> None:
    def model(site: Adder, set_aside_after: int) -> list[float]:
        cohort = {"quorum": 0.5, "set_aside_after": set_aside_after, "rest": "1 rounds"}
        simulation = Simulation({"a": Adder(0.1), "b": Adder(0.3), "c": site}, rounds=6, cohort=cohort)
        simulation.drive()
        return simulation.model()

    failed = model(FailingInRounds(2, 3, 4), set_aside_after=0)

    assert failed == model(DivergingInRounds(2, 3, 4), set_aside_after=0)
    assert failed == model(FailingInRounds(2, 3), set_aside_after=2)  # round 4 goes without it
    assert failed != model(FailingInRounds(2, 3), set_aside_after=0)


def twice(federation: Federation) -> None:
    """Train twice a round, the second time from what the first came to."""
    for round in federation.rounds():
        half = round.apply(round.sum("train"))
        mean = round.sum("train", half)
        round.commit({name: half[name] + mean.delta[name] for name in half})


def test_a_workflow_that_asks_once_more_than_the_plan_says_fails_with_the_line() -> None:
    simulation = Simulation({"a": Adder(1.0), "b": Adder(2.0)})

    with pytest.raises(WorkflowError, match="asked a for 'train' in 2 exchanges of round 1") as refused:
        simulation.drive(twice)

    line = "`tasks: {train: {exchanges: 2}}`"
    assert line in refused.value.mend
    assert line in simulation.of(RunFailed)[0].reason


def test_a_plan_that_says_so_is_asked_twice_a_round() -> None:
    tasks = {"train": {"exchanges": 2, "discloses": AGGREGATE}}
    simulation = Simulation({"a": Adder(1.0), "b": Adder(2.0)}, tasks=tasks)

    assert simulation.drive(twice).phase is Phase.FINISHED
    assert simulation.model() == [6.0, 6.0]


def test_no_sum_is_of_fewer_sites_than_the_plan_says() -> None:
    sites = {"a": Adder(1.0), "b": Failing(1.0), "c": Failing(1.0), "d": Adder(2.0)}
    simulation = Simulation(sites, cohort={"minimum": 3, "quorum": 0.1})

    with pytest.raises(QuorumError, match="of 4 sites answered; 3 are needed"):
        simulation.drive()

    assert not simulation.of(UpdatesAggregated)


def test_sites_without_examples_do_not_make_a_sum_of_three() -> None:
    sites = {"a": Adder(1.0), "b": Adder(1.0, examples=0), "c": Adder(2.0)}
    simulation = Simulation(sites, cohort={"minimum": 3})

    with pytest.raises(QuorumError, match="a sum needs 3 with examples"):
        simulation.drive()

    assert not simulation.of(UpdatesAggregated)
