"""The plan key `local`: which rules, with which settings, in which order, and what each needs."""

from typing import Any

import pytest
from pydantic import ValidationError
from tests.unit.core.plan.plans import TRAIN, manifest, plan

from hanse.core.plan.local_rules import (
    LOCAL_RULES,
    Clip,
    ControlVariates,
    Dynamic,
    Normalise,
    Proximal,
    describe,
    needs_of,
)
from hanse.core.plan.manifest import Manifest
from hanse.core.plan.plan import Plan

OWN = "model:workflow"
GROUPS = {"control": {"like": "model"}, "steps": {"float64": []}}
DISCLOSES = {
    "update": "aggregate",
    "aggregated_by": "aggregator",
    "groups": {"control": "mean", "steps": "weighted_mean"},
}
WITH_GROUPS: dict[str, Any] = {
    "local": ["control_variates", "normalise"],
    "receives": ["model", "control"],
    "discloses": DISCLOSES,
}


def with_local(*entries: Any) -> Plan:
    return plan(workflow=OWN, groups=GROUPS, tasks={"train": WITH_GROUPS | {"local": list(entries)}})


def with_task(groups: Any = GROUPS, **changes: Any) -> Plan:
    return plan(workflow=OWN, groups=groups, tasks={"train": WITH_GROUPS | changes})


def test_a_bare_name_is_short_for_a_table() -> None:
    assert with_local("control_variates") == with_local({"name": "control_variates"})
    assert with_local("normalise").tasks["train"].local == (Normalise(momentum=0),)


def test_a_plan_without_rules_keeps_its_digest() -> None:
    spelled = manifest(tasks={"train": TRAIN["train"] | {"local": []}})

    assert spelled.to_bytes() == manifest().to_bytes()
    assert b"local" not in spelled.to_bytes()


def test_rules_are_read_back_from_a_manifest() -> None:
    tasks = {"train": WITH_GROUPS | {"local": ["control_variates", {"name": "clip", "norm": 2.5}]}}
    written = manifest(workflow=OWN, groups=GROUPS, tasks=tasks)

    found = Manifest.from_bytes(written.to_bytes(), written.digest)

    assert found.plan.tasks["train"].local == (ControlVariates(), Clip(norm=2.5))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (["proximal"], "mu\n  Field required"),
        ([{"name": "proximal", "mu": -1}], "greater than or equal to 0"),
        ([{"name": "proximal", "mu": 1, "alpha": 1}], "Extra inputs are not permitted"),
        ([{"name": "dynamic", "alpha": 0}], "greater than 0"),
        ([{"name": "normalise", "momentum": 1}], "less than 1"),
        ([{"name": "clip", "norm": 0}], "greater than 0"),
        (["fedprox"], "does not match any of the expected tags: 'proximal', 'control_variates'"),
        (["control_variates", "control_variates"], "`local`: `control_variates` is listed twice"),
        ([{"name": "clip", "norm": 1}, "control_variates"], "it must stand before `clip`"),
        ([{"name": "proximal", "mu": 1}, "normalise"], "with `proximal` older gradients count for less"),
        ([{"name": "dynamic", "alpha": 1}, "normalise"], "with `dynamic` older gradients count for less"),
    ],
)
def test_what_is_not_a_lawful_list_of_rules_is_refused(entries: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        with_local(*entries)


def test_a_rule_says_which_groups_it_needs() -> None:
    needs = {
        rule.name: [(need.group, need.combined, need.received) for need in needs_of(rule)]
        for rule in (
            Proximal(mu=1),
            ControlVariates(),
            Dynamic(alpha=1),
            Normalise(),
            Clip(norm=1),
        )
    }

    assert needs == {
        "proximal": [],
        "control_variates": [("control", "mean", True)],
        "dynamic": [],
        "normalise": [("steps", "weighted_mean", False)],
        "clip": [],
    }


def test_a_plan_that_gives_a_rule_what_it_needs_is_taken() -> None:
    assert with_task().tasks["train"].local == (ControlVariates(), Normalise())


def test_a_group_of_a_rule_may_have_more_digits_and_a_range() -> None:
    wider = {"like": "model", "dtype": "float64", "range": [-1.0, 1.0]}

    assert with_task({**GROUPS, "control": wider}).groups["control"] == wider


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"receives": ["model"]}, r"the local rule `control_variates` needs a group `control`"),
        ({"discloses": DISCLOSES | {"groups": {"steps": "weighted_mean"}}}, "needs a group `control`"),
        (
            {"discloses": DISCLOSES | {"groups": {"control": "weighted_mean", "steps": "weighted_mean"}}},
            r"write `groups: {control: {like: model}}`, `receives: \[model, control\]` and "
            r"`discloses: {groups: {control: mean}}`",
        ),
        ({"groups": {**GROUPS, "control": {"like": "model", "tensors": ["a.*"]}}}, "needs a group `control`"),
        (
            {"discloses": DISCLOSES | {"groups": {"control": "mean"}}},
            r"`normalise` needs a group `steps`: write `groups: {steps: {float64: \[\]}}` and "
            r"`discloses: {groups: {steps: weighted_mean}}`",
        ),
        ({"groups": {**GROUPS, "steps": {"float64": [1]}}}, "`normalise` needs a group `steps`"),
        (
            {"local": [{"name": "clip", "norm": 1.0}], "receives": [], "discloses": {}},
            "`clip` acts on the model, which the task does not receive",
        ),
    ],
)
def test_a_plan_that_lacks_what_a_rule_needs_is_refused(changes: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        with_task(**changes)


def test_a_rule_is_described_without_its_defaults() -> None:
    described = [describe(Normalise()), describe(Normalise(momentum=0.9)), describe(Proximal(mu=0.01))]

    assert described == ["normalise", "normalise (momentum 0.9)", "proximal (mu 0.01)"]


def test_every_rule_has_a_name_and_a_description() -> None:
    assert all(rule.__doc__ and rule.model_fields["name"].default for rule in LOCAL_RULES)
