"""A small network that predicts heart disease, and how it is trained and measured."""

import numpy as np
import torch
from dataloader import HeartLoader
from torch import nn

import hanse


class HeartRunner:
    def __init__(self, data_loader):
        self.data_loader = data_loader
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(7, 16), nn.ReLU(), nn.Linear(16, 1), nn.Flatten(0))
        self.loss_fn = nn.BCEWithLogitsLoss()

    def parameters(self):
        return {name: tensor.numpy().copy() for name, tensor in self.model.state_dict().items()}

    def load(self, parameters):
        self.model.load_state_dict({name: torch.tensor(array) for name, array in parameters.items()})

    def train(self, parameters, task):
        self.load(parameters)
        optimizer = torch.optim.SGD(self.model.parameters(), lr=task.settings["lr"])
        losses = []
        for x, y in self.data_loader.get_train_loader(task.settings["batch_size"], random_seed=1):
            optimizer.zero_grad()
            loss = self.loss_fn(self.model(torch.tensor(x)), torch.tensor(y))
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        metrics = {"loss": np.mean(losses), "accuracy": self.accuracy()}
        return hanse.TaskResult(len(self.data_loader.y_train), metrics, self.parameters())

    def evaluate(self, parameters, task):
        self.load(parameters)
        return hanse.TaskResult(len(self.data_loader.y_valid), {"accuracy": self.accuracy()})

    def accuracy(self):
        x, y = self.data_loader.X_valid, self.data_loader.y_valid
        with torch.no_grad():
            return ((self.model(torch.tensor(x)) > 0) == torch.tensor(y > 0)).float().mean().item()


def learner(site):
    return HeartRunner(HeartLoader(site.data["heart"]))
