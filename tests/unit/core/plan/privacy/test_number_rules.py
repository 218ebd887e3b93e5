"""Numbers of a masked sum: each has a range, and whole numbers fit into one word."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.unit.core.plan.privacy.secure_plans import TRAIN, refusals, secure_plan, summing

from hanse.core.plan.privacy.number_rules import LARGEST_BOUND, LEAST_BOUND, group_range
from hanse.core.values.parameters import TensorSpec
from hanse.privacy.secagg.grid import Ring, check_range, largest_sum
from hanse.privacy.secagg.layout import Declared, DeclaredTensor, Range, layout_of

ALIKE: dict[str, Any] = {"examples": None, "ready_after": None, "model": None, "metrics": {}}


def counted(group: dict[str, Any], rule: str = "total", **section: Any) -> list[str]:
    """Refusals of a plan whose one task discloses a group `counts`."""
    return refusals(ALIKE | section, tasks={"count": summing(counts=rule)}, groups={"counts": group})


def test_an_update_without_a_bound_is_refused() -> None:
    assert refusals({"model": None}) == [
        "privacy.secure_aggregation.model: the update of task `train` has no bound, to which each site's "
        "agent clips it: write `model: {clip: 1.0}`, the largest length that an update may have"
    ]


@pytest.mark.parametrize(
    ("model", "place", "reason"),
    [
        ({"clip": 1e-200}, "clip", "has to be from 2^-500 to 2^500"),
        ({"clip": 1e200}, "clip", "has to be from 2^-500 to 2^500"),
        (
            {"clip": 1.0, "integers": [5, 5]},
            "integers",
            "[5, 5] is not a range: the first number has to be sm",
        ),
        ({"clip": 1.0, "integers": [0, 10**400]}, "integers", "the numbers of a range have to be at most"),
    ],
)
def test_a_bound_has_to_be_one_that_the_grid_divides(model: dict[str, Any], place: str, reason: str) -> None:
    (problem,) = refusals({"model": model})
    assert problem.startswith(f"privacy.secure_aggregation.model.{place}: ")
    assert reason in problem


def test_each_metric_of_a_masked_task_has_a_range() -> None:
    assert refusals({"metrics": {}}) == [
        "privacy.secure_aggregation.metrics: loss has no range, to which each site's agent cuts it: write "
        "`metrics: {loss: [LEAST, LARGEST]}`"
    ]
    tasks = {"train": TRAIN, "evaluate": {"discloses": {"metrics": ["auc", "brier"]}}}
    assert refusals(tasks=tasks) == [
        "privacy.secure_aggregation.metrics: auc and brier have no range, to which each site's agent cuts "
        "them: write `metrics: {auc: [LEAST, LARGEST], brier: [LEAST, LARGEST]}`, or "
        "`in_the_open: [evaluate]`"
    ]
    assert refusals({"in_the_open": ["evaluate"]}, tasks=tasks) == []


@pytest.mark.parametrize(
    ("metrics", "refused"),
    [
        ({"loss": [1, 1]}, "metrics.loss: [1, 1] is not a range"),
        ({"loss": {"range": [20, 0], "optional": True}}, "metrics.loss: [20, 0] is not a range"),
        ({"loss": [0, 1e-200]}, "metrics.loss: the larger of 0 and 1e-200 has to be from 2^-500"),
    ],
)
def test_a_range_of_a_metric_has_two_ends_that_the_grid_divides(
    metrics: dict[str, Any], refused: str
) -> None:
    (problem,) = refusals({"metrics": metrics})
    assert problem.startswith(f"privacy.secure_aggregation.{refused}")


def test_what_is_weighed_needs_bounds_of_the_number_of_examples_and_a_time() -> None:
    assert refusals({"examples": None, "ready_after": None}) == [
        "privacy.secure_aggregation.ready_after: the time that a site needs grows with its number of "
        "examples, by which sums are weighed: write `ready_after: 60s`, longer than a task takes, or "
        "`ready_after: 0s` where that time may be known",
        "privacy.secure_aggregation.examples: task `train` is weighed by number of examples, which has no "
        "bounds: write `examples: {least: 200, most: 400}`, or have it combined by `mean`, by which sites "
        "count alike (`aggregation: {rule: mean}`)",
    ]
    assert refusals({"examples": None, "ready_after": None}, aggregation={"rule": "mean"}) == []
    assert refusals({"ready_after": "0s"}) == []


def test_a_group_by_a_weighted_mean_is_weighed() -> None:
    group = {"float64": [3], "range": [-1, 1]}
    assert counted(group, "mean") == []
    assert [p.partition(":")[0] for p in counted(group, "weighted_mean")] == [
        "privacy.secure_aggregation.ready_after",
        "privacy.secure_aggregation.examples",
    ]


def test_numbers_of_examples_of_all_members_fit_into_a_word() -> None:
    bounds = {"least": 5 * 10**8, "most": 10**9}
    assert refusals({"examples": bounds}) == [
        "privacy.secure_aggregation.examples.most: 4 sites of `most: 1000000000` examples do not fit into "
        "one word: write `ring: 64`, or a smaller number"
    ]
    assert refusals({"examples": bounds, "ring": 64}) == []


def test_a_group_has_a_range_of_its_own_or_by_its_kind() -> None:
    assert counted({"int64": [3]}) == [
        "groups.counts: group `counts` has no range, to which each site's agent cuts its numbers: write "
        "`groups: {counts: {range: [LEAST, LARGEST]}}`, beside what is declared of it"
    ]
    assert counted({"uint8": [3]}) == []
    assert counted({"pooled": "binary"}) == [
        "groups.counts: group `counts` counts up to a site's number of examples: write `examples: {most: "
        "1200}` in `privacy`"
    ]
    assert counted({"pooled": "binary"}, examples={"most": 1200}) == []


def test_the_range_of_a_group_is_what_is_declared_or_follows_from_its_kind() -> None:
    groups = {
        "sums": {"float64": [2], "range": [-5, 7]},
        "bytes": {"uint8": [2]},
        "scores": {"pooled": "binary"},
        "control": {"like": "model"},
    }
    agreed = secure_plan(groups=groups)
    assert [group_range(agreed, name) for name in groups] == [(-5, 7), (0, 255), (0, 200), None]


@pytest.mark.parametrize(
    ("group", "section", "refused"),
    [
        (
            {"int64": [3], "range": [0, 0.5]},
            {},
            "groups.counts.range: group `counts` holds whole numbers: its range has to be two of them",
        ),
        (
            {"int64": [3], "range": [0, 536_870_912]},
            {},
            "groups.counts.range: 4 numbers of `counts` up to 536870912 do not fit into one word: write "
            "`ring: 64`, or a smaller number",
        ),
        (
            {"int64": [3], "range": [-(2**62), 0]},
            {"ring": 64},
            "groups.counts.range: 4 numbers of `counts` up to 4611686018427387904 do not fit into one word: "
            "at most 2,305,843,009,213,693,951 is possible",
        ),
        (
            {"float64": [3], "range": [0, 1e-200]},
            {},
            "groups.counts.range: the larger of 0 and 1e-200 has to be from 2^-500 to 2^500 (3.1e-151 to "
            "3.3e+150)",
        ),
    ],
)
def test_a_range_that_cannot_be_coded_is_refused(
    group: dict[str, Any], section: dict[str, Any], refused: str
) -> None:
    assert counted(group, **section) == [refused]


def test_the_largest_whole_number_that_fits_is_read() -> None:
    assert counted({"int64": [3], "range": [0, 536_870_911]}) == []


def test_plans_and_sums_have_the_same_bounds() -> None:
    for bound in (LEAST_BOUND, LARGEST_BOUND):
        check_range(-bound, bound, "both ends")
    for bound in (LEAST_BOUND / 2, LARGEST_BOUND * 2):
        with pytest.raises(ValueError, match="between"):
            check_range(-bound, bound, "both ends")
    assert 4 * 536_870_911 <= largest_sum(32) < 4 * 536_870_912


@given(
    st.integers(3, 64),
    st.sampled_from((32, 64)),
    st.integers(-(2**62), 2**62),
    st.integers(1, 2**62),
)
def test_whole_numbers_of_a_plan_that_is_read_can_be_laid_out(
    members: int, ring: Ring, low: int, width: int
) -> None:
    names = [f"site-{number}" for number in range(members)]
    section = {"secure_aggregation": ALIKE | {"ring": ring}}
    group = {"int64": [2], "range": [low, low + width]}
    try:
        agreed = secure_plan(
            privacy=section,
            cells={"all": names},
            tasks={"count": summing(counts="total")},
            groups={"counts": group},
        )
    except ValidationError:
        return
    bounds = group_range(agreed, "counts")
    assert bounds is not None
    tensor = DeclaredTensor(TensorSpec((2,), "int64"), "total", Range(*bounds))
    assert layout_of(Declared({"@counts": tensor}), ring=ring, members=members).words == 3
