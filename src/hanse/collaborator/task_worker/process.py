"""The task worker: plan code beside the site's data, in a process without keys or network."""

from __future__ import annotations

from pathlib import Path

from hanse.collaborator.run_folder import spare_of
from hanse.collaborator.task_worker.protocol import Order, Setup, TaskReport
from hanse.core.plan.exchange_limits import methods_of
from hanse.core.plan.manifest import Manifest
from hanse.core.values.groups import nested
from hanse.core.values.parameters import Array
from hanse.core.values.site import DataSources, Site
from hanse.errors import HanseError, TaskError
from hanse.learners.adapters.torch_loaders import refuse_loader_processes
from hanse.learners.base import Session
from hanse.learners.bundle import load_factory
from hanse.learners.failures import users_objects
from hanse.learners.main_thread import MainThread
from hanse.learners.notices import notices_kept
from hanse.learners.perform import Ask, perform, setup_seed
from hanse.learners.personal.session import learner_session, script_session
from hanse.learners.script import ScriptSession
from hanse.sandbox.channel import Channel
from hanse.sandbox.confine import Confined
from hanse.wire.tensors import open_file, write_file


def main(channel: Channel, confined: Confined, arguments: tuple[str, ...]) -> None:
    """Perform one order after another, until the agent hangs up.

    Args:
        channel: To the agent.
        confined: How far this process is confined.
        arguments: A `Setup`, as JSON.
    """
    if confined.not_shared:
        refuse_loader_processes(confined.not_shared)
    main_thread = MainThread()
    host = TaskHost(Setup.model_validate_json(arguments[0]), main_thread)

    def serve() -> None:
        while (message := channel.receive()) is not None:
            channel.send(host.carry_out(Order.model_validate(message)).model_dump())
        host.close()

    if host.is_script:
        main_thread.lend(serve)
    else:
        serve()


class TaskHost:
    """Holds the user's code from its first task to its last; works in the current directory.

    Args:
        setup: What to run, and as which site.
        main_thread: Where a script runs; None: in a thread of its own.
    """

    def __init__(self, setup: Setup, main_thread: MainThread | None = None) -> None:
        self._setup = setup
        self._main_thread = main_thread
        self._plan = Manifest.from_bytes(Path(setup.manifest).read_bytes(), setup.digest).plan
        self._session: Session | None = None
        self._noted: set[str] = set()

    @property
    def is_script(self) -> bool:
        """True where the user's code is a script, and not a learner."""
        return self._plan.script is not None

    def carry_out(self, order: Order) -> TaskReport:
        """Perform a task; a failure is a report too."""
        with notices_kept() as notices:
            try:
                with users_objects(order.task):
                    report = self._perform(order)
            except HanseError as error:
                tail = error.log_tail if isinstance(error, TaskError) else ""
                report = TaskReport(error=error.code, reason=error.message, mend=error.mend, log_tail=tail)
        # What a task has noted is noted again by each one like it.
        said = notices if report.error else [text for text in notices if text not in self._noted]
        self._noted.update(said)
        return report.model_copy(update={"notices": said})

    def close(self) -> None:
        """End the user's code."""
        if self._session is not None:
            self._session.close()

    def _perform(self, order: Order) -> TaskReport:
        self._session = self._session or self._begin()
        received = None if order.model is None else open_file(Path(order.model))
        groups: dict[str, Array] = {}
        for name in order.groups:
            groups |= open_file(Path(name))
        ask = Ask(
            order.exchange, order.round_number, order.task, order.settings, nested(groups), order.counted
        )
        performed = perform(self._session, self._plan, self._setup.site, ask, received)
        if performed.update is not None:
            path = Path(order.update)
            write_file(path, performed.update, over=spare_of(path))
        return TaskReport(num_examples=performed.num_examples, metrics=dict(performed.metrics))

    def _begin(self) -> Session:
        plan, bundle = self._plan, Path(self._setup.bundle)
        data = {name: Path(path) for name, path in self._setup.data.items()}
        own = Path("site")
        own.mkdir(exist_ok=True)
        site = Site(
            name=self._setup.site,
            data=DataSources(self._setup.site, data),
            seed=setup_seed(plan),
            options=plan.options,
            state_dir=own.resolve(),
            labels=plan.labels,
            features=plan.features,
        )
        state, personal = Path("state").resolve(), Path("personal").resolve()
        if plan.script is not None:
            script = bundle / plan.script
            running = ScriptSession(script, site, state, plan.arguments, main_thread=self._main_thread)
            return script_session(running, plan.personal, personal)
        assert plan.learner is not None  # the schema sees to it
        factory = load_factory(bundle, plan.learner)
        return learner_session(factory, site, state, plan.personal, personal, methods_of(plan))
