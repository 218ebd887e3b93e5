"""Plan code to test with: gradient steps with a momentum that stays at the site, and that wait when told to.

A task waits as long as its site's data source holds a file `hold-TASK-ROUND`; that it has come so far
it says by a file `at-TASK-ROUND` in its own folder. There it also notes each task that it performs.
While the data source holds a file `fail-TASK`, the task fails.
"""

import time

import numpy as np

import hanse


class Momentum:
    """Moves `weight` towards the site's own target; `steps` counts the steps of all sites together.

    The plan's option `size` makes the model larger; `momentum: 0` has sites keep nothing between rounds.
    """

    def __init__(self, site):
        self._site = site
        target = np.loadtxt(site.data["numbers"] / "target.txt", dtype=np.float32)
        self._target = np.resize(target, site.options.get("size", target.size))
        self._momentum = np.float32(site.options.get("momentum", 0.9))
        self._velocity = np.zeros_like(self._target)

    def parameters(self):
        self._begin("initialise", 0)
        return {"weight": np.zeros_like(self._target), "steps": np.zeros((), np.int64)}

    def train(self, parameters, task):
        self._begin(task.name, task.round_number)
        slope = parameters["weight"] - self._target
        noise = np.random.default_rng(task.seed).normal(size=slope.shape).astype(np.float32)
        self._velocity = self._momentum * self._velocity + slope + noise
        trained = {
            "weight": parameters["weight"] - np.float32(task.settings["lr"]) * self._velocity,
            "steps": parameters["steps"] + np.ones((), np.int64),
        }
        return hanse.TaskResult(len(self._site.name), {"loss": float(np.mean(slope**2))}, trained)

    def evaluate(self, parameters, task):
        self._begin(task.name, task.round_number)
        slope = parameters["weight"] - self._target
        return hanse.TaskResult(1, {"loss": float(np.mean(slope**2))})

    def local_state(self):
        return {"momentum": {"velocity": self._velocity}}

    def restore_local_state(self, state):
        self._velocity = np.array(state["momentum"]["velocity"])

    def _begin(self, task, round_number):
        own, hold = self._site.state_dir, self._site.data["numbers"] / f"hold-{task}-{round_number}"
        with (own / "performed").open("a") as performed:
            performed.write(f"{task}-{round_number}\n")
        if (self._site.data["numbers"] / f"fail-{task}").exists():
            raise RuntimeError("told to fail")
        if hold.exists():
            (own / f"at-{task}-{round_number}").touch()
        while hold.exists():
            sum(range(10_000))  # a task that takes long shows it by the processor time that it uses
            time.sleep(0.005)


def learner(site):
    return Momentum(site)
