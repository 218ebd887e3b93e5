"""What a node does with a message: train the model, or evaluate it."""

from pathlib import Path

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from digits.task import load_data, make_model, test, train

app = ClientApp()


def data_of(context: Context) -> dict:
    """Read the node's data: the file that it was started with, or its folder's in a simulation."""
    if "data" in context.node_config:
        return load_data(Path(context.node_config["data"]))
    folders = sorted(Path(context.run_config["sites"]).iterdir())
    return load_data(folders[context.node_config["partition-id"]] / "digits.npz")


@app.train()
def train_round(message: Message, context: Context) -> Message:
    """Train the model that came, and send it back with its loss."""
    data, config = data_of(context), message.content["config"]
    model = make_model()
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    loss = train(model, data, config["lr"], seed=config["server-round"])
    metrics = {"train_loss": loss, "num-examples": len(data["y_train"])}
    content = {"arrays": ArrayRecord(model.state_dict()), "metrics": MetricRecord(metrics)}
    return Message(content=RecordDict(content), reply_to=message)


@app.evaluate()
def evaluate_round(message: Message, context: Context) -> Message:
    """Measure the model that came."""
    data = data_of(context)
    model = make_model()
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    metrics = test(model, data) | {"num-examples": len(data["y_test"])}
    return Message(content=RecordDict({"metrics": MetricRecord(metrics)}), reply_to=message)
