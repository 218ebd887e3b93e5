"""Workflows as a plan's author would bring them."""

import numpy as np


def halfway(federation):
    """Move the model half of the way to the median of the updates, and remember the last step."""
    for round in federation.rounds():
        updates = list(round.ask("train"))
        step = {
            name: np.median([update.delta[name] for update in updates], axis=0).astype(array.dtype)
            for name, array in round.model.items()
        }
        before = round.state or {name: np.zeros_like(array) for name, array in round.model.items()}
        model = {
            name: np.asarray(array + (step[name] / 2 + before[name] / 4).astype(array.dtype))
            for name, array in round.model.items()
        }
        round.commit(model, metrics={"answers": float(len(updates))}, state=step)


def summed(federation):
    """Add the mean update and a quarter of the step before."""
    for round in federation.rounds():
        mean = round.sum("train")
        before = round.state or {name: np.zeros_like(array) for name, array in round.model.items()}
        step = {
            name: np.asarray(delta + (before[name] / 4).astype(delta.dtype))
            for name, delta in mean.delta.items()
        }
        model = {name: np.asarray(array + step[name]) for name, array in round.model.items()}
        round.commit(model, metrics=mean.metrics, state=step)


def streamed(federation):
    """Add each update when it comes, the less the older the model is that it started from."""
    for update in federation.stream("train"):
        share = 1 / (1 + update.staleness) / len(federation.population)
        model = {
            name: np.asarray(array + (update.delta[name] * share).astype(array.dtype))
            for name, array in federation.model.items()
        }
        federation.commit(model, metrics=update.metrics)
