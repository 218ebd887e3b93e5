"""Predicts heart disease with a small PyTorch network: an ordinary training script, federated."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

import hanse

EXAMPLE = Path(hanse.__file__).parent / "data" / "heart_disease"  # four hospitals, one file each
COLUMNS = {"age": 100, "sex": 1, "cp": 4, "trestbps": 200, "thalach": 200, "exang": 1, "oldpeak": 5}

# What this site calls `heart`; without that, this site's share of the example.
site = hanse.site()
source = site.data.get("heart", EXAMPLE)
files = sorted(source.glob("*.csv")) if source.is_dir() else [source]
table = np.concatenate([np.genfromtxt(file, delimiter=",", names=True) for file in files])
table = table[~np.any([np.isnan(table[name]) for name in COLUMNS], axis=0)]
table = table[site.share(table["num"])]
x = torch.tensor(np.stack([table[name] / scale for name, scale in COLUMNS.items()], axis=1)).float()
y = torch.tensor(table["num"] > 0).float()
held_out = torch.arange(len(y)) % 4 == 0
x_train, y_train, x_test, y_test = x[~held_out], y[~held_out], x[held_out], y[held_out]

model = nn.Sequential(nn.Linear(len(COLUMNS), 16), nn.ReLU(), nn.Linear(16, 1), nn.Flatten(0))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
loss_of = nn.BCEWithLogitsLoss()

for round in hanse.rounds(model):  # was: for epoch in range(5):
    for batch in torch.randperm(len(y_train)).split(16):
        optimizer.zero_grad()
        loss_of(model(x_train[batch]), y_train[batch]).backward()
        optimizer.step()
    with torch.no_grad():
        scores = model(x_test)
        loss, accuracy = loss_of(scores, y_test), ((scores > 0) == (y_test > 0)).float().mean()
    # was: print(f"loss {loss:.3f}, accuracy {accuracy:.3f}")
    round.report(examples=len(y_train), loss=loss, accuracy=accuracy)
