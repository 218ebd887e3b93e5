"""Runs a plan in a federation of real processes on this machine: what its parties would do at their places.

One authority with its aggregator, and an agent with a folder, keys and data of its own for each site; they
talk over mutual TLS. Everything is done by the public commands of Hanse, which are printed as they are
called. The short ones of the enrolment are called in this process, since starting `hanse` anew for each
of some hundred commands takes half a second each; all services, and the commands about the run, are
processes of their own. All of them end with this program, whatever ends it.
"""

from __future__ import annotations

from program import HOST, check_port, make_folder, one_line, refuse

with one_line():
    import argparse
    import json
    import os
    import shlex
    import socket
    import time
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import redirect_stderr, redirect_stdout
    from dataclasses import dataclass, field
    from io import StringIO
    from pathlib import Path
    from typing import Any, TypeVar

    import yaml
    from local_processes import Child, Children, children
    from process_meter import Meter
    from rich.console import Console
    from rich.progress import track

    from hanse.assembly.plan_file import load_plan
    from hanse.cli.main import INTERRUPTED, run
    from hanse.core.values.identity import check_name
    from hanse.errors import HanseError

T = TypeVar("T")

_START_S = 300.0
"""How long a service may take to start; the machine may be busy, with as many agents as there are."""

_ASK_S = 1.0
"""How often to ask how far the run is, where it is to be disturbed."""

Disturb = Callable[[Mapping[str, Child], dict[str, Any]], object]
"""Called about once a second while the run goes on, with the agents by site and what `hanse run status
--json` says of the run; a case may make an agent slow there."""


@dataclass(frozen=True)
class Federation:
    """What is to be deployed.

    Attributes:
        name: The federation's name.
        plan: File of the plan; its code lies beside it.
        sites: Data sources of each site: names that the plan uses, with the folder or file of each.
        root: Folder to make the parties' folders in; made. It must not have a federation yet.
        worker: Section `worker` of every `site.yaml`.
        policy: Section `policy` of every `site.yaml`; None accepts plans of this plan's name by rule.
        port: Of the aggregator; None for one that is free.
        same: Commands of one kind that are printed in full; of more sites a count is printed.
    """

    name: str
    plan: Path
    sites: Mapping[str, Mapping[str, Path]]
    root: Path
    worker: Mapping[str, Any] = field(default_factory=lambda: {"threads": 1})
    policy: Mapping[str, Any] | None = None
    port: int | None = None
    same: int = 3

    @property
    def directory(self) -> Path:
        """The folder of the aggregator, with the authority and the first operator."""
        return self.root / "federation"

    @property
    def results(self) -> Path:
        """What is brought home from the run."""
        return self.root / "results"

    def site(self, name: str) -> Path:
        """The folder of a site."""
        return self.root / "sites" / name

    def log(self, name: str) -> Path:
        """What a party's process prints."""
        return self.root / "logs" / f"{name}.log"


def deploy(federation: Federation, disturb: Disturb | None = None) -> dict[str, Any]:
    """Deploy a federation, run its plan, bring the results home and verify the audit.

    Returns:
        Seconds of each step and each round, and memory, processor time and bytes of the processes, as JSON;
        it is in the folder of the federation too, as `measured.json`.

    Raises:
        SystemExit: Something was refused or failed; says in words what.
        KeyboardInterrupt: After Ctrl-C, when all processes have ended.
    """
    _check(federation)
    os.environ["NO_PROXY"] = HOST  # what stands on this machine is not reached through a proxy
    steps, meter = _Steps(), Meter()
    with children() as processes:
        _found(federation, processes)
        steps.done("aggregator")
        _enrol(federation)
        steps.done("enrolment")
        agents = _start_agents(federation, processes)
        steps.done("agents")
        disturbance = _disturbance(federation, agents, disturb)
        run_id = _submit(federation, processes, meter, disturbance)
        steps.done("run")
        _hanse_process(processes, "run", "export", run_id, "-o", federation.results, *_at(federation))
        steps.done("export")
    with children() as processes:  # an auditor needs no service
        _audit(federation, processes)
    measured = {"sites": len(federation.sites), "seconds": steps.seconds, **_of_rounds(federation)}
    measured |= meter.as_json()
    (federation.root / "measured.json").write_text(json.dumps(measured, indent=2) + "\n", "utf-8")
    return measured


class _Steps:
    """Seconds of each step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.monotonic()

    def done(self, name: str) -> None:
        now = time.monotonic()
        self.seconds[name], self._last = round(now - self._last, 1), now


def _check(federation: Federation) -> None:
    """Refuse what cannot work before anything is started."""
    if not federation.plan.is_file():
        refuse(f"there is no plan {federation.plan}")
    try:
        load_plan(federation.plan)
        for name in (federation.name, *federation.sites):
            check_name(name)
    except HanseError as error:
        refuse(str(error))
    if any((federation.root / name).exists() for name in ("federation", "sites", "logs", "results")):
        refuse(f"{federation.root} has a federation already: remove it, or name another folder")
    for site, sources in federation.sites.items():
        for source, path in sources.items():
            if not path.exists():
                refuse(f"there is no data of {site}: its source {source!r} should be at {path}")
    check_port(federation.port)
    make_folder(federation.root, empty=False)


def _found(federation: Federation, processes: Children) -> None:
    """Create the federation and start its aggregator, which serves when this returns."""
    port = federation.port or _free_port()
    named = ("--name", federation.name, "--host", HOST, "--port", port)
    _show("federation", "create", federation.directory, *named)
    _call("federation", "create", federation.directory, *named)
    aggregator = _start(processes, federation, "aggregator", "aggregator", "start", federation.directory)
    print(aggregator.says(" is ready at ", _START_S), flush=True)


def _enrol(federation: Federation) -> None:
    """Invite each site; let it join, say what it permits, and check the keys of its peers."""
    names, keys = sorted(federation.sites), {}
    for name in _each(names, "sites join", federation):
        site, sources = federation.site(name), federation.sites[name].items()
        data = [word for source, path in sources for word in ("--data", f"{source}={path.absolute()}")]
        token = _call("federation", "invite", name, *_at(federation)).strip()
        _call("join", token, "--site", site, "--proxy", "none", *data)
        _settings(federation, site / "site.yaml")
        keys[name] = json.loads(_call("collaborator", "signing-key", "--site", site, "--json"))["fingerprint"]
        if name in names[: federation.same]:
            _show("federation", "invite", name, *_at(federation))
            _show("join", "TOKEN", "--site", site, "--proxy", "none", *data)
    _show_rest(len(names), federation.same, "the same for {} more sites")
    signers = "".join(f"{name} {key}\n" for name, key in keys.items())
    (federation.root / "signers.txt").write_text(signers, "utf-8")
    pairs = _peers(federation.plan, names)
    for i, (name, peer) in enumerate(_each(pairs, "peers are checked", federation)):
        trust = ("collaborator", "trust", peer, "--site", federation.site(name), "--fingerprint", keys[peer])
        _call(*trust)
        if i < federation.same:
            _show(*trust[:-1], f"{keys[peer][:8]}…")
    _show_rest(len(pairs), federation.same, "the same for {} more pairs; people would telephone")


def _settings(federation: Federation, file: Path) -> None:
    """Change what a site's people would change in `site.yaml` with an editor."""
    settings = yaml.safe_load(file.read_text("utf-8"))
    plan = yaml.safe_load(federation.plan.read_text("utf-8"))
    policy = {"accept": [plan["name"]]} if federation.policy is None else dict(federation.policy)
    settings |= {"policy": policy, "worker": dict(federation.worker)}
    file.write_text(yaml.safe_dump(settings, sort_keys=False), "utf-8")


def _peers(plan: Path, sites: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of a site and a peer to check: the members of its cell, where sums are masked."""
    cells = yaml.safe_load(plan.read_text("utf-8")).get("cells", {})
    return [
        (site, peer)
        for members in cells.values()
        for site in members
        for peer in members
        if site != peer and {site, peer} <= set(sites)
    ]


def _start_agents(federation: Federation, processes: Children) -> dict[str, Child]:
    agents: dict[str, Child] = {}
    for name in sorted(federation.sites):
        command = ("collaborator", "start", "--site", federation.site(name))
        agents[name] = _start(processes, federation, name, *command, shown=len(agents) < federation.same)
    _show_rest(len(agents), federation.same, "the same for {} more sites")
    for agent in _each(list(agents.values()), "agents connect", federation):
        agent.says(" connected to the aggregator of ", _START_S)
    return agents


def _disturbance(
    federation: Federation, agents: Mapping[str, Child], disturb: Disturb | None
) -> Callable[[], None]:
    """What to call again and again for a disturbance: it asks the aggregator how far the run is."""
    last = 0.0

    def call() -> None:
        nonlocal last
        if disturb is None or time.monotonic() < last + _ASK_S:
            return
        runs = json.loads(_call("run", "list", "--json", *_at(federation)))
        if runs and runs[0]["phase"] == "running":
            disturb(
                agents,
                json.loads(_call("run", "status", runs[0]["run_id"], "--json", *_at(federation))),
            )
        last = time.monotonic()

    return call


def _submit(
    federation: Federation, processes: Children, meter: Meter, disturbance: Callable[[], None]
) -> str:
    """Submit the plan and show its run until the end; the id of the run."""

    def meanwhile() -> None:
        meter.look(processes.all)
        disturbance()

    _hanse_process(
        processes, "run", "submit", federation.plan, "--watch", *_at(federation), meanwhile=meanwhile
    )
    return str(json.loads(_call("run", "list", "--json", *_at(federation)))[0]["run_id"])


def _audit(federation: Federation, processes: Children) -> None:
    authority, signers = federation.directory / "ca" / "ca.crt", federation.root / "signers.txt"
    evidence = ("--ca", authority, "--signers", signers, "--receipts", federation.root / "sites")
    _hanse_process(processes, "audit", "verify", federation.results / "journal.jsonl", *evidence)


def _of_rounds(federation: Federation) -> dict[str, Any]:
    """Seconds and metrics of each round from the run's journal, and bytes from the journals of the sites."""
    journal = (federation.results / "journal.jsonl").read_text("utf-8").splitlines()
    records = [json.loads(line) for line in journal if '"kind"' in line]
    times = {0: 0}
    metrics: dict[int, Any] = {}
    for record in records:
        if record["kind"] in ("RunStarted", "RoundCommitted"):
            number = record["body"].get("round_number", 0)
            times[number], metrics[number] = record["time_ms"], record["body"].get("metrics", {})
    rounds = [
        {"round": n, "seconds": round((times[n] - times[n - 1]) / 1000, 2), "metrics": metrics[n]}
        for n in sorted(times)
        if n
    ]
    sent, received = 0, 0
    model = federation.results / "model.safetensors"
    for name in sorted(federation.sites):
        log = json.loads(_call("collaborator", "log", "--site", federation.site(name), "--json"))
        released = [each for each in log if each["kind"] == "ResultReleased"]
        sent += sum((each.get("update") or {}).get("size", 0) for each in released)
        models = {each["model"] for each in released if each.get("model")}
        received += len(models) * (model.stat().st_size if model.is_file() else 0)
    return {"rounds": rounds, "update_bytes": sent, "model_bytes": received}


def _start(
    processes: Children, federation: Federation, name: str, *command: object, shown: bool = True
) -> Child:
    """Start a service, and show the command if it is to be shown."""
    if shown:
        _show(*command)
    kind = "aggregator" if command[0] == "aggregator" else "agents"
    who = "the aggregator" if kind == "aggregator" else name
    return processes.start(who, kind, _words(command), federation.log(name))


def _hanse_process(
    processes: Children, *command: object, meanwhile: Callable[[], object] = lambda: None
) -> None:
    """Carry out a command as a process that prints to this program's output."""
    _show(*command)
    name = f"hanse {command[0]} {command[1]}"
    processes.wait_for(processes.start(name, "operator", _words(command)), meanwhile)


def _call(*command: object) -> str:
    """Carry out a command in this process; what it printed."""
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        code = run(_words(command))
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    if code:
        raise SystemExit(f"hanse {command[0]} {command[1]} ended with {code}: {err.getvalue().strip()}")
    return out.getvalue()


def _each(items: Sequence[T], what: str, federation: Federation) -> Iterable[T]:
    """The items, with a bar on a terminal where they are many."""
    console = Console(stderr=True)
    quiet = not console.is_terminal or len(items) <= federation.same
    return track(items, f"{len(items)} {what}", console=console, transient=True, disable=quiet)


def _show(*command: object) -> None:
    print(f"$ hanse {shlex.join(_words(command))}", flush=True)


def _show_rest(count: int, shown: int, line: str) -> None:
    if count > shown:
        print(f"  … {line.format(count - shown)}", flush=True)


def _words(command: Sequence[object]) -> list[str]:
    return [str(word) for word in command]


def _at(federation: Federation) -> tuple[object, ...]:
    return ("-d", federation.directory)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def main() -> None:
    """Deploy any plan: `local_federation.py plan.yaml --site north --site south --data xrays={site}.csv`."""
    parser = argparse.ArgumentParser(description="Run a plan in a federation of real processes, here.")
    parser.add_argument("plan", type=Path, metavar="PLAN.yaml")
    parser.add_argument("--site", action="append", required=True, help="a site; repeated for each")
    parser.add_argument("--data", action="append", default=[], metavar="NAME=PATH", help="may have {site}")
    parser.add_argument("--directory", type=Path, default=Path("deployed"), help="a folder to make")
    parser.add_argument("--port", type=int, help="port of the aggregator; unset: any that is free")
    chosen = parser.parse_args()
    if wrong := [text for text in chosen.data if not all(text.partition("="))]:
        parser.error(f"--data {wrong[0]} should be NAME=PATH")
    named = [text.partition("=")[::2] for text in chosen.data]
    for option, names in (("--site", chosen.site), ("--data", [name for name, _ in named])):
        if twice := [name for name in names if names.count(name) > 1]:
            parser.error(f"{option} names {twice[0]} twice")
    sites = {site: {name: Path(path.replace("{site}", site)) for name, path in named} for site in chosen.site}
    federation = Federation("here", chosen.plan, sites, chosen.directory, port=chosen.port)
    print(json.dumps(deploy(federation), indent=2))


if __name__ == "__main__":
    with one_line():
        main()
