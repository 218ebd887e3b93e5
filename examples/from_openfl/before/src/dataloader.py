"""The patients of one hospital: a CSV file, of which every fourth row is held out."""

import numpy as np
from openfl.federated import PyTorchDataLoader

COLUMNS = {"age": 100, "sex": 1, "cp": 4, "trestbps": 200, "thalach": 200, "exang": 1, "oldpeak": 5}


class HeartLoader(PyTorchDataLoader):
    def __init__(self, data_path=None, batch_size=16, random_seed=1, **kwargs):
        super().__init__(batch_size, random_seed, **kwargs)
        if data_path is None:  # `fx plan initialize` makes the first model without data
            return
        table = np.genfromtxt(data_path, delimiter=",", names=True)
        table = table[~np.any([np.isnan(table[name]) for name in COLUMNS], axis=0)]
        x = np.stack([table[name] / scale for name, scale in COLUMNS.items()], axis=1).astype(np.float32)
        y = (table["num"] > 0).astype(np.float32)
        held_out = np.arange(len(y)) % 4 == 0
        self.X_train, self.y_train = x[~held_out], y[~held_out]
        self.X_valid, self.y_valid = x[held_out], y[held_out]

    def get_feature_shape(self):
        return [len(COLUMNS)]

    def get_num_classes(self):
        return 2
