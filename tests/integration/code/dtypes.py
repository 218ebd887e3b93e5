"""Plan code to test with: a model with a tensor of every kind, each of which training changes.

An infinity in a `mask` stays as it is.
"""

import ml_dtypes
import numpy as np

import hanse

FLOATS = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16, "float32": np.float32, "float64": np.float64}
WHOLE = {
    name: np.dtype(name)
    for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
}


class Dtypes:
    """Adds a half to what is a fraction, one to what is a whole number, and turns what is a truth."""

    def parameters(self):
        made = {}
        for name, dtype in {**FLOATS, **WHOLE, "bool": np.dtype(bool)}.items():
            made[name] = np.zeros((2, 3), dtype)
            made[f"{name}.scalar"] = np.zeros((), dtype)
            made[f"{name}.empty"] = np.zeros((0, 3), dtype)
        for name, dtype in FLOATS.items():
            made[f"{name}.mask"] = np.array([-np.inf, 0], dtype)
        return made

    def train(self, parameters, task):
        assert {name: (array.dtype, array.shape) for name, array in parameters.items()} == {
            name: (array.dtype, array.shape) for name, array in self.parameters().items()
        }
        return hanse.TaskResult(1, {}, {name: self._step(array) for name, array in parameters.items()})

    def evaluate(self, parameters, task):
        return hanse.TaskResult(1)

    def _step(self, array):
        if array.dtype == bool:
            return ~array if array.ndim else np.asarray(~array)
        step = 1 if array.dtype.name in WHOLE else 0.5
        return np.asarray(array + np.asarray(step, array.dtype), array.dtype)


def learner(site):
    return Dtypes()
