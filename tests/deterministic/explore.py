"""Explores schedules from random seeds until the time is over, and says how to repeat what goes wrong.

python -m tests.deterministic.explore --minutes 10 --seed 1
python -m tests.deterministic.explore core 4711          one schedule again, with its journal
"""

from __future__ import annotations

import argparse
import logging
import secrets
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from tests.deterministic.core_world import CoreWorld
from tests.deterministic.service_world import ServiceWorld

WORLDS: dict[str, Callable[[int], Any]] = {"core": CoreWorld, "service": ServiceWorld}
MOST_FAILURES = 5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("world", nargs="?", choices=sorted(WORLDS), help="repeat one schedule of this world")
    parser.add_argument("number", nargs="?", type=int, help="its seed")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, help="the first seed; the others follow it")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    if given.number is not None:
        return repeat(given.world, given.number)
    first = secrets.randbelow(10**9) if given.seed is None else given.seed
    worlds = [given.world] if given.world else list(WORLDS)
    return max(explore(world, first, given.minutes * 60 / len(worlds)) for world in worlds)


def explore(world: str, first: int, seconds: float) -> int:
    """Run one seed after another; what the process ends with."""
    end, begun, done, failed = time.monotonic() + seconds, time.monotonic(), 0, 0
    while time.monotonic() < end and failed < MOST_FAILURES:
        seed = first + done
        try:
            WORLDS[world](seed).run()
        except Exception as error:
            failed += 1
            what = traceback.extract_tb(error.__traceback__)[-1]
            print(f"{world} seed {seed}: {type(error).__name__} in {what.name}: {str(error)[:500]}")
            print(f"  again: .venv/bin/python -m tests.deterministic.explore {world} {seed}")
        done += 1
    rate = 60 * done / (time.monotonic() - begun)
    print(f"{world}: {done} schedules from seed {first}, {rate:.0f} a minute, {failed} went wrong")
    return 1 if failed else 0


def repeat(name: str, seed: int) -> int:
    """Run one schedule, and show its journal where it goes wrong."""
    world = WORLDS[name](seed)
    try:
        world.run()
    except Exception:
        for record in world.aggregator.records():
            body = {key: value for key, value in record.body.items() if key not in ("manifest", "statement")}
            print(f"{record.sequence:5} {record.time_ms / 1000:.3f} {record.kind} {body}")
        print(f"{world.shape}\n{world.fault_plan}\n")
        traceback.print_exc()
        return 1
    print(f"{name} seed {seed}: everything held; the journal's digest is {world.digest()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
