"""The same federation by OpenFL's workflow API, on this machine: python flow.py FOLDER-OF-CSV-FILES"""

import sys
from pathlib import Path

import numpy as np
import torch
from openfl.experimental.workflow.interface import Aggregator, Collaborator, FLSpec
from openfl.experimental.workflow.placement import aggregator, collaborator
from openfl.experimental.workflow.runtime import LocalRuntime
from src.dataloader import HeartLoader
from torch import nn

SITES = ["cleveland", "hungarian", "switzerland", "va"]


def accuracy(model, data_loader):
    x, y = torch.tensor(data_loader.X_valid), torch.tensor(data_loader.y_valid)
    with torch.no_grad():
        return ((model(x) > 0) == (y > 0)).float().mean().item()


def mean(values, weights):
    return sum(value * weight for value, weight in zip(values, weights, strict=True)) / sum(weights)


class HeartFlow(FLSpec):
    def __init__(self, rounds, **kwargs):
        super().__init__(**kwargs)
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(7, 16), nn.ReLU(), nn.Linear(16, 1), nn.Flatten(0))
        self.rounds = rounds

    @aggregator
    def start(self):
        self.collaborators = self.runtime.collaborators
        self.current_round = 0
        self.history = []
        self.next(self.aggregated_model_validation, foreach="collaborators", exclude=["history"])

    @collaborator
    def aggregated_model_validation(self):
        self.agg_accuracy = accuracy(self.model, self.data_loader)
        self.next(self.train)

    @collaborator
    def train(self):
        optimizer = torch.optim.SGD(self.model.parameters(), lr=0.3)
        loss_fn = nn.BCEWithLogitsLoss()
        losses = []
        for x, y in self.data_loader.get_train_loader():
            optimizer.zero_grad()
            loss = loss_fn(self.model(torch.tensor(x)), torch.tensor(y))
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        self.loss = np.mean(losses)
        self.next(self.local_model_validation)

    @collaborator
    def local_model_validation(self):
        self.local_accuracy = accuracy(self.model, self.data_loader)
        self.train_size = self.data_loader.get_train_data_size()
        self.valid_size = self.data_loader.get_valid_data_size()
        self.next(self.join)

    @aggregator
    def join(self, inputs):
        trained = [site.train_size for site in inputs]
        held_out = [site.valid_size for site in inputs]
        states = [site.model.state_dict() for site in inputs]
        self.model = inputs[0].model
        self.model.load_state_dict({name: mean([s[name] for s in states], trained) for name in states[0]})
        self.history.append(
            {
                "loss": mean([site.loss for site in inputs], trained),
                "aggregated": mean([site.agg_accuracy for site in inputs], held_out),
                "local": mean([site.local_accuracy for site in inputs], held_out),
            }
        )
        self.current_round += 1
        if self.current_round < self.rounds:
            self.next(self.aggregated_model_validation, foreach="collaborators", exclude=["history"])
        else:
            self.next(self.end)

    @aggregator
    def end(self):
        for number, scores in enumerate(self.history):
            print(f"round {number}", *(f"{name} {score:.6f}" for name, score in scores.items()))


def patients(path):
    return {"data_loader": HeartLoader(path, batch_size=16, random_seed=1)}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    flow = HeartFlow(rounds=10)
    flow.runtime = LocalRuntime(
        aggregator=Aggregator(name="aggregator"),
        collaborators=[
            Collaborator(name=name, private_attributes_callable=patients, path=folder / f"{name}.csv")
            for name in SITES
        ],
    )
    flow.run()
