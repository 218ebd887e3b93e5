"""Names, shapes and dtypes of groups, from the plan and the headers of what a task receives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.unit.core.plan.grouped_plans import disclosing, plan

from hanse.core.plan.disclosure import check_tensors, expected_tensors
from hanse.core.plan.group_tensors import (
    Received,
    disclosed_tensors,
    group_bytes,
    out_of_range,
    problem_of_received,
    received_groups,
    receives_model,
)
from hanse.core.plan.plan import Plan
from hanse.core.plan.tasks import INITIALISE
from hanse.core.values.parameters import TensorSpec, specs
from hanse.errors import DisclosureError

MODEL = {
    "body.weight": TensorSpec((2, 3), "float32"),
    "body.steps": TensorSpec((), "int64"),
    "head.bias": TensorSpec((3,), "bfloat16"),
}


def sent(**arrays: Any) -> Received:
    """The model, and arrays of groups; `group__array` is an array of a table."""
    named = {f"@{name.replace('__', '/')}": array for name, array in arrays.items()}
    return Received(MODEL, specs(named))


HISTOGRAM = plan(
    options={"features": 4},
    dimensions={"bins": 8, "leaves": 2},
    groups={
        "edges": {"float64": ["bins"]},
        "leaves": {"index": {"int32": ["leaves"]}, "old": {"bool": ["leaves"]}},
        "counts": {"n": {"int64": ["leaves", "features", "bins"]}, "sum": {"float64": [2]}},
    },
    tasks={"count": {"receives": ["model", "edges", "leaves"], **disclosing(counts="total")}},
)
INDEX, OLD = np.zeros(2, np.int32), np.zeros(2, np.bool_)
WELL = sent(edges=np.zeros(5), leaves__index=INDEX, leaves__old=OLD)


def test_dimensions_are_those_of_the_options_and_of_what_is_sent() -> None:
    assert problem_of_received(HISTOGRAM, "count", WELL) == ""
    assert disclosed_tensors(HISTOGRAM, "count", WELL) == {
        "@counts/n": TensorSpec((2, 4, 5), "int64"),
        "@counts/sum": TensorSpec((2,), "float64"),
    }


@pytest.mark.parametrize(
    ("received", "problem"),
    [
        (sent(leaves__index=INDEX, leaves__old=OLD), "group 'edges' is missing"),
        (sent(edges=np.zeros(5), leaves__index=INDEX), "array 'old' of group 'leaves' is missing"),
        (
            sent(edges=np.zeros(5), leaves__index=INDEX, leaves__old=OLD, more=OLD),
            "group 'more' was not expected; task count receives beside the model: 'edges' and 'leaves'",
        ),
        (
            sent(edges=np.zeros(5), edges__x=OLD, leaves__index=INDEX, leaves__old=OLD),
            "it has array 'x' of group 'edges', and should have group 'edges'",
        ),
        (
            sent(edges=np.zeros(5, np.float32), leaves__index=INDEX, leaves__old=OLD),
            "group 'edges' is float32, and should be float64",
        ),
        (
            sent(edges=np.zeros((5, 1)), leaves__index=INDEX, leaves__old=OLD),
            "group 'edges' has 2 dimensions, and should have 1",
        ),
        (
            sent(edges=np.zeros(9), leaves__index=INDEX, leaves__old=OLD),
            r"has the shape (9,): bins is 9, at most 8 by the plan",
        ),
        (
            sent(edges=np.zeros(5), leaves__index=INDEX, leaves__old=np.zeros(1, np.bool_)),
            "leaves is 1 here and 2 in another array",
        ),
    ],
)
def test_other_groups_than_the_plan_declares_are_refused_in_words(received: Received, problem: str) -> None:
    assert problem in problem_of_received(HISTOGRAM, "count", received)
    with pytest.raises(DisclosureError, match="task count was sent something else than the plan says"):
        disclosed_tensors(HISTOGRAM, "count", received)


def test_a_dimension_of_the_options_is_as_they_say() -> None:
    made = plan(options={"p": 3}, groups={"g": {"float64": ["p", 2]}}, tasks={"count": {"receives": ["g"]}})

    assert problem_of_received(made, "count", Received(None, specs({"@g": np.zeros((3, 2))}))) == ""
    told = problem_of_received(made, "count", Received(None, specs({"@g": np.zeros((2, 2))})))
    assert told.endswith("group 'g' has the shape (2, 2): p is 3")
    told = problem_of_received(made, "count", Received(None, specs({"@g": np.zeros((3, 3))})))
    assert told.endswith("has the shape (3, 3): a dimension is 2")


def test_a_dimension_may_be_bound_to_none_at_all() -> None:
    made = sent(edges=np.zeros(0), leaves__index=INDEX, leaves__old=OLD)

    assert disclosed_tensors(HISTOGRAM, "count", made)["@counts/n"].shape == (2, 4, 0)


class TestLike:
    @staticmethod
    def plan(**group: Any) -> Plan:
        return plan(
            groups={"control": {"like": "model", **group}},
            tasks={"count": {"receives": ["model", "control"], **disclosing(control="mean")}},
        )

    def test_it_has_the_floating_point_tensors_of_the_model(self) -> None:
        wanted = {
            "@control/body.weight": TensorSpec((2, 3), "float32"),
            "@control/head.bias": TensorSpec((3,), "bfloat16"),
        }

        assert disclosed_tensors(self.plan(), "count", Received(MODEL, wanted)) == wanted

    def test_those_of_its_patterns_in_its_dtype(self) -> None:
        wanted = {"@control/body.weight": TensorSpec((2, 3), "float64")}

        made = self.plan(tensors=["body.*"], dtype="float64")
        assert disclosed_tensors(made, "count", Received(MODEL, wanted)) == wanted

    def test_whole_numbers_are_none_of_it(self) -> None:
        given = {f"@control/{name}": spec for name, spec in MODEL.items()}

        told = problem_of_received(self.plan(), "count", Received(MODEL, given))
        assert "it has array 'body.steps' of group 'control', and should have array 'body.weight'" in told

    def test_another_shape_is_named(self) -> None:
        given = {"@control/body.weight": TensorSpec((3, 2), "float32")}

        told = problem_of_received(self.plan(tensors=["body.*"]), "count", Received(MODEL, given))
        assert "array 'body.weight' of group 'control' is float32 of the shape (3, 2), and should be" in told

    def test_a_pattern_that_nothing_fits_is_refused(self) -> None:
        """What it was meant for would never be sent."""
        given = {"@control/body.weight": TensorSpec((2, 3), "float32")}

        told = problem_of_received(self.plan(tensors=["body.*", "tail.*"]), "count", Received(MODEL, given))
        assert "a pattern 'tail.*' that none of `model` fits; there are 'body.weight' and 'head.bias'" in told

    def test_so_it_is_in_a_group_that_is_only_given(self) -> None:
        made = plan(
            groups={"control": {"like": "model", "tensors": ["tail.*"]}},
            tasks={"count": disclosing(control="mean")},
        )

        with pytest.raises(DisclosureError, match=r"group 'control' cannot be given: .* pattern 'tail\.\*'"):
            disclosed_tensors(made, "count", Received(MODEL, {}))

    def test_a_model_without_real_numbers_is_none_to_be_like(self) -> None:
        whole = Received({"body.steps": TensorSpec((), "int64")}, {})

        assert "`model` has no tensors of real numbers" in problem_of_received(self.plan(), "count", whole)

    def test_a_group_may_be_like_another_one(self) -> None:
        made = plan(
            groups={"sums": {"s": {"float64": [2]}, "n": {"int64": []}}, "change": {"like": "sums"}},
            tasks={"count": {"receives": ["sums"], **disclosing(change="mean")}},
        )
        given = specs({"@sums/s": np.zeros(2), "@sums/n": np.zeros((), np.int64)})

        assert disclosed_tensors(made, "count", Received(None, given)) == {
            "@change/s": TensorSpec((2,), "float64")
        }

    def test_and_like_one_array(self) -> None:
        made = plan(
            groups={"point": {"float32": [2]}, "slope": {"like": "point", "dtype": "float64"}},
            tasks={"count": {"receives": ["point"], **disclosing(slope="mean")}},
        )
        given = Received(None, specs({"@point": np.zeros(2, np.float32)}))

        assert disclosed_tensors(made, "count", given) == {"@slope": TensorSpec((2,), "float64")}


def test_a_first_model_comes_without_groups() -> None:
    assert not receives_model(HISTOGRAM, INITIALISE)
    assert received_groups(HISTOGRAM, INITIALISE) == ()
    assert disclosed_tensors(HISTOGRAM, INITIALISE, Received()) == {}
    assert problem_of_received(HISTOGRAM, INITIALISE, Received()) == ""


def test_the_update_stands_beside_the_groups() -> None:
    task = {"discloses": {"update": "individual", "groups": {"g": "individual"}, "tensors": ["head.*"]}}
    made = plan(groups={"g": {"float64": []}}, tasks={"count": task})

    assert set(expected_tensors(Received(MODEL, {}), made, "count")) == {"head.bias", "@g"}


@pytest.mark.parametrize("bins", [1, 8])
def test_the_most_bytes_of_groups_hold_whatever_is_decided(bins: int) -> None:
    received = sent(edges=np.zeros(bins), leaves__index=INDEX, leaves__old=OLD)
    tensors = disclosed_tensors(HISTOGRAM, "count", received)

    size = sum(np.zeros(spec.shape, spec.dtype).nbytes for spec in tensors.values())
    assert size <= group_bytes(HISTOGRAM, "count", model_bytes=0)


def test_so_they_do_for_groups_like_the_model() -> None:
    made = TestLike.plan(dtype="float64")

    assert group_bytes(made, "count", model_bytes=30) >= 9 * 8


class TestRange:
    PLAN = plan(
        groups={"g": {"float64": [3], "range": [-1, 1]}, "n": {"int64": [3]}},
        tasks={"count": disclosing(g="total", n="total")},
    )

    @pytest.mark.parametrize("value", [1.5, -1.0000001, np.nan, np.inf])
    def test_a_number_outside_of_it_is_named(self, value: float) -> None:
        tensors = {"@n": np.full(3, 5), "@g": np.array([0, value, 1])}

        assert out_of_range(self.PLAN, tensors) == "group 'g' has a number outside of -1 to 1"

    def test_its_ends_are_inside(self) -> None:
        assert out_of_range(self.PLAN, {"@g": np.array([-1.0, 1.0, -0.0])}) == ""

    def test_it_is_held_where_answers_are_checked(self) -> None:
        tensors = {"@n": np.full(3, 5), "@g": np.full(3, 2.0)}

        with pytest.raises(DisclosureError, match="'g' has a number outside of -1 to 1, its `range`"):
            check_tensors(tensors, Received(MODEL, {}), self.PLAN, "count", "task count at a")


def test_without_groups_a_models_names_are_its_own() -> None:
    """A plan of 0.1 may have such a model."""
    made = plan(tasks={"count": {"discloses": {"update": "individual"}}})
    tensors = {"@w": np.zeros(2, np.float32)}

    check_tensors(tensors, Received(specs(tensors)), made, "count", "task count at a")
