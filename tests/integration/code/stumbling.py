"""Plan code to test with: momentum, at a site named b that in round 2 has no answer that counts.

By the option `stumble`, the site fails before it trains (`before`), or trains and then gives what its agent
does not let out (`after`).
"""

import dataclasses

import momentum


class Stumbling(momentum.Momentum):
    """Stumbles once."""

    def train(self, parameters, task):
        stumbles = self._site.name == "b" and task.round_number == 2
        if stumbles and self._site.options["stumble"] == "before":
            raise RuntimeError("it stumbles")
        result = super().train(parameters, task)
        return dataclasses.replace(result, metrics={"undeclared": 1.0}) if stumbles else result


def learner(site):
    return Stumbling(site)
