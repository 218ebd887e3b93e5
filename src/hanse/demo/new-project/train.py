"""An ordinary training script, federated: put your own data and model in the marked places."""

from pathlib import Path

import numpy as np

import hanse

# Patients of four hospitals, which come with Hanse; see the README.md in that folder.
EXAMPLE = Path(hanse.__file__).parent / "data" / "heart_disease"

# Columns of the table, each with a usual value and spread that all sites scale it by.
COLUMNS = {
    "age": (54, 9),
    "sex": (0.5, 0.5),
    "cp": (3, 1),
    "trestbps": (130, 20),
    "thalach": (140, 25),
    "exang": (0.5, 0.5),
    "oldpeak": (1, 1),
}

# Your data: what the site calls `heart` in its site.yaml; without that, this site's share of the example.
site = hanse.site()
files = [site.data["heart"]] if "heart" in site.data else sorted(EXAMPLE.glob("*.csv"))
table = np.concatenate([np.genfromtxt(file, delimiter=",", names=True) for file in files])
table = table[~np.any([np.isnan(table[name]) for name in (*COLUMNS, "num")], axis=0)]
table = table[site.share(table["num"])]
x = np.stack([(table[name] - usual) / spread for name, (usual, spread) in COLUMNS.items()], axis=1)
y = (table["num"] > 0).astype(float)
held_out = np.arange(len(y)) % 4 == 0
x_train, y_train, x_test, y_test = x[~held_out], y[~held_out], x[held_out], y[held_out]

# Your model: a dictionary of arrays, or a torch.nn.Module.
model = {"weight": np.zeros(len(COLUMNS)), "bias": np.zeros(1)}


def probability(x: np.ndarray) -> np.ndarray:
    """Probability of the disease, by patient."""
    return 1 / (1 + np.exp(-(x @ model["weight"] + model["bias"])))


for round in hanse.rounds(model):  # the global model is in `model` when a round begins
    # Your training.
    for batch in np.array_split(np.random.permutation(len(y_train)), max(len(y_train) // 16, 1)):
        error = probability(x_train[batch]) - y_train[batch]
        model["weight"] -= 0.1 * error @ x_train[batch] / max(len(batch), 1)
        model["bias"] -= 0.1 * error.sum() / max(len(batch), 1)
    accuracy = ((probability(x_test) > 0.5) == y_test).sum() / max(len(y_test), 1)
    round.report(examples=len(y_train), accuracy=accuracy)
