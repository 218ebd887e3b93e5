"""A site's decision on a plan, before any data is touched."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.core.plan.manifest import CodeFile, Manifest
from hanse.core.plan.plan import Plan
from hanse.core.plan.policy import MaximalDisclosure, Policy, Verdict, decide, default_refusals

DIGEST = "0" * 64
AGGREGATE = {"update": "aggregate", "aggregated_by": "aggregator", "metrics": ["loss"]}
INDIVIDUAL = {"update": "individual"}
ACCEPT_ALL = Policy(accept=("*",))


def manifest(**changes: Any) -> Manifest:
    settings = {
        "name": "chest-xray",
        "code": ["model.py"],
        "learner": "model:learner",
        "rounds": 10,
        "data": ["xrays"],
        "cohort": {"minimum": 3},
        "tasks": {"train": {"discloses": AGGREGATE}},
    }
    plan = Plan.model_validate(settings | changes)
    return Manifest(plan=plan, files=(CodeFile(path="model.py", sha256=DIGEST, size=1),))


def verdict(policy: Policy, plan: Manifest) -> tuple[Verdict, str]:
    decision = decide(policy, plan, plan.digest, frozenset({"xrays"}))
    return decision.verdict, "; ".join(decision.reasons)


def test_a_site_that_has_said_nothing_asks_a_person() -> None:
    assert verdict(Policy(), manifest()) == (
        Verdict.ASK,
        "no rule of this site decides; a person has to",
    )


def test_a_plan_is_accepted_by_its_name() -> None:
    policy = Policy(accept=("brain-*", "chest-*"))

    assert verdict(policy, manifest()) == (Verdict.ACCEPT, "its name matches the rule 'chest-*'")


def test_a_plan_is_accepted_by_its_exact_digest() -> None:
    approved = manifest()
    policy = Policy(accept_digests=(approved.digest,), otherwise="refuse")

    assert verdict(policy, approved)[0] is Verdict.ACCEPT
    assert verdict(policy, manifest(rounds=11))[0] is Verdict.REFUSE


def test_a_site_can_refuse_what_no_rule_accepts() -> None:
    policy = Policy(accept=("brain-*",), otherwise="refuse")

    assert verdict(policy, manifest()) == (Verdict.REFUSE, "no rule of this site accepts it")


@pytest.mark.parametrize(
    ("policy", "changes", "reason"),
    [
        (
            {},
            {"tasks": {"train": {"discloses": INDIVIDUAL}}},
            "task train discloses update: individual; this site permits aggregate",
        ),
        (
            {"discloses": {"update": "none"}},
            {},
            "task train discloses update: aggregate; this site permits none",
        ),
        (
            {"discloses": {"metrics": ["acc*"]}},
            {},
            "task train discloses the metric 'loss', which this site does not permit",
        ),
        (
            {"discloses": {"first_model": False}},
            {},
            "the plan has no initial_model, and this site does not let its own first model be asked for",
        ),
        (
            {"own_workflows": False},
            {"workflow": "model:rounds"},
            "the plan has its own workflow 'model:rounds'; this site permits built-in ones only",
        ),
        ({"max_rounds": 9}, {}, "the plan has 10 rounds; this site permits 9"),
        (
            {"max_tasks": 29},
            {"tasks": {"train": {"exchanges": 2, "discloses": AGGREGATE}, "evaluate": {}}},
            "the plan may ask a site in 30 exchanges, in all rounds and of all tasks together; this site "
            "permits 29",
        ),
        (
            {},
            {"cohort": {"minimum": 2}},
            "task train discloses a sum of 2 sites or more (`cohort: {minimum: 2}`); this site's update goes "
            "into sums of 3 or more only: the plan needs the line `cohort: {minimum: 3}`",
        ),
        (
            {},
            {"cohort": {"minimum": 5}, "aggregation": {"rule": "krum", "byzantine": 1, "keep": 2}},
            "task train discloses the mean of 2 updates that Krum chooses (`keep: 2`); this site's update "
            "goes into sums of 3 or more only: the plan needs the line `aggregation: {rule: krum, "
            "byzantine: 1, keep: 3}`",
        ),
        ({}, {"data": ["xrays", "ct"]}, "the plan needs a data source 'ct' that site.yaml does not name"),
    ],
)
def test_a_plan_that_asks_too_much_is_refused_although_a_rule_accepts_it(
    policy: dict[str, Any], changes: dict[str, Any], reason: str
) -> None:
    strict = Policy.model_validate({"accept": ["*"]} | policy)

    assert verdict(strict, manifest(**changes)) == (Verdict.REFUSE, reason)


def test_a_plan_that_asks_exactly_what_is_permitted_is_accepted() -> None:
    policy = Policy(
        accept=("*",),
        discloses=MaximalDisclosure(update="aggregate", metrics=("loss",)),
        own_workflows=False,
        max_rounds=10,
        max_tasks=10,
    )

    assert verdict(policy, manifest())[0] is Verdict.ACCEPT


def test_every_reason_is_given_at_once() -> None:
    asks_much = manifest(data=["ct"], tasks={"train": {"discloses": INDIVIDUAL}})

    decision = decide(ACCEPT_ALL, asks_much, asks_much.digest, frozenset())

    assert len(decision.reasons) == 2


LEVELS = ["none", "aggregate", "individual"]


@given(st.sampled_from(LEVELS), st.sampled_from(LEVELS))
def test_no_more_leaves_than_the_site_permits(asked: str, permitted: str) -> None:
    discloses = AGGREGATE if asked == "aggregate" else {"update": asked}
    plan = manifest(workflow="model:rounds", tasks={"train": {"discloses": discloses}})
    policy = Policy.model_validate({"accept": ["*"], "discloses": {"update": permitted}})

    accepted = verdict(policy, plan)[0] is Verdict.ACCEPT

    assert accepted == (LEVELS.index(asked) <= LEVELS.index(permitted))


@pytest.mark.parametrize(("keep", "refused"), [(1, True), (2, True), (3, False)])
def test_krum_that_keeps_few_updates_is_refused_by_default(keep: int, refused: bool) -> None:
    krum = {"rule": "krum", "byzantine": 1, "keep": keep}

    told = default_refusals(manifest(cohort={"minimum": 5}, aggregation=krum).plan)

    assert bool(told) is refused
    assert all("`aggregation: {rule: krum, byzantine: 1, keep: 3}`" in sentence for sentence in told)
