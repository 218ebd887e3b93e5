"""Masked sums of a plan in words."""

from typing import Any

from tests.unit.core.plan.plans import DIGEST, plan
from tests.unit.core.plan.privacy.secure_plans import TRAIN, secure_plan, summing

from hanse.config.secure_sums.sentences import learned, masked_sent
from hanse.config.show import describe
from hanse.core.plan.manifest import CodeFile, Manifest
from hanse.core.plan.plan import Plan

EVALUATE = {"discloses": {"metrics": ["auc"]}}
METRICS = {"loss": [0, 20], "auc": {"range": [0, 1], "optional": True}}


def told(agreed: Plan) -> str:
    return " ".join(learned(agreed))


def described(agreed: Plan) -> str:
    files = tuple(CodeFile(path=path, sha256=DIGEST, size=1) for path in agreed.code)
    return describe(Manifest(plan=agreed, files=files), DIGEST)


def test_a_reader_learns_whose_sum_is_learned_and_who_could_undo_it() -> None:
    words = told(secure_plan())
    assert "The aggregator learns the sum of 4 sites (a, b, c, d) in each round." in words
    assert (
        "hidden as long as one other member of its cell is genuine and does not help the aggregator" in words
    )
    assert "checked the signing keys of 2 others or more, one of these is such a member" in words


def test_with_three_sites_any_two_learn_the_third() -> None:
    three = secure_plan({"examples": {"least": 100, "most": 100}}, cells={"all": ["a", "b", "c"]})
    assert "With three sites in a cell, any two learn the third." in learned(three)
    assert "any two learn the third" not in told(secure_plan())


def test_each_cell_is_named() -> None:
    cells = {"north": ["a", "b", "c", "d"], "south": ["e", "f", "g", "h", "i"]}
    sentences = learned(secure_plan(cells=cells))
    assert sentences[0] == "The aggregator learns the sum of each of 2 cells in each round:"
    assert sentences[1:3] == ["  north: 4 sites (a, b, c, d)", "  south: 5 sites (e, f, g, h, i)"]


def test_the_largest_share_of_a_site_is_stated_where_anything_is_weighed() -> None:
    share = "one site may be 50% of the weighted mean over 4 sites, 1 colluder subtracted (`max_share: 0.5`)"
    assert share in told(secure_plan())
    assert "weighted mean" not in told(secure_plan(aggregation={"rule": "mean"}))


def test_what_is_in_the_open_and_what_may_be_missing_is_stated() -> None:
    tasks = {"train": TRAIN, "evaluate": EVALUATE, "check": {"discloses": {"metrics": ["dice"]}}}
    agreed = secure_plan({"in_the_open": ["check"], "metrics": METRICS}, tasks=tasks)
    assert "Of auc the aggregator learns also how many sites gave it." in learned(agreed)
    assert ("In the open, not masked: each site's own dice and the number of examples of check.") in learned(
        agreed
    )


def test_robust_rules_are_said_to_be_over_cells() -> None:
    cells = {name: [f"{name}{number}" for number in range(4)] for name in "efg"}
    assert "Over the sums of cells the rule median is taken" in told(
        secure_plan(cells=cells, aggregation={"rule": "median"})
    )


def test_times_and_missing_members_are_stated() -> None:
    assert "No site answers sooner than 10s after its task began." in told(secure_plan())
    assert "When a site has done a task" in told(secure_plan({"ready_after": "0s"}))
    assert "the round fails" in told(secure_plan())
    left_out = secure_plan({"incomplete": "leave_out"}, cohort={"minimum": 3, "quorum": 0.5})
    assert "the whole cell is left out" in told(left_out)


def test_each_number_of_a_masked_task_is_listed_with_its_bounds() -> None:
    groups: dict[str, Any] = {"counts": {"int64": [3], "range": [0, 100]}, "grey": {"uint8": [2]}}
    tasks = {"train": TRAIN, "count": summing(counts="total", grey="total"), "evaluate": EVALUATE}
    agreed = secure_plan({"metrics": METRICS}, tasks=tasks, groups=groups)
    assert masked_sent(agreed, "train")[2:] == [
        "    - how training changed the model (all tensors), clipped by the site's agent as a whole to the "
        "length 1; and whether it had to be",
        "    - loss, cut to 0 to 20, for its mean, by number of examples",
        "    - the number of examples, where more than 200 count as so many (a site with fewer than 100 does "
        "not take part)",
    ]
    assert masked_sent(agreed, "count")[2:] == [
        "    - counts: 3 whole numbers, each from 0 to 100, for their total",
        "    - grey: 2 whole numbers, cut to 0 to 255, for their total",
        "    - the number of examples, where more than 200 count as so many",
    ]
    assert masked_sent(agreed, "evaluate")[2:] == [
        "    - auc, cut to 0 to 1, for its mean, sites counting alike; whether it is given, too",
        "    - the number of examples, where more than 200 count as so many",
    ]


def test_a_plan_is_described_with_what_is_masked_and_only_what_is_in_the_open_as_each_sites_own() -> None:
    masked = described(secure_plan())
    assert "Who learns what of masked sums\n  The aggregator learns the sum of 4 sites" in masked
    assert "to the aggregator, the operators and the workflow" not in masked
    assert "masked" not in described(plan())
