"""Every algorithm by its name, and every built-in workflow by the name that a plan gives it."""

from __future__ import annotations

from hanse.algorithms.base import Algorithm, Workflow
from hanse.algorithms.evaluation.evaluate import EVALUATE, evaluate
from hanse.algorithms.optimisation.cyclic import CYCLIC, cyclic
from hanse.algorithms.optimisation.fedavg import FEDAVG, fedavg
from hanse.algorithms.optimisation.fedavgm import FEDAVGM
from hanse.algorithms.optimisation.fedbuff import FEDBUFF, fedbuff
from hanse.algorithms.optimisation.fedopt import FEDADAGRAD, FEDADAM, FEDYOGI
from hanse.algorithms.optimisation.fedprox import FEDPROX
from hanse.algorithms.optimisation.one_shot import ONE_SHOT
from hanse.algorithms.personalisation.fedbn import FEDBN
from hanse.algorithms.personalisation.fedper import FEDPER

_ALL = (
    FEDAVG,
    FEDAVGM,
    FEDADAGRAD,
    FEDADAM,
    FEDYOGI,
    FEDPROX,
    CYCLIC,
    ONE_SHOT,
    FEDBUFF,
    FEDBN,
    FEDPER,
    EVALUATE,
)

ALGORITHMS: dict[str, Algorithm] = {algorithm.name: algorithm for algorithm in _ALL}
"""Algorithms by the name under `algorithm` in a plan file."""

WORKFLOWS: dict[str, Workflow] = {
    "fedavg": fedavg,
    "evaluate": evaluate,
    "cyclic": cyclic,
    "fedbuff": fedbuff,
}
"""Workflows by the name under `workflow` in a plan; see `hanse.core.plan.built_in.BUILT_IN`."""
