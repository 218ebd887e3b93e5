"""Decisions of a site on plans with secure aggregation."""

from typing import Any

from tests.unit.core.plan.plans import DIGEST
from tests.unit.core.plan.privacy.secure_plans import secure_plan

from hanse.core.plan.manifest import CodeFile, Manifest
from hanse.core.plan.policy import Decision, MaximalDisclosure, Policy, Verdict, decide, default_refusals

FIRST = "first.safetensors"


def decided(policy: Policy, **changes: Any) -> Decision:
    agreed = secure_plan(**changes)
    files = tuple(CodeFile(path=path, sha256=DIGEST, size=1) for path in agreed.code)
    first = CodeFile(path=FIRST, sha256=DIGEST, size=1) if agreed.first_model == "file" else None
    return decide(policy, Manifest(plan=agreed, files=files, initial_model=first), DIGEST, frozenset())


def test_a_workflow_of_the_plans_own_needs_a_person_whatever_its_name_is() -> None:
    decision = decided(Policy(accept=("*",), otherwise="refuse"))
    assert decision.verdict is Verdict.ASK
    assert "a name is not enough for a workflow of its own under secure aggregation" in decision.reasons[0]


def test_a_person_may_have_listed_the_digest() -> None:
    assert decided(Policy(accept_digests=(DIGEST,))).verdict is Verdict.ACCEPT


def test_a_built_in_workflow_is_accepted_by_name() -> None:
    assert decided(Policy(accept=("*",)), workflow="fedavg", initial_model=FIRST).verdict is Verdict.ACCEPT


def test_the_fewest_sites_in_a_masked_sum_are_those_of_the_smallest_cell() -> None:
    assert default_refusals(secure_plan(cohort={"cell_minimum": 1})) == ()
    five = Policy(accept=("*",), discloses=MaximalDisclosure(at_least=5))
    (reason,) = decided(five, workflow="fedavg", initial_model=FIRST).reasons
    assert (
        "train discloses a sum of 4 sites, its smallest cell; this site's update goes into sums of 5"
        in reason
    )
