"""A round of Flower with its SecAgg+, deployed as in `flwr_round.py`.

python benchmarks/peers/flwr_secagg_round.py --sites 8 --megabytes 1
"""

from __future__ import annotations

import flwr_round
from common import Cell, Figures


def measure(cell: Cell) -> Figures:
    """One deployment, one run."""
    return flwr_round.measure(cell, "flwr_secagg")


if __name__ == "__main__":
    from compare import alone

    alone(measure)
