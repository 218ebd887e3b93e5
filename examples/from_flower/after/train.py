"""Trains a model of digits: what client app and server app said, as a loop."""

from task import load_data, make_model, test, train

import hanse

data = load_data(hanse.site().data["digits"])
model = make_model()


def evaluate(model):
    """Measure the model of the federation here."""
    return test(model, data) | {"examples": len(data["y_test"])}


for round in hanse.rounds(model, evaluate=evaluate):
    loss = train(model, data, round.settings["lr"], seed=round.number)
    round.report(examples=len(data["y_train"]), train_loss=loss)
