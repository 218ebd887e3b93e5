"""The process of a script: `python -m hanse.simulation.script_process.process DESCRIPTOR`.

The script has the main thread; a second one carries out orders, a third reads them. When the simulation
has gone, the process ends: at once in the midst of an order, else by the end of the script.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from hanse.core.values.groups import flattened, nested
from hanse.core.values.site import DataSources, Site
from hanse.core.values.update import Task
from hanse.errors import HanseError, TaskError
from hanse.learners.main_thread import MainThread
from hanse.learners.notices import notices_kept
from hanse.learners.script import ScriptSession
from hanse.local.applied import with_rules
from hanse.local.registry import made
from hanse.sandbox.channel import Channel
from hanse.simulation.partition import Partition
from hanse.simulation.script_process.opened import Opened
from hanse.simulation.script_process.protocol import Order, Reply, Setup
from hanse.simulation.shares import Shares
from hanse.wire.tensors import open_file, write_file


class ScriptHost:
    """Carries out orders.

    Args:
        setup: What to run, and as which site.
        main_thread: Where the script runs.
    """

    def __init__(self, setup: Setup, main_thread: MainThread) -> None:
        self._dealing: list[str] = []
        partition = None if setup.partition is None else Partition.parse(setup.partition)
        self._shares = Shares(partition, setup.names, setup.deal_seed, self._dealing.append)
        known = [*setup.data.values(), *filter(None, [setup.data_root]), *setup.ours]
        self._opened = Opened(Path(setup.script).parent, tuple(map(Path, known)))
        site = Site(
            name=setup.site,
            data=DataSources(
                setup.site, {name: Path(path) for name, path in setup.data.items()}, setup.add_data
            ),
            seed=setup.seed,
            options=setup.options,
            data_root=None if setup.data_root is None else Path(setup.data_root),
            index=setup.index,
            count=setup.count,
            state_dir=Path(setup.state_dir),
            partition=self._shares.share(setup.site, setup.index),
            labels=None if setup.labels is None else tuple(setup.labels),
            features=None if setup.features is None else tuple(setup.features),
        )
        self._session = ScriptSession(
            Path(setup.script), site, Path(setup.kept), setup.arguments, main_thread=main_thread
        )

    def carry_out(self, order: Order) -> Reply:
        """Carry out an order; a failure is a reply too."""
        with notices_kept() as notices:
            try:
                reply = self._done(order)
            except HanseError as error:
                tail = error.log_tail if isinstance(error, TaskError) else ""
                reply = Reply(error=error.code, reason=error.message, mend=error.mend, log_tail=tail)
        noted = {
            "notices": notices,
            "imported": sorted(self._session.imported),
            "opened": self._opened.files,
            "dealt": bool(self._shares.asked),
            "dealing": list(self._dealing),
        }
        return reply.model_copy(update=noted)

    def close(self) -> None:
        """End the script."""
        self._session.close()

    def _done(self, order: Order) -> Reply:
        match order.do:
            case "begin":
                return Reply(evaluates=self._session.evaluates())
            case "initial":
                write_file(Path(order.update), self._session.initial_parameters())
                return Reply(trained=True)
            case "perform":
                return self._performed(order)
            case _:
                self.close()
                return Reply()

    def _performed(self, order: Order) -> Reply:
        groups = nested(open_file(Path(order.groups))) if order.groups else {}
        task = Task(order.task, order.round_number, order.seed, order.settings, groups)
        rules = [made(entry) for entry in order.local]
        task = with_rules(task, rules, order.personal, order.untrained)
        model = open_file(Path(order.model))
        result = self._session.perform(task, model, sequence=order.sequence, counted=order.counted)
        if result.parameters is not None:
            write_file(Path(order.update), result.parameters)
        if result.groups:
            write_file(Path(order.groups_update), flattened(result.groups))
        return Reply(
            num_examples=result.num_examples,
            metrics=dict(result.metrics),
            trained=result.parameters is not None,
            grouped=bool(result.groups),
        )


class Orders:
    """Orders as they come.

    Args:
        channel: Where they come from.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._orders: SimpleQueue[Order | None] = SimpleQueue()
        self._busy = False
        Thread(target=self._read, name="orders", daemon=True).start()

    def serve(self, host: ScriptHost) -> None:
        """Carry out one order after another, until the simulation hangs up."""
        while (order := self._orders.get()) is not None:
            self._busy = True
            reply = host.carry_out(order)
            self._busy = False
            self._channel.send(reply.model_dump())
        host.close()

    def _read(self) -> None:
        while (message := self._channel.receive()) is not None:
            self._orders.put(Order.model_validate(message))
        if self._busy:  # a round may take hours, and its result has no use
            os._exit(1)
        self._orders.put(None)


def main(descriptor: int) -> None:
    """Be the process of a script."""
    os.set_inheritable(descriptor, False)  # not for processes that the script starts
    channel = Channel(descriptor)
    setup = channel.receive()
    if setup is None:
        return
    main_thread = MainThread()
    host = ScriptHost(Setup.model_validate(setup), main_thread)
    main_thread.lend(lambda: Orders(channel).serve(host))


if __name__ == "__main__":
    main(int(sys.argv[1]))
