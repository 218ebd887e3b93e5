"""One-shot averaging (Zhang et al. 2012, "Communication-Efficient Algorithms for Statistical Optimization").

Each site trains to the end on its own, and the models are averaged once (AVGM, section 2). The paper's
sites have equally many examples; here the mean is weighted by number of examples, as in federated averaging.
"""

from __future__ import annotations

from hanse.algorithms.base import Algorithm, Keys, Settings


def _keys(_: Settings) -> Keys:
    return {"workflow": "fedavg", "rounds": 1}


ONE_SHOT = Algorithm(
    name="one_shot",
    field="optimisation",
    paper="Zhang et al. 2012, arXiv 1209.4129, section 2",
    travels="The first model to the sites; the change of the model by training from each site, once.",
    sums_suffice=True,
    stays="The data.",
    settings=Settings,
    keys=_keys,
)
