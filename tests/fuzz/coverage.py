"""Fuzzing guided by coverage: `python -m tests.fuzz.coverage [SECONDS [TARGET ...]]`, or `make fuzz`.

Each target runs in a process of its own, because atheris ends the process at the first
crash. What made it crash is kept in `tests/fuzz/crashes/TARGET/`, and from then on every
run of the tests replays it.
"""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CRASHES = Path(__file__).parent / "crashes"
LONGEST_INPUT = 1 << 18
MEMORY_MB = 2_048
INPUT_S = 15
"""Seconds after which an input counts as a hang."""


def main(arguments: list[str]) -> int:
    """Share the seconds out among the targets; how many of them crashed."""
    from tests.fuzz.targets import TARGETS

    if importlib.util.find_spec("atheris") is None:
        print(
            "atheris is not installed, so nothing was fuzzed with coverage. `pip install -e '.[fuzz]'` "
            "brings it where it exists (Linux on x86-64, CPython 3.11 to 3.13); the tests fuzz without it."
        )
        return 0
    seconds = float(arguments[0]) if arguments else 60.0
    names = arguments[1:] or list(TARGETS)
    if unknown := set(names) - set(TARGETS):
        print(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
        return 2
    crashed = [name for name in names if not _survives(name, max(1, round(seconds / len(names))))]
    for name in crashed:
        print(f"{name} CRASHED; the input is in {CRASHES / name}")
    print(f"{len(names) - len(crashed)} of {len(names)} targets held")
    return min(len(crashed), 100)


def _survives(name: str, seconds: int) -> bool:
    from tests.fuzz.readers import memory
    from tests.fuzz.targets import TARGETS

    crashes = CRASHES / name
    crashes.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f"hanse-fuzz-{name}-", dir=memory()))
    corpus = work / "corpus"
    corpus.mkdir()
    try:
        for number, seed in enumerate(TARGETS[name].seeds()):
            (corpus / f"seed-{number}").write_bytes(seed)
        options = (
            f"-max_total_time={seconds}",
            f"-max_len={LONGEST_INPUT}",
            f"-timeout={INPUT_S}",
            f"-rss_limit_mb={MEMORY_MB}",
            f"-artifact_prefix={crashes}/",
            "-print_final_stats=1",
        )
        command = (sys.executable, "-m", "tests.fuzz.coverage", "--child", name, *options, str(corpus))
        # libFuzzer ends the process without its leave, so that what it wrote is for us to remove.
        own = {**os.environ, "TMPDIR": str(work)}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=own)
    finally:
        shutil.rmtree(work)
        if not any(crashes.iterdir()):
            crashes.rmdir()
    told = f"{done.stdout}{done.stderr}"  # libFuzzer speaks on stderr
    tried = [line.split()[-1] for line in told.splitlines() if "number_of_executed_units" in line]
    held = "held" if done.returncode == 0 else "CRASHED"
    print(f"{name}: {held}, {tried[0] if tried else 'no'} inputs", flush=True)
    if done.returncode != 0:
        print(told[-6_000:])
    return done.returncode == 0


def child(name: str, options: list[str]) -> None:
    """Fuzz one target until the time is over or it crashes; does not return."""
    import atheris

    with atheris.instrument_imports(include=["hanse"]):
        from tests.fuzz.mutation import mutate
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name]
    seeds = target.seeds()

    def change(data: bytes, size: int, seed: int) -> bytes:
        rand = random.Random(seed)
        if rand.random() < 0.5:  # libFuzzer's own, which knows what it found to be worth comparing with
            return bytes(atheris.Mutate(data, size))
        return mutate(target, data, rand.choice(seeds), rand)[:size]

    atheris.Setup([sys.argv[0], *options], target.check, custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], sys.argv[3:])
    sys.exit(main(sys.argv[1:]))
