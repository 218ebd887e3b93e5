"""Writes the model that training starts from: `python start.py start.safetensors`.

For FedBN, `python start.py fedbn.safetensors --without norm` leaves out what stays at a clinic.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from learner import network
from safetensors.torch import save_file


def first_model(seed: int = 1) -> dict[str, torch.Tensor]:
    """Tensors of a network as it is made, its random numbers drawn from the seed."""
    torch.manual_seed(seed)
    return dict(network().state_dict())


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description="Write the first model.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--without", metavar="START", help="leave out tensors whose names begin so")
    chosen = parser.parse_args()
    left_out = chosen.without
    save_file(
        {name: t for name, t in first_model().items() if left_out is None or not name.startswith(left_out)},
        chosen.file,
    )


if __name__ == "__main__":
    main()
