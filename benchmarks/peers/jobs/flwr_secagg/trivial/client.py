"""The task: add one to every tensor that came. Flower's own modifier masks what came of it."""

from __future__ import annotations

import numpy as np
from flwr.app import Context
from flwr.client import Client, NumPyClient
from flwr.client.mod import secaggplus_mod
from flwr.clientapp import ClientApp


class Trivial(NumPyClient):
    def fit(self, parameters, _config):
        return [array + np.float32(1) for array in parameters], 1, {}


def client(_context: Context) -> Client:
    return Trivial().to_client()


app = ClientApp(client, mods=[secaggplus_mod])
