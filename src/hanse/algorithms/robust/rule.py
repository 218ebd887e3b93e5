"""The form that the algorithms of this folder share: federated averaging, with another rule than the mean.

What a rule computes is in `hanse.aggregation`; its settings are those under `aggregation` of a plan.
"""

from __future__ import annotations

from hanse.algorithms.base import Algorithm, Keys
from hanse.core.plan.robust_rules import AnyRobustRule

WEIGHTS_WORDS = (
    "`alike` weighs alike all updates with any example; `examples` weighs by number of examples, as in the "
    "paper: a site that misstates its number can then outweigh all others."
)
"""Of settings; the plan's `aggregation` has the paper's weights unless it says otherwise."""


def by_rule(
    name: str, rule: type[AnyRobustRule], paper: str, settings: type[AnyRobustRule] | None = None
) -> Algorithm:
    """Describe federated averaging by a robust rule.

    Args:
        name: The algorithm's name.
        rule: The schema of the rule.
        paper: Its paper.
        settings: The same schema with the defaults of the algorithm, where these are others.
    """

    def keys(given: AnyRobustRule) -> Keys:
        as_rule = rule.model_validate(given.model_dump())
        return {
            "workflow": "fedavg",
            "aggregation": {**as_rule.model_dump(exclude_defaults=True), "rule": given.rule},
        }

    return Algorithm(
        name=name,
        field="robust",
        paper=paper,
        travels="As FedAvg.",
        sums_suffice=False,
        stays="The data.",
        settings=settings or rule,
        keys=keys,
    )
