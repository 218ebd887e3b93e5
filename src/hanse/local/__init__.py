"""Local rules: what acts at a site between a gradient and the optimiser's step.

A plan names them under `local` of a task; each is one algorithm of one paper.
"""

from hanse.local.clip import Clip
from hanse.local.control_variates import ControlVariates
from hanse.local.dynamic import Dynamic
from hanse.local.normalise import Normalise
from hanse.local.proximal import Proximal

__all__ = ["Clip", "ControlVariates", "Dynamic", "Normalise", "Proximal"]
