"""A small network that predicts heart disease, and how it is trained and measured."""

import numpy as np
import torch
from openfl.federated import PyTorchTaskRunner
from openfl.utilities import Metric
from torch import nn


class HeartRunner(PyTorchTaskRunner):
    def __init__(self, device="cpu", lr=0.3, **kwargs):
        super().__init__(device=device, **kwargs)
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(7, 16), nn.ReLU(), nn.Linear(16, 1), nn.Flatten(0))
        self.to(device)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=lr)
        self.loss_fn = nn.BCEWithLogitsLoss()

    def forward(self, x):
        return self.model(x)

    def train_(self, train_dataloader):
        losses = []
        for x, y in train_dataloader:
            self.optimizer.zero_grad()
            loss = self.loss_fn(self.model(torch.tensor(x)), torch.tensor(y))
            loss.backward()
            self.optimizer.step()
            losses.append(loss.item())
        return Metric(name="loss", value=np.array(np.mean(losses)))

    def validate_(self, validation_dataloader):
        right, total = 0, 0
        with torch.no_grad():
            for x, y in validation_dataloader:
                right += ((self.model(torch.tensor(x)) > 0) == torch.tensor(y > 0)).sum().item()
                total += len(y)
        return Metric(name="accuracy", value=np.array(right / total))
