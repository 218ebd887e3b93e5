"""What a client does with the model of each round: evaluate it, train it, send it back."""

import sys
from pathlib import Path

import nvflare.client as flare
from model import Net, load_data, test, train

folder, lr = Path(sys.argv[1]), float(sys.argv[2])

flare.init()
data = load_data(folder / flare.get_site_name() / "digits.npz")
model = Net()

while flare.is_running():
    received = flare.receive()
    model.load_state_dict(received.params)
    metrics = test(model, data)  # of the model that came, so of the round before
    loss = train(model, data, lr, seed=received.current_round + 1)
    answer = flare.FLModel(
        params=model.state_dict(),
        metrics=metrics | {"train_loss": loss},
        meta={"NUM_STEPS_CURRENT_ROUND": len(data["y_train"])},
    )
    flare.send(answer)
