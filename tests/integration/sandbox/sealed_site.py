"""Program: a site with a memory folder, and a worker that does in it what it is told.

Reads settings and a list of calls from its input, as JSON. Prints the results; `wait` holds it until it is
killed.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np  # starts threads, as the commands do

from hanse.errors import HanseError
from hanse.sandbox.confine import Confinement
from hanse.sandbox.process import WorkerProcess, WorkerSpec
from hanse.sandbox.sealed.core_dumps import refuse_core_dumps
from hanse.sandbox.sealed.memory_folder import enter_memory_folder, is_memory_folder

SUPPORT = Path(__file__).parent


async def performed(worker: WorkerProcess, calls: list[list[Any]]) -> list[Any]:
    results = []
    for name, *arguments in calls:
        if name == "wait":
            print(json.dumps(results), flush=True)
            await asyncio.Event().wait()
        await worker.channel.send({"call": name, "with": arguments})
        answer = await worker.channel.receive()
        if answer is None:
            results.append(await worker.wait())
            break
        results.append(answer["result"])
    return results


async def main(site: Path, orders: dict[str, Any]) -> list[Any]:
    folder = enter_memory_folder(site / "sealed", 256 << 20)
    assert is_memory_folder(folder.path)
    refuse_core_dumps()
    packages = os.pathsep.join(filter(None, (str(SUPPORT), os.environ.get("PYTHONPATH"))))
    outside = bool(orders.get("outside"))
    try:
        worker = await WorkerProcess.start(
            WorkerSpec(
                module="hanse.trials",
                workspace=(site if outside else folder.path) / "work",
                log=None,
                confinement=Confinement(in_memory=True, **orders.get("confinement", {})),
                environment={"PYTHONPATH": packages, "TRIAL_REFUSED": orders.get("refused", "")},
            )
        )
    except HanseError as error:
        return [f"{type(error).__name__}: {error}"]
    results = await performed(worker, orders["calls"])
    tail = worker.log_tail()
    await worker.stop()
    return [*results, tail]


if __name__ == "__main__":
    assert np.__version__
    place = Path(sys.argv[1])
    # Before anything is read: started again, a command has to find its input whole.
    enter_memory_folder(place / "sealed", 256 << 20)
    print(json.dumps(asyncio.run(main(place, json.loads(sys.stdin.readline())))), flush=True)
    os._exit(0)
