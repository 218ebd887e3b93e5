"""Plan code that a model's owner would not want: it shows the model wherever it can.

It prints the model, writes it to every folder that it may write to, and passes it through the processes of
a DataLoader where torch is there. Its loss is 1 where the kernel would dump this process, else 0.
"""

import ctypes
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np

import hanse

PR_GET_DUMPABLE = 3


class Careless:
    """Turns the numbers of `mark` round, and moves `weight` by 1.

    While the data source holds a file `hold-ROUND`, a task waits; a file `began` in its own folder says so.
    """

    def __init__(self, site):
        self._hold, self._own = site.data["numbers"], site.state_dir

    def train(self, parameters, task):
        mark = np.array(parameters["mark"])
        trained = {"mark": loaded(mark[::-1].copy()), "weight": parameters["weight"] + np.float32(1)}
        for stream in (sys.stdout, sys.stderr):
            stream.write(f"{mark[:8].tolist()}\n")
            stream.flush()
            stream.buffer.write(mark.tobytes())
            stream.flush()
        for folder in (
            self._own,
            Path(tempfile.gettempdir()),
            Path("/tmp"),
            Path("/var/tmp"),
            Path("/dev/shm"),
        ):
            with suppress(OSError):
                (folder / "hanse-model").write_bytes(mark.tobytes())
        (self._own / "began").touch()
        while (self._hold / f"hold-{task.round_number}").exists():
            sum(range(10_000))  # a task that takes long shows it by the processor time that it uses
        dumpable = ctypes.CDLL(None).prctl(PR_GET_DUMPABLE, 0, 0, 0, 0)
        return hanse.TaskResult(1, {"loss": float(dumpable)}, trained)


def loaded(array):
    """The array, as processes of a DataLoader give it back through shared memory."""
    try:
        from torch import from_numpy
        from torch.utils.data import DataLoader, TensorDataset
    except ImportError:
        return array
    rows = DataLoader(TensorDataset(from_numpy(array.reshape(8, -1))), batch_size=4, num_workers=2)
    return np.concatenate([batch.numpy() for (batch,) in rows]).reshape(-1)


def learner(site):
    return Careless(site)
