"""Groups in a plan: how they are declared, and what does not go together."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError
from tests.unit.core.plan.grouped_plans import BY_AGGREGATOR, disclosing, plan

from hanse.core.plan.groups import ArraySpec, read_group
from hanse.core.plan.robust_rules import Median


def refusal(**changes: Any) -> str:
    with pytest.raises(ValidationError) as refused:
        plan(**changes)
    return "; ".join(error["msg"] for error in refused.value.errors())


class TestDeclarations:
    def test_a_group_is_one_array(self) -> None:
        group = read_group({"float64": ["p", 3]})

        assert group.single
        assert group.arrays == {"": ArraySpec("float64", ("p", 3))}
        assert group.named_dimensions() == {"p"}

    def test_or_a_table_of_arrays(self) -> None:
        group = read_group({"sum": {"float64": ["p"]}, "n": {"int64": []}, "range": [-1, 1]})

        assert not group.single
        assert group.arrays == {"sum": ArraySpec("float64", ("p",)), "n": ArraySpec("int64", ())}
        assert group.bounds == (-1.0, 1.0)

    def test_or_like_the_model(self) -> None:
        group = read_group({"like": "model", "tensors": ["encoder.*"], "dtype": "float64"})

        assert (group.like, group.patterns, group.dtype) == ("model", ("encoder.*",), "float64")

    def test_or_binned_scores_which_are_counts_by_class(self) -> None:
        assert read_group({"pooled": "binary"}).arrays == {"": ArraySpec("int64", (2, 1024))}
        assert read_group({"pooled": "binary", "bins": 16}).arrays[""].shape == (2, 16)

    def test_an_array_of_a_table_may_be_called_as_a_dtype_is(self) -> None:
        assert read_group({"float64": {"int64": [1]}}).arrays == {"float64": ArraySpec("int64", (1,))}

    @pytest.mark.parametrize(
        ("declared", "problem"),
        [
            ({}, "a group is one array"),
            ({"float16": [2]}, "array 'float16' has one dtype and its shape"),
            ({"a": {"complex128": [2]}}, "dtypes are float32, float64, int32, int64, uint8, bool"),
            ({"a": {"float64": [2], "int64": [2]}}, "array 'a' has one dtype"),
            ({"float64": [2], "int64": [2]}, "a group of one array has one dtype"),
            ({"a/b": {"float64": [2]}}, "'a/b' is not a name of an array"),
            ({"float64": 2}, "a shape is a list of at most 8 dimensions"),
            ({"float64": [1] * 9}, "a shape is a list of at most 8 dimensions"),
            ({"float64": [0]}, "a dimension is a whole number from 1 on"),
            ({"float64": [-1]}, "a dimension is a whole number from 1 on"),
            ({"float64": [True]}, "a dimension is a whole number from 1 on"),
            ({"float64": [1.5]}, "a dimension is a whole number from 1 on"),
            ({"float64": ["p*2"]}, "a dimension is a whole number from 1 on"),
            ({"float64": [2**41]}, "a dimension is a whole number from 1 on"),
            ({"float64": [2], "range": [1, 1]}, "the first number of `range` is smaller"),
            ({"float64": [2], "range": [1]}, "`range` is two numbers"),
            ({"float64": [2], "range": [False, True]}, "`range` is two numbers"),
            ({"float64": [2], "range": [0, 10**400]}, "have to fit into a float64"),
            ({"like": "model", "rule": "mean"}, "`rule` does not go with `like`"),
            ({"like": "model", "dtype": "int64"}, "is float32 or float64"),
            ({"like": "model", "tensors": []}, "`tensors` is a list of patterns"),
            ({"like": "Model"}, "`like` names a group, or `model`"),
            ({"pooled": "ternary"}, r"are declared as `{pooled: binary, bins: 1024}`"),
            ({"pooled": "binary", "bins": 1}, "`bins` is a whole number from 2"),
            ({"pooled": "binary", "range": [0, 1]}, "are declared as"),
        ],
    )
    def test_what_is_none_is_refused(self, declared: dict[str, Any], problem: str) -> None:
        assert problem in refusal(groups={"g": declared})

    @pytest.mark.parametrize("name", ["Control", "9a", "a-b", "@a", "a" * 64, ""])
    def test_a_name_is_of_small_letters_digits_and_underscores(self, name: str) -> None:
        assert "is not a name of a group" in refusal(groups={name: {"float64": [2]}})

    def test_the_models_name_is_taken(self) -> None:
        assert "the name `model` is taken under `groups`" in refusal(groups={"model": {"float64": [2]}})

    def test_there_are_at_most_20(self) -> None:
        assert "at most 20 items" in refusal(groups={f"g{i}": {"float64": [2]} for i in range(21)})


class TestLike:
    def test_what_a_group_is_like_is_declared(self) -> None:
        assert "group `a` is like `b`, which is not under `groups`" in refusal(groups={"a": {"like": "b"}})

    def test_no_group_is_like_itself_nor_by_way_of_another(self) -> None:
        assert "is like itself: a and a" in refusal(groups={"a": {"like": "a"}})
        assert "is like itself: a, b and a" in refusal(groups={"a": {"like": "b"}, "b": {"like": "a"}})

    def test_there_are_real_numbers_to_be_like(self) -> None:
        groups = {"a": {"like": "b"}, "b": {"int64": [2]}}

        assert "group `a` is like `b`, which has no real numbers" in refusal(groups=groups)

    def test_the_task_receives_what_its_groups_are_like(self) -> None:
        found = refusal(
            groups={"a": {"like": "model"}}, tasks={"count": {"receives": [], **disclosing(a="mean")}}
        )

        assert "task `count`: `a` is like `model`, which the task does not receive" in found


class TestDimensions:
    def test_a_name_stands_for_a_whole_number_of_the_options(self) -> None:
        assert plan(options={"p": 3}, groups={"g": {"float64": ["p"]}}).group_specs["g"].arrays[""].shape == (
            "p",
        )

    @pytest.mark.parametrize("value", [3.0, True, 0, -1, "3", 2**41])
    def test_any_other_option_is_none(self, value: object) -> None:
        found = refusal(options={"p": value}, groups={"g": {"float64": ["p"]}})

        assert "group `g` has a dimension `p`, which is neither a whole number under `options`" in found

    def test_it_stands_in_one_of_the_two_places(self) -> None:
        found = refusal(options={"p": 3}, dimensions={"p": 3})

        assert "the dimension `p` stands under `options` and under `dimensions`" in found

    def test_one_that_is_decided_at_an_ask_is_decided_by_what_the_task_receives(self) -> None:
        shapes = {"edges": {"float64": ["bins"]}, "counts": {"int64": ["bins"]}}
        bound = {"receives": ["edges"], **disclosing(counts="total")}

        plan(dimensions={"bins": 8}, groups=shapes, tasks={"count": bound})
        found = refusal(
            dimensions={"bins": 8}, groups=shapes, tasks={"count": {**bound, "receives": ["model"]}}
        )

        assert "discloses `counts` with the dimension `bins`, which nothing that the task receives" in found


class TestTasks:
    GROUPS: dict[str, Any] = {  # noqa: RUF012
        "real": {"float64": [2]},
        "whole": {"int64": [2]},
        "small": {"uint8": [2]},
        "truth": {"bool": [2]},
        "mixed": {"n": {"int64": []}, "sum": {"float64": []}},
        "scores": {"pooled": "binary"},
    }

    @pytest.mark.parametrize(
        ("group", "rule"),
        [
            ("real", "mean"),
            ("real", "weighted_mean"),
            ("real", {"rule": "krum", "byzantine": 1}),
            ("whole", "total"),
            ("whole", "median"),
            ("truth", "individual"),
            ("mixed", "total"),
            ("mixed", "individual"),
        ],
    )
    def test_rules_that_a_group_can_be_combined_by(self, group: str, rule: Any) -> None:
        made = plan(groups=self.GROUPS, cohort={"minimum": 5}, tasks={"count": disclosing(**{group: rule})})

        assert set(made.tasks["count"].discloses.groups) == {group}

    @pytest.mark.parametrize(
        ("group", "rule", "problem"),
        [
            ("whole", "mean", "`whole` holds whole numbers, which are combined by `total` or `median`"),
            ("small", "weighted_mean", "`small` holds whole numbers"),
            ("mixed", "mean", "`mixed` holds whole numbers"),
            ("whole", {"rule": "krum", "byzantine": 0}, "not by `krum`"),
            ("truth", "total", "`truth` holds truth values, which are disclosed `individual` only"),
            ("truth", "median", "`truth` holds truth values"),
            ("scores", "individual", "the binned scores `scores` are combined by `total`"),
        ],
    )
    def test_rules_that_it_cannot(self, group: str, rule: Any, problem: str) -> None:
        assert problem in refusal(groups=self.GROUPS, tasks={"count": disclosing(**{group: rule})})

    def test_a_rule_of_which_nobody_knows_is_refused(self) -> None:
        assert "rule" in refusal(groups=self.GROUPS, tasks={"count": disclosing(real="sum")})

    def test_a_robust_rule_has_as_many_sites_as_it_needs(self) -> None:
        task = disclosing(real={"rule": "krum", "byzantine": 1})

        assert "write `cohort: {minimum: 5}`" in refusal(groups=self.GROUPS, tasks={"count": task})
        cells = {"north": list("abcde"), "south": list("fghij")}
        found = refusal(groups=self.GROUPS, tasks={"count": task}, cells=cells, cohort={"minimum": 5})
        assert "write `cohort: {cell_minimum: 5}`" in found

    def test_a_group_that_is_not_declared_is_named(self) -> None:
        received = {"count": {"receives": ["model", "other"]}}

        found = refusal(groups={"real": {"float64": [2]}}, tasks=received)
        assert "task `count` names a group `other`; declared under `groups` are: real" in found
        assert "names a group `other`" in refusal(tasks={"count": disclosing(other="mean")})

    def test_a_group_is_received_once(self) -> None:
        found = refusal(groups=self.GROUPS, tasks={"count": {"receives": ["real", "real"]}})

        assert "a group is listed twice under `receives`" in found

    def test_the_model_is_disclosed_by_update(self) -> None:
        found = refusal(tasks={"count": disclosing(model="mean")})

        assert "the model is disclosed by `update`, not under `groups`" in found

    def test_an_update_is_of_a_model_that_the_task_receives(self) -> None:
        found = refusal(tasks={"count": {"receives": [], "discloses": {"update": "individual"}}})

        assert "discloses an update, for which it has to receive the model" in found

    def test_combined_groups_say_who_combines(self) -> None:
        found = refusal(groups=self.GROUPS, tasks={"count": {"discloses": {"groups": {"whole": "total"}}}})

        assert "the group `whole` is combined: say who aggregates, `aggregated_by: aggregator`" in found

    def test_individual_ones_do_not(self) -> None:
        task = {"discloses": {**BY_AGGREGATOR, "groups": {"whole": "individual"}}}

        assert "goes with `update: aggregate` or combined groups only" in refusal(
            groups=self.GROUPS, tasks={"count": task}
        )

    def test_a_robust_rule_is_short_for_its_settings(self) -> None:
        made = plan(groups=self.GROUPS, tasks={"count": disclosing(real="median")})

        assert made.tasks["count"].discloses.robust_groups == {"real": Median()}


class TestCompression:
    LOSSY: dict[str, Any] = {"upload": ["int8"], "groups": ["real"]}  # noqa: RUF012

    def test_lossy_steps_act_on_groups_that_are_named(self) -> None:
        made = plan(groups=TestTasks.GROUPS, compression=self.LOSSY, tasks={"count": disclosing(real="mean")})

        assert made.compression.groups == ("real",)

    def test_never_on_a_total(self) -> None:
        found = refusal(
            groups=TestTasks.GROUPS, compression=self.LOSSY, tasks={"count": disclosing(real="total")}
        )

        assert "discloses `real` as a total, and lossy compression would make another of it" in found

    def test_only_declared_ones_are_named(self) -> None:
        assert "`compression: groups` names `real`, which is not under `groups`" in refusal(
            compression=self.LOSSY
        )

    def test_a_rule_that_compares_takes_no_sparse_values(self) -> None:
        sparse = {"upload": ["top_k"], "groups": ["real"]}
        task = disclosing(real={"rule": "krum", "byzantine": 0})

        found = refusal(
            groups=TestTasks.GROUPS, compression=sparse, tasks={"count": task}, cohort={"minimum": 3}
        )

        assert "take the group out of `compression: groups`" in found


class TestWithoutModel:
    def test_tasks_receive_none(self) -> None:
        assert "receives the model, and the run has none" in refusal(initial_model="none")

    def test_nothing_looks_for_a_best_one(self) -> None:
        tasks = {"count": {"receives": [], "discloses": {"metrics": ["loss"]}}}

        found = refusal(initial_model="none", tasks=tasks, keep_best={"metric": "loss", "mode": "min"})
        assert "`keep_best` needs a model, and the run has none" in found
        found = refusal(initial_model="none", tasks=tasks, compression={"download": ["delta", "zstd"]})
        assert "`download` needs a model, and the run has none" in found

    @pytest.mark.parametrize(
        ("given", "origin"),
        [(None, "site"), ("none", "none"), ("workflow", "workflow"), ("start.safetensors", "file")],
    )
    def test_where_a_first_model_comes_from(self, given: str | None, origin: str) -> None:
        tasks = {"count": {"receives": []}}

        assert plan(initial_model=given, tasks=tasks).first_model == origin


class TestCells:
    def test_they_are_disjoint(self) -> None:
        found = refusal(cells={"north": ["a", "b", "c"], "south": ["c", "d", "e"]})

        assert "c is in the cells `north` and `south`; a site is in one cell" in found

    def test_a_site_is_in_one_once(self) -> None:
        assert "a site is in one cell" in refusal(cells={"north": ["a", "a", "b"]})

    def test_each_has_as_many_sites_as_a_sum_needs(self) -> None:
        found = refusal(cells={"north": ["a", "b"]})

        assert (
            "the cell `north` has 2 sites, and by `cohort: {cell_minimum: 3}` a sum over it needs 3" in found
        )
        assert plan(cells={"north": ["a", "b"]}, cohort={"cell_minimum": 2}).cells == {"north": ("a", "b")}

    def test_all_together_have_as_many_as_a_round_needs(self) -> None:
        found = refusal(cells={"north": ["a", "b", "c"]}, cohort={"minimum": 4})

        assert "a round needs 4 sites, and in the cells there are 3; no other site is asked" in found


class TestVaries:
    @pytest.mark.parametrize(
        ("task", "problem"),
        [
            ({"varies": {"lr": [0.1, 0.01]}}, "`varies: lr` has its smaller number second"),
            ({"lr": 0.5, "varies": {"lr": [0.01, 0.1]}}, "`lr` is 0.5, outside of what `varies` says"),
            ({"settings": {"k": "many"}, "varies": {"k": [1, 3]}}, "`k` is many, outside"),
            ({"varies": {"lr": [0, float("inf")]}}, "finite number"),
            ({"varies": {"lr": [float("nan"), 1]}}, "finite number"),
        ],
    )
    def test_what_it_says_hangs_together(self, task: dict[str, Any], problem: str) -> None:
        assert problem in refusal(tasks={"count": task})


def test_a_plan_that_says_nothing_of_all_this_has_none_of_it_in_its_text() -> None:
    """Else each plan of 0.1 would have another digest."""
    new = {"groups", "dimensions", "cells", "max_result_bytes"}

    written = plan().model_dump(mode="json")
    assert not new & written.keys()
    assert not {"receives", "varies"} & written["tasks"]["count"].keys()
    assert "groups" not in written["tasks"]["count"]["discloses"]
    assert "groups" not in written["compression"]
    assert "cell_minimum" not in written["cohort"]


def test_what_it_says_is_in_its_text() -> None:
    made = plan(groups={"g": {"int64": [2]}}, tasks={"count": {"receives": [], **disclosing(g="total")}})

    written = made.model_dump(mode="json")
    assert written["groups"] == {"g": {"int64": [2]}}
    assert written["tasks"]["count"]["receives"] == []
    assert type(made).model_validate(written) == made


@pytest.mark.parametrize(
    ("varies", "problem"),
    [
        ({"lr": [-1.0, 1.0]}, "`varies: lr` lets it be -1.0, which no plan can say"),
        ({"epochs": [0, 5]}, "`varies: epochs` lets it be 0, which no plan can say"),
        ({"flip": [False, True]}, "what varies is a number between two"),
    ],
)
def test_a_setting_varies_within_what_a_plan_can_say(varies: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(problem)):
        plan(tasks={"train": {"varies": varies}})


@pytest.mark.parametrize(
    ("task", "problem"),
    [
        ({"receives": ["model", "edges"]}, "exchanges the group `edges`; a script has the model"),
        ({"receives": []}, "exchanges no model; a script has the model"),
    ],
)
def test_a_script_has_no_groups_of_its_own(task: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(problem)):
        plan(
            learner=None,
            script="heart.py",
            code=["heart.py"],
            groups={"edges": {"float64": [3]}},
            tasks={"train": task},
            workflow="heart:workflow",
        )


def test_rounds_ask_whole_cells() -> None:
    cells = {"north": ["a", "b", "c"], "south": ["d", "e", "f"]}

    assert "`cells` go with `cohort: {fraction: 1}`" in refusal(cells=cells, cohort={"fraction": 0.9})


def test_a_group_that_no_file_could_hold_is_refused() -> None:
    huge = {"counts": {"int64": [10**9, 10**9]}}

    problem = refusal(groups=huge, tasks={"count": disclosing(counts="total")})

    assert "may have 8,000,000,000 GB at each site" in problem


def test_whole_ends_of_a_range_stay_exact() -> None:
    largest = 2**61 + 1

    assert read_group({"int64": [1], "range": [-largest, largest]}).bounds == (-largest, largest)
