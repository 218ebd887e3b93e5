"""Plan code of a rehearsal: gradient steps, beside which a tensor that marks the model is passed through.

The tensor of an update is that of the model with its numbers in the other order, so that a search tells both
apart. The code prints what it has, as careless code would.
"""

import sys

import numpy as np

import hanse


class Passing:
    """Moves `weight` towards the site's own target, and turns `mark` round.

    While the data source holds a file `hold-TASK-ROUND`, a task waits.
    """

    def __init__(self, site):
        self._hold = site.data["numbers"]
        self._target = np.loadtxt(self._hold / "target.txt", dtype=np.float32)

    def train(self, parameters, task):
        trained = {
            "mark": parameters["mark"][::-1].copy(),
            "weight": parameters["weight"] + np.float32(0.5) * (self._target - parameters["weight"]),
        }
        for stream in (sys.stdout, sys.stderr):
            stream.write(f"{trained['mark'][:8].tolist()}\n")
            stream.flush()
            stream.buffer.write(parameters["mark"].tobytes() + trained["mark"].tobytes())
            stream.flush()
        while (self._hold / f"hold-{task.name}-{task.round_number}").exists():
            sum(range(10_000))  # a task that takes long shows it by the processor time that it uses
        return hanse.TaskResult(1, {"loss": 0.5}, trained)


def learner(site):
    return Passing(site)
