"""Plans with secure aggregation that are refused when they are read: place, reason and mend of each."""

from typing import Any

import pytest
from tests.unit.core.plan.plans import plan
from tests.unit.core.plan.privacy.secure_plans import SECTION, TRAIN, refusals, secure_plan, summing

EVALUATE = {"discloses": {"metrics": ["loss"]}}
BY_AGGREGATOR = {"discloses": {"update": "aggregate", "aggregated_by": "aggregator"}}
ALIKE: dict[str, Any] = {"examples": None, "ready_after": None}


def test_a_plan_that_says_all_that_a_masked_sum_needs_is_read() -> None:
    assert refusals() == []


def test_a_sum_without_bounds_is_refused_with_the_section_to_write() -> None:
    with pytest.raises(ValueError, match="does not bound what is summed") as refused:
        plan(tasks={"train": TRAIN}, initial_model="workflow", workflow="model:workflow", code=["model.py"])

    assert (
        "write `privacy: {secure_aggregation: {model: {clip: 1.0}, metrics: {loss: [LEAST, LARGEST]}, "
        "examples: {least: 200, most: 200}, ready_after: 60s}}`, with bounds of your own"
    ) in str(refused.value)


def test_a_sum_of_groups_without_bounds_is_refused_with_their_ranges_and_no_bound_of_a_model() -> None:
    changes = {"tasks": {"tabulate": summing(counts="mean")}, "groups": {"counts": {"float64": [2]}}}
    with pytest.raises(ValueError, match="does not bound what is summed") as refused:
        secure_plan(privacy={}, initial_model="none", **changes)

    assert (
        "write `privacy: {secure_aggregation: {}}`, and `groups: {counts: {range: [LEAST, LARGEST]}}`, with"
    ) in str(refused.value)


def test_counts_of_rows_without_bounds_are_refused_with_the_most_rows_and_no_least() -> None:
    changes = {"tasks": {"tabulate": summing(counts="total")}, "groups": {"counts": {"int64": [2, 2, 1]}}}
    with pytest.raises(ValueError, match="does not bound what is summed") as refused:
        secure_plan(privacy={}, initial_model="none", workflow="contingency", **changes)

    assert "write `privacy: {secure_aggregation: {examples: {most: 1200}}}`, and" in str(refused.value)


def test_a_section_that_no_task_uses_is_refused() -> None:
    (problem,) = refusals(tasks={"train": BY_AGGREGATOR})
    assert problem.startswith(
        "privacy.secure_aggregation: no task is summed by it: write `aggregated_by: sec"
    )
    (problem,) = refusals({"in_the_open": ["evaluate"]}, tasks={"evaluate": EVALUATE})
    assert "or leave the section out" in problem


def test_metrics_alone_can_be_summed_masked() -> None:
    section = ALIKE | {"model": None}
    assert refusals(section, tasks={"evaluate": EVALUATE}) == []


@pytest.mark.parametrize(
    ("tasks", "in_the_open", "refused"),
    [
        (
            {"train": TRAIN | {"discloses": {"update": "individual"}}, "evaluate": EVALUATE},
            [],
            "tasks.train.discloses.update: `update: individual` of task `train` shows each site's own, "
            "beside sums in which none is to be seen: write `update: aggregate`, or give the task a "
            "plan of its own",
        ),
        (
            {"train": TRAIN, "other": BY_AGGREGATOR},
            [],
            "tasks.other.discloses.aggregated_by: the aggregator would see what each site sends for task "
            "`other`, beside sums in which none is to be seen: write `aggregated_by: secure_aggregation`, or "
            "give it a plan of its own",
        ),
        (
            {"train": TRAIN, "personalise": {}},
            [],
            "tasks.personalise.discloses: task `personalise` discloses nothing that could be summed: give it "
            "a metric, or write `in_the_open: [personalise]`, by which its number of examples leaves "
            "each site",
        ),
        (
            {"train": TRAIN},
            ["evaluate"],
            "privacy.secure_aggregation.in_the_open.0: the plan has no task `evaluate`; it has: train",
        ),
        (
            {"train": TRAIN, "evaluate": EVALUATE},
            ["evaluate", "evaluate"],
            "privacy.secure_aggregation.in_the_open.1: `evaluate` is listed twice",
        ),
        (
            {"train": TRAIN},
            ["train"],
            "privacy.secure_aggregation.in_the_open.0: task `train` is summed by secure aggregation, metrics "
            "and number of examples included: take it out of the list, or give another task the metrics that "
            "are to be in the open",
        ),
    ],
)
def test_each_task_is_masked_or_in_the_open(
    tasks: dict[str, Any], in_the_open: list[str], refused: str
) -> None:
    assert refused in refusals({"in_the_open": in_the_open}, tasks=tasks)


def test_the_arrays_of_a_task_are_not_in_the_open() -> None:
    (problem,) = refusals({"in_the_open": ["other"]}, tasks={"train": TRAIN, "other": BY_AGGREGATOR})
    assert problem.startswith("tasks.other.discloses.aggregated_by: the aggregator would see what each site")
    assert "and take the task out of `in_the_open`" in problem


def test_no_site_may_answer_later_than_the_round_waits() -> None:
    (problem,) = refusals({"ready_after": 7200.0})
    assert problem.startswith("privacy.secure_aggregation.ready_after: no site answers sooner than 7200 s")


def test_an_individual_group_is_refused_also_in_the_open() -> None:
    own = {"receives": [], "discloses": {"groups": {"counts": "individual"}}}
    problems = refusals(
        {"in_the_open": ["own"]},
        tasks={"train": TRAIN, "own": own},
        groups={"counts": {"int64": [3]}},
    )
    assert problems == [
        "tasks.own.discloses.groups.counts: `counts: individual` of task `own` shows each site's own, beside "
        "sums in which none is to be seen: have it combined, or give the task a plan of its own"
    ]


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        (
            {"initial_model": None},
            "initial_model: without `initial_model` one site would be asked for its own model: name a "
            ".safetensors file, the parameters of a new learner as `safetensors.numpy.save_file` "
            "writes them, or the `model.safetensors` of `hanse simulate --rounds 1 --output DIR` with a plan "
            "that is not masked; or write `initial_model: workflow`, where the workflow gives one, or "
            "`none`, where it needs none",
        ),
        (
            {"cohort": {"minimum": 3, "tolerated_missing": 0.1}},
            "cohort.tolerated_missing: `tolerated_missing` counts examples of single sites, which no party "
            "sees: leave it out",
        ),
        (
            {"cohort": {"minimum": 3, "grace": "10s"}},
            "cohort.grace: `grace` ends the wait for a few, and without them a cell has no sum: leave it "
            "out; `deadline` bounds the wait",
        ),
        (
            {"cohort": {"minimum": 3, "quorum": 0.75}},
            "cohort.quorum: by `quorum: 0.75` some may be missing, and by `incomplete: fail` none: leave "
            "`quorum` out, or write `incomplete: leave_out`",
        ),
        (
            {"cohort": {"minimum": 3, "fraction": 0.5}},
            "cohort.fraction: `fraction: 0.5` draws whole cells, and there is one: leave it out, or write "
            "several cells",
        ),
    ],
)
def test_a_run_asks_and_waits_for_whole_cells(changes: dict[str, Any], refused: str) -> None:
    assert refusals(**changes) == [refused]


def test_cells_cannot_be_left_out_where_no_site_may_be_missing() -> None:
    assert refusals({"incomplete": "leave_out"}) == [
        "cohort.quorum: by `incomplete: leave_out` cells may be missing, and by `quorum: 1` no site may: "
        "state the part of the sites that is enough, such as `quorum: 0.5`"
    ]


def test_cells_may_be_left_out_where_the_plan_says_so() -> None:
    assert refusals({"incomplete": "leave_out"}, cohort={"minimum": 3, "quorum": 0.75}) == []


def test_a_workflow_that_streams_has_no_sums() -> None:
    tasks = {"train": {"discloses": {"update": "individual"}}, "evaluate": EVALUATE}
    assert (
        "workflow: workflow fedbuff takes updates one by one, and a masked sum is over whole cells: take "
        "another, such as `fedavg`"
    ) in refusals(ALIKE | {"model": None}, workflow="fedbuff", tasks=tasks)


def test_a_workflow_that_streams_is_refused_before_it_says_what_it_needs_of_the_tasks() -> None:
    (problem,) = refusals(workflow="fedbuff")
    assert problem.startswith("workflow: workflow fedbuff takes updates one by one")


@pytest.mark.parametrize(
    ("first", "problem"),
    [
        ("workflow", "initial_model: workflow fedavg gives no first model: name a .safetensors file, the"),
        (
            None,
            "initial_model: without `initial_model` one site would be asked for its own model: name a .sa",
        ),
    ],
)
def test_a_built_in_workflow_that_gives_no_model_needs_a_file(first: str | None, problem: str) -> None:
    (refused,) = refusals(workflow="fedavg", initial_model=first)
    assert refused.startswith(problem)
    assert "`hanse simulate --rounds 1 --output DIR`" in refused
    assert "write `initial_model: workflow`" not in refused


def test_a_metric_with_a_range_that_no_task_discloses_is_refused() -> None:
    (problem,) = refusals({"metrics": {"loss": [0, 20], "los": [0, 1]}})
    assert problem == (
        "privacy.secure_aggregation.metrics.los: no task discloses a metric `los`; did you mean `loss`?"
    )


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ({"all": ["a", "b", "c", "a"]}, "cells.all.3: a is twice in the cell `all`; a site is in one cell"),
        (
            {"north": ["a", "b", "c"], "south": ["c", "d", "e"]},
            "cells.south.0: c is in the cells `north` and `south`; a site is in one cell",
        ),
        ({"all": ["a", "b"]}, "cells: by `cohort: {minimum: 3}` a round needs 3 sites"),
    ],
)
def test_problems_of_cells_have_a_place(cells: dict[str, list[str]], problem: str) -> None:
    (found,) = refusals(cells=cells)
    assert found.startswith(problem)


def test_statistics_of_rows_need_the_bounds_of_examples_so_that_rows_are_counted() -> None:
    tasks = {"tabulate": summing(counts="total")}
    groups = {"counts": {"int64": [2, 2, 1], "range": [0, 100]}}
    (problem,) = refusals(
        ALIKE | {"model": None, "metrics": {}},
        workflow="contingency",
        tasks=tasks,
        groups=groups,
        initial_model="none",
    )
    assert "`examples: {most: N}`, with the most rows that a site has" in problem


def test_whole_numbers_of_a_mean_have_to_be_finer_than_units_on_the_grid() -> None:
    large = {"clip": 1.0, "integers": [0, 2_000_000_000_000]}
    (problem,) = refusals({"model": large})
    assert problem.startswith("privacy.secure_aggregation.model.integers: the mean of whole numbers up to 2")
    assert problem.endswith("write `ring: 64`, or a smaller number")
    assert refusals({"model": large, "ring": 64}) == []


def test_all_problems_are_told_at_once() -> None:
    places = [
        problem.partition(":")[0] for problem in refusals({"model": None}, cells={}, initial_model=None)
    ]
    assert places == ["initial_model", "cells", "privacy.secure_aggregation.model"]


def test_differential_privacy_is_refused_by_its_name() -> None:
    privacy = {"secure_aggregation": SECTION, "differential_privacy": {"epsilon": 1.0}}
    with pytest.raises(ValueError, match="differential_privacy: not available in this version; leave it out"):
        secure_plan(privacy=privacy)


@pytest.mark.parametrize(
    ("step", "refused"),
    [
        ("fp16", "`fp16` has scales that differ from site to site"),
        ("int8", "`int8` has scales that differ from site to site"),
        ("int4", "`int4` has scales that differ from site to site"),
        ("drive", "`drive` has scales that differ from site to site"),
        ("eden", "`eden` has scales that differ from site to site"),
        ("top_k", "`top_k` chooses other numbers at each site"),
        ("stc", "`stc` chooses other numbers at each site"),
        ("zstd", "`zstd` makes a size of the values"),
        (
            {"name": "random_k", "fraction": 0.1},
            "write `{name: random_k, fraction: 0.1, error_feedback: false}`",
        ),
    ],
)
def test_a_step_of_compression_has_to_be_alike_at_all_members(step: Any, refused: str) -> None:
    (problem,) = refusals(compression=[step])
    assert problem.startswith("compression.upload.0: ")
    assert refused in problem


@pytest.mark.parametrize("step", ["rotate", "bf16", {"name": "random_k", "error_feedback": False}])
def test_steps_that_are_alike_at_all_members_are_read(step: Any) -> None:
    assert refusals(compression=[step]) == []


def test_a_rotation_keeps_the_length_and_not_the_largest_number() -> None:
    assert refusals({"model": {"clip": 0.5, "norm": "max"}}, compression=["rotate"]) == [
        "compression.upload.0: `rotate` keeps the length of an update, and not its largest number: write "
        "`model: {clip: 0.5, norm: l2}`, or leave `rotate` out"
    ]


def test_groups_are_not_compressed() -> None:
    groups = {"control": {"float32": [300], "range": [-1, 1]}}
    tasks = {"train": TRAIN, "more": summing(control="mean")}
    (problem,) = refusals(groups=groups, tasks=tasks, compression={"upload": ["bf16"], "groups": ["control"]})
    assert problem.startswith("compression.groups: groups keep their ranges under secure aggregation")
