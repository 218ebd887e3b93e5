"""A flow of OpenFL as a workflow of Hanse: what the aggregator does in a round."""


def heart_flow(federation):
    for round in federation.rounds():
        update = round.sum("train")
        model = round.apply(update)
        scores = round.sum("evaluate", model)
        round.commit(model, metrics=update.metrics | scores.metrics)
