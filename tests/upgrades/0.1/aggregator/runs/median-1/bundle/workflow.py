"""Workflows to test with, as a plan's author would bring them."""

import numpy as np


def median(federation):
    """Move the model by the median of the updates, and keep who sent any."""
    for round in federation.rounds():
        updates = list(round.ask("train"))
        deltas = {name: np.stack([update.delta[name] for update in updates]) for name in round.model}
        model = {
            name: np.asarray(array + np.median(deltas[name], axis=0).astype(array.dtype))
            for name, array in round.model.items()
        }
        answers = round.state.get("answers", np.zeros((), np.int64)) + len(updates)
        round.commit(model, metrics={"answers": float(answers)}, state={"answers": np.asarray(answers)})


def asynchronous(federation):
    """Add half of each update when it comes."""
    for update in federation.stream("train"):
        model = {
            name: np.asarray(array + (update.delta[name] / 2).astype(array.dtype))
            for name, array in federation.model.items()
        }
        federation.commit(model, metrics={"staleness": float(update.staleness)})


def broken(federation):
    """Fail."""
    for round in federation.rounds():
        raise ValueError(f"no idea what to do in round {round.number}")
