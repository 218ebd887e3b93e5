"""Prints the lowest versions that pyproject.toml admits, as constraints for pip; see `make lowest`."""

import re
import tomllib
from pathlib import Path

EXTRAS = ("sklearn", "test")

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"]
listed = [*project["dependencies"], *(line for name in EXTRAS for line in extras[name])]
for line in listed:
    name, lowest = re.fullmatch(r"([A-Za-z0-9_.-]+)>=([0-9.]+).*", line).groups()  # type: ignore[union-attr]
    print(f"{name}=={lowest}")
