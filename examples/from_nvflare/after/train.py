"""What a site does with the model of each round: train it, and evaluate the mean of all."""

from model import Net, load_data, test, train

import hanse

data = load_data(hanse.site().data["digits"])
model = Net()


def evaluate(model):
    """Measure the model of the federation here."""
    return test(model, data) | {"examples": len(data["y_test"])}


for round in hanse.rounds(model, evaluate=evaluate):
    loss = train(model, data, round.settings["lr"], seed=round.number)
    round.report(examples=len(data["y_train"]), train_loss=loss)
