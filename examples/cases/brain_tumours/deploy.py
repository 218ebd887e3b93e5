"""Deploys the case: institutions with folders, keys and phantoms of their own, as processes on this machine.

    python examples/cases/brain_tumours/deploy.py --institutions 71

makes the phantoms, enrols the institutions, runs the plan under secure aggregation with one agent that is
slow and one that falls silent, verifies the audit, and writes `deployed-tumours/summary.json`.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from program import check_file, check_port, check_rounds, figure, make_folder, one_line  # noqa: E402

with one_line():
    import argparse
    import json
    import math
    import signal
    import subprocess
    import time
    from collections.abc import Mapping
    from typing import Any

    import phantoms
    from local_federation import Federation, deploy
    from local_processes import Child
    from plan_copy import changed
    from pydantic import ValidationError

    from hanse.assembly.demo import free_directory
    from hanse.config.settings import SiteWorker

SEED = 1
PLANS = {phantoms.INSTITUTIONS: "plan.yaml", 7: "plan_seven.yaml"}
"""Plans by number of institutions; for other numbers the cells of the second are dealt anew."""

ON_ONE_MACHINE = {"deadline": "3m"}
"""How the cohort of 71 differs from that of the plan: a cell with a site that stands still is left out after
this time."""


class Stragglers:
    """Makes agents slow by stopping their processes (SIGSTOP) for a while, as if a machine hung.

    Args:
        slow_s: How long the first site that round 1 waits for stands still; its cell waits for it.
        silent: Whether the last site that round 2 waits for stands still until its training is not waited
            for any more, so that its cell is left out of the round's update.

    Attributes:
        stopped: The sites that were stopped, and for how many seconds.
    """

    def __init__(self, slow_s: float, *, silent: bool) -> None:
        self.stopped: dict[str, float] = {}
        self._slow_s = slow_s
        self._silent = silent
        self._now: dict[str, tuple[int, float]] = {}
        """Of those that stand still: the round, and since when."""

    def __call__(self, agents: Mapping[str, Child], status: dict[str, Any]) -> None:
        """Stop and continue agents as the run goes on."""
        round_, now = status["round_open"] or 0, time.monotonic()
        waited = sorted(site["site"] for site in status["awaited"] if site["task"] == "train")
        for site, (since_round, since) in list(self._now.items()):
            long_enough = now - since > self._slow_s if since_round == 1 else site not in waited
            if round_ != since_round or long_enough:
                del self._now[site]
                self.stopped[site] = round(now - since, 1)
                agents[site].send(signal.SIGCONT)
                print(f"{site} goes on after {self.stopped[site]:.0f} s", flush=True)
        chosen = {1: waited[:1], 2: waited[-1:] if self._silent else []}.get(round_, [])
        if any(round_ == begun for begun, _ in self._now.values()) or len(self.stopped) >= round_:
            return
        for site in chosen:
            self._now[site] = round_, now
            agents[site].send(signal.SIGSTOP)
            print(f"{site} stands still now, while round {round_} waits for it", flush=True)


def main() -> None:
    """Deploy the institutions, and say what came of it."""
    chosen = _arguments()
    root: Path = chosen.directory or free_directory(Path("deployed-tumours"))
    make_folder(root)
    names = [phantoms.name(number + 1) for number in range(chosen.institutions)]
    plan = _plan(chosen, root, names)
    sizes = [min(size, chosen.most) for size in phantoms.sizes(chosen.institutions)]
    for number, (name, size) in enumerate(zip(names, sizes, strict=True), start=1):
        phantoms.write_institution(root / "scans" / name, SEED, number, size)
    print(
        f"{len(names)} institutions have {sum(sizes)} phantoms, no patients; {max(sizes)} at the largest and "
        f"{min(sizes)} at the smallest",
        flush=True,
    )
    idle = {} if chosen.idle == "never" else {"idle": chosen.idle}
    federation = Federation(
        "tumours",
        plan,
        {name: {"scans": root / "scans" / name} for name in names},
        root,
        worker={"threads": 1, **idle},
        port=chosen.port,
    )
    stragglers = Stragglers(chosen.slow, silent=chosen.institutions == phantoms.INSTITUTIONS)
    measured = deploy(federation, stragglers if chosen.slow else None)
    summary = measured | {"phantoms": sum(sizes), "idle": chosen.idle, "stood_still_s": stragglers.stopped}
    text = json.dumps(summary, indent=2) + "\n"
    for file in (root / "summary.json", chosen.json):
        if file is not None:
            file.write_text(text, "utf-8")
    _say(root, federation, summary)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Deploy institutions as processes on this machine.")
    parser.add_argument("--institutions", type=int, default=7, help="agents: 6 to 71; 7 unless given")
    parser.add_argument(
        "--directory", type=Path, help="a folder to make; unset: deployed-tumours, -2, -3 ..."
    )
    parser.add_argument("--rounds", type=int, help="unset: those of the plan, and at 71 institutions 4")
    parser.add_argument("--most", type=int, default=10**6, help="most phantoms of one institution")
    parser.add_argument("--idle", default="15s", help="`worker: {idle: ...}` of each site, or `never`")
    parser.add_argument("--slow", type=float, default=15, help="seconds a site stands still; 0: none does")
    parser.add_argument("--port", type=int, help="port of the aggregator; unset: any that is free")
    parser.add_argument("--json", type=Path, help="another file for the summary")
    chosen = parser.parse_args()
    if not 6 <= chosen.institutions <= phantoms.INSTITUTIONS:
        parser.error(f"--institutions is 6 to {phantoms.INSTITUTIONS}, got {chosen.institutions}")
    if chosen.most < phantoms.FEWEST:
        parser.error(f"--most must be at least {phantoms.FEWEST}, got {chosen.most}")
    if not 0 <= chosen.slow < math.inf:
        parser.error(f"--slow must be a number of seconds, got {chosen.slow}")
    try:
        SiteWorker.model_validate({} if chosen.idle == "never" else {"idle": chosen.idle})
    except ValidationError as error:
        parser.error(f"--idle: {error.errors()[0]['msg'].removeprefix('Value error, ')}")
    check_rounds(chosen.rounds)
    check_port(chosen.port)
    check_file(chosen.json)
    return chosen


def _plan(chosen: argparse.Namespace, root: Path, names: list[str]) -> Path:
    """The plan for so many institutions, with the rounds that are wanted."""
    whole = chosen.institutions == phantoms.INSTITUTIONS
    changes = {"rounds": chosen.rounds or (4 if whole else None), "cohort": ON_ONE_MACHINE if whole else None}
    source = HERE / PLANS.get(chosen.institutions, PLANS[7])
    plan = changed(source, root / "plan", changes)
    _carry_out("the first model could not be made", HERE / "unet.py", plan.with_name("start.safetensors"))
    if chosen.institutions not in PLANS:
        sites = plan.with_name("sites.txt")
        sites.write_text("\n".join(names) + "\n", "utf-8")
        deal = ("plan", "cells", plan, "--sites", sites, "--size", 4, "--again")
        _carry_out(f"the cells of {len(names)} institutions could not be dealt", "-m", "hanse", *deal)
    return plan


def _carry_out(otherwise: str, *command: object) -> None:
    """Carry out a Python program; where it fails, this one ends with the last line that it printed."""
    program = [sys.executable, *map(str, command)]
    # A session of its own: Ctrl-C is for this program, which ends that one.
    ended = subprocess.run(program, stderr=subprocess.PIPE, text=True, check=False, start_new_session=True)
    if ended.returncode:
        sys.exit(f"{otherwise}: {(ended.stderr.strip().splitlines() or ['it said nothing'])[-1]}")


def _say(root: Path, federation: Federation, summary: dict[str, Any]) -> None:
    print("\nround  seconds   loss  Dice: whole tumour       core  enhancing")
    for each in summary["rounds"]:
        found = each["metrics"]
        dice = [figure(found.get(f"dice_{region}"), 3) for region in ("wt", "tc", "et")]
        print(
            f"{each['round']:>5}  {each['seconds']:>7.1f}  {figure(found.get('loss'), 3):>5}"
            f"  {dice[0]:>18}  {dice[1]:>9}  {dice[2]:>9}"
        )
    rounds = len(summary["rounds"])
    print(
        f"a round: {summary['model_bytes'] / rounds / 1e6:.1f} MB of models to the sites, "
        f"{summary['update_bytes'] / rounds / 1e6:.1f} MB of masked updates from them"
    )
    kinds = ", ".join(f"{kind} {mib:,.0f}" for kind, mib in summary["most_by_kind_mib"].items())
    print(f"memory: {summary['most_mib']:,.0f} MiB in all at most ({summary['memory']}); {kinds}")
    kinds = ", ".join(f"{kind} {seconds:,.0f}" for kind, seconds in summary["processor_s"].items())
    print(f"processor seconds: {kinds}")
    print(f"model:   {federation.results / 'model.safetensors'}\nsummary: {root / 'summary.json'}")


if __name__ == "__main__":
    with one_line():
        main()
