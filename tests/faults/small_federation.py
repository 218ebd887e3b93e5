"""A small real federation that can be struck at any step: processes behind gates, networks behind proxies."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.faults.processes import Gates, Launcher
from tests.faults.proxy import Network, Proxy
from tests.integration.deployment import Deployment, Running, Site, deployed
from tests.integration.masked_plans import check_peers


class SmallFederation:
    """A federation in which everybody's process stops at gates, and each site is behind a proxy.

    Attributes:
        federation: The parties.
        proxies: The way of each site to the aggregator, by the site's name.
        temporary: The parties' own directory for temporary files.
        large: Whether the models of the present run are long on their way.
        mallory: A site that is enrolled and takes part in nothing, in whose name anything can be said.
    """

    def __init__(self, federation: Deployment, launcher: Launcher, network: Network) -> None:
        self.federation = federation
        self.network = network
        self.proxies: dict[str, Proxy] = {}
        self.temporary = launcher.temporary
        self.large = False
        self.mallory: Site | None = None
        self._launcher = launcher

    @property
    def gates(self) -> Gates:
        """Where the parties stop."""
        return self._launcher.gates

    def set_clock(self, who: str, ahead_s: float) -> None:
        """Have the clock of a party jump."""
        self._launcher.set_clock(who, ahead_s)

    def put_behind_proxies(self, seed: int) -> None:
        """Have every site reach the aggregator through a proxy of its own."""
        port = int(self.federation.url.rpartition(":")[2])
        for name, site in self.federation.sites.items():
            self.proxies[name] = self.network.proxy(port, seed)
            site.settings(aggregator=f"https://localhost:{self.proxies[name].port}", proxy=None)

    def invite_mallory(self) -> None:
        """Have one more site, which the others know nothing of; its agent refuses every plan."""
        self.mallory = self.federation.join("mallory")
        self.mallory.settings(policy={"accept": ["*"], "discloses": {"update": "none"}})
        self.federation.start_agent("mallory")
        del self.federation.sites["mallory"]

    def on_way_of(self, site: str, act: Callable[[Proxy], None]) -> None:
        """Do something to a site's way to the aggregator."""
        self.network.do(lambda: act(self.proxies[site]))

    def begin(self, plan: Path) -> Running:
        """Submit a plan as people do, who watch its run to the end."""
        return self.federation.command(
            "run", "submit", plan, "--watch", "--directory", self.federation.directory
        )

    def party(self, who: str) -> Running:
        """The process of the aggregator or of a site."""
        return self.federation.aggregator if who == "aggregator" else self.federation.agent(who)

    def restart(self, who: str) -> None:
        """Start a party again that has ended; it may stop at a gate before it is ready."""
        if who == "aggregator":
            self.federation.restart_aggregator()
        else:
            self.federation.start_agent(who)

    def kill(self, who: str) -> None:
        """Kill a party, wait for the end of all that it had started, and start it again."""
        self.party(who).end(signal.SIGKILL)
        self.party(who).must_be_gone()
        self.restart(who)

    def settle(self) -> None:
        """Open the gates, and wait until the aggregator serves."""
        self.gates.open()
        self.federation.aggregator.says(" is ready at ")

    def kill_worker(self, who: str) -> None:
        """Kill the process in which a party has plan code run, if it has one now."""
        if workers := self.party(who).workers():
            workers[-1].send(signal.SIGKILL)

    def kill_guard(self, who: str) -> None:
        """Kill the process that is to see to it that a worker ends, if there is one now."""
        if workers := self.party(who).workers():
            workers[0].send(signal.SIGKILL)


@contextmanager
def in_small_federation(
    *names: str, seed: int = 0, mallory: bool = False, checked: bool = False
) -> Iterator[SmallFederation]:
    """A federation of these sites, started, each behind a proxy; nothing of it is left after the block.

    Args:
        names: Of the sites.
        seed: Of what the network leaves to chance.
        mallory: Whether there is a hostile site too.
        checked: Whether the sites have checked each other's signing keys, so that sums can be masked.
    """
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hanse-", dir="/tmp")))
        launcher = Launcher(home)
        stack.callback(launcher.close)
        network = Network()
        stack.callback(network.close)
        federation = stack.enter_context(deployed(home / "parties", start=launcher.start))
        stack.callback(launcher.gates.open)
        small_federation = SmallFederation(federation, launcher, network)
        for name in names:
            federation.join(name)
        small_federation.put_behind_proxies(seed)
        if checked:
            check_peers(federation)
        for name in names:
            federation.start_agent(name)
        if mallory:
            small_federation.invite_mallory()
        yield small_federation
