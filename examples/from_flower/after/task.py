"""The model, the data of a node, training and testing: plain PyTorch."""

from pathlib import Path

import numpy as np
import torch
from torch import nn


def make_model() -> nn.Module:
    """Make the same first model each time."""
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def load_data(file: Path) -> dict[str, torch.Tensor]:
    """Read a site's images (64 numbers from 0 to 1 each) and digits."""
    with np.load(file) as arrays:
        return {name: torch.tensor(arrays[name]) for name in arrays.files}


def train(model: nn.Module, data: dict[str, torch.Tensor], lr: float, seed: int) -> float:
    """Train for one epoch; the mean loss."""
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    order = torch.randperm(len(data["y_train"]), generator=torch.Generator().manual_seed(seed))
    total = 0.0
    for batch in order.split(16):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(data["x_train"][batch]), data["y_train"][batch])
        loss.backward()
        optimizer.step()
        total += loss.item() * len(batch)
    return total / len(order)


def test(model: nn.Module, data: dict[str, torch.Tensor]) -> dict[str, float]:
    """Loss and accuracy on the images that are held out."""
    with torch.no_grad():
        scores = model(data["x_test"])
    loss = nn.functional.cross_entropy(scores, data["y_test"])
    return {"loss": loss.item(), "accuracy": (scores.argmax(1) == data["y_test"]).float().mean().item()}
