"""The form that the algorithms of this folder share: federated averaging, with another rule than the mean.

What a rule computes is in `hanse.aggregation`; its settings are those under `aggregation` of a plan.
"""

from __future__ import annotations

from hanse.algorithms.base import Algorithm, Keys
from hanse.core.plan.robust_rules import AnyRobustRule


def by_rule(name: str, rule: type[AnyRobustRule], paper: str) -> Algorithm:
    """Describe federated averaging by a robust rule.

    Args:
        name: The algorithm's name.
        rule: The schema of the rule.
        paper: Its paper.
    """

    def keys(settings: AnyRobustRule) -> Keys:
        aggregation = {**settings.model_dump(exclude_defaults=True), "rule": settings.rule}
        return {"workflow": "fedavg", "aggregation": aggregation}

    return Algorithm(
        name=name,
        field="robust",
        paper=paper,
        travels="As FedAvg.",
        sums_suffice=False,
        stays="The data.",
        settings=rule,
        keys=keys,
    )
