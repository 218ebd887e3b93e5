"""What `import hanse`, `hanse --help` and an installation cost.

python benchmarks/startup.py              medians of 15 runs, in turns
python benchmarks/startup.py --install    also the size of a fresh environment without extras
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

RUNS = 15
TOOLS = ("pip", "setuptools", "pkg_resources", "_distutils_hack")
COMMANDS = {
    "python, nothing imported": ["-c", "pass"],
    "import numpy": ["-c", "import numpy"],
    "import hanse": ["-c", "import hanse"],
    "import hanse, all its names": ["-c", "from hanse import *"],
    "hanse --help": ["-m", "hanse", "--help"],
    "hanse --version": ["-m", "hanse", "--version"],
}


def seconds(arguments: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def installed_bytes() -> int:
    """Size of site-packages with Hanse and its dependencies, pip left out."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        project = Path(__file__).parents[1]
        subprocess.run([f"{folder}/bin/pip", "install", "--quiet", str(project)], check=True)
        packages = next(Path(folder).glob("lib/python*/site-packages"))
        files = (path for path in packages.rglob("*") if path.is_file() and not path.is_symlink())
        ours = (p for p in files if p.relative_to(packages).parts[0].split("-")[0] not in TOOLS)
        return sum(path.stat().st_size for path in ours)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--install", action="store_true")
    options = parser.parse_args()
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(RUNS):
        for name, arguments in COMMANDS.items():
            times[name].append(seconds(arguments))
    numpy_s = statistics.median(times["import numpy"])
    for name, found in times.items():
        middle = statistics.median(found)
        print(f"{name:30} {middle:6.3f} s   {middle / numpy_s:5.2f} x import numpy")
    if options.install:
        print(f"site-packages without extras   {installed_bytes() / 1e6:6.0f} MB")


if __name__ == "__main__":
    main()
