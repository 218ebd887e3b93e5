"""Runs one schedule of faults after another until the time is over, and says how to repeat what goes wrong.

python -m tests.faults.soak --minutes 10 [--seed 1]
python -m tests.faults.soak --only 17                  one schedule again, in a federation of its own
"""

from __future__ import annotations

import argparse
import secrets
import shutil
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path

from tests.faults.carry_out import carry_out
from tests.faults.schedule import SITES, draw
from tests.faults.small_federation import SmallFederation, in_small_federation

_A_FEDERATION = 10
"""Schedules after which a fresh federation is made."""
_MOST_FAILURES = 5


def main() -> int:
    """Carry out schedules; 1 where one of them broke something."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long")
    parser.add_argument("--seed", type=int, help="of the first schedule; the others count on from it")
    parser.add_argument("--only", type=int, help="carry out the schedule of this seed alone")
    options = parser.parse_args()
    until = time.monotonic() + 60.0 * options.minutes
    first = secrets.randbelow(10**6) if options.seed is None else options.seed
    seeds = iter((options.only,)) if options.only is not None else _from(first, until)
    held = failed = 0
    while failed < _MOST_FAILURES and (seed := next(seeds, None)) is not None:
        for went_well in _carry_out(seed, islice(seeds, _A_FEDERATION - 1)):
            held += went_well
            failed += not went_well
    print(f"{held} schedules left everything as it has to be, {failed} did not")
    return 1 if failed else 0


def _from(first: int, until: float) -> Iterator[int]:
    seed = first
    while time.monotonic() < until:
        yield seed
        seed += 1


def _carry_out(first: int, others: Iterator[int]) -> Iterator[bool]:
    """Carry out schedules in one federation, until one breaks something; whether each did well."""
    seed = first
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            in_small_federation(*SITES, seed=first, mallory=True) as small_federation,
        ):
            for seed in chain((first,), others):
                print(draw(seed), flush=True)
                begin = time.monotonic()
                try:
                    came = carry_out(small_federation, draw(seed), Path(folder))
                except Exception:
                    print(f"  the federation's files are kept in {_keep(small_federation, seed)}")
                    raise
                print(f"  held, after {time.monotonic() - begin:.1f} s: {came}", flush=True)
                yield True
    except Exception:
        traceback.print_exc()
        print(f"FAILED: seed {seed}; again: python -m tests.faults.soak --only {seed}", flush=True)
        yield False


def _keep(small_federation: SmallFederation, seed: int) -> Path:
    kept = Path(tempfile.mkdtemp(prefix=f"hanse-soak-{seed}-"))
    (kept / "steps.txt").write_text("\n".join(small_federation.gates.passed))
    with suppress(shutil.Error):  # parties run on, and delete files meanwhile
        shutil.copytree(
            small_federation.federation.root,
            kept,
            dirs_exist_ok=True,
            ignore=lambda folder, names: [name for name in names if not _is_plain(Path(folder, name))],
        )
    return kept


def _is_plain(path: Path) -> bool:
    return path.is_file() or path.is_dir()


if __name__ == "__main__":
    raise SystemExit(main())
