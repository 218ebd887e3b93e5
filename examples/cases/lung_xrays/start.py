"""Writes the model that training starts from: `python start.py start.safetensors`."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from learner import network
from safetensors.torch import save_file


def first_model(seed: int = 1) -> dict[str, torch.Tensor]:
    """Tensors of a network as it is made, its random numbers drawn from the seed."""
    torch.manual_seed(seed)
    return dict(network().state_dict())


if __name__ == "__main__":
    save_file(first_model(), Path(sys.argv[1]))
