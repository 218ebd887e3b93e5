"""A round of Hanse with secure aggregation over one cell, deployed as in `hanse_round.py`.

python benchmarks/peers/hanse_secagg_round.py --sites 8 --megabytes 1
"""

from __future__ import annotations

from common import TENSORS, Cell, Figures
from hanse_round import measured
from secure import SITE, Asked, names


def measure(cell: Cell) -> Figures:
    """One deployment, one run."""
    asked = Asked("masked", {"all": names(cell.sites)}, cell.count * TENSORS, cell.rounds + 1)
    return measured("hanse_secagg", cell, asked.write, SITE)


if __name__ == "__main__":
    from compare import alone

    alone(measure)
