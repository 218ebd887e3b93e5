"""Which files the demo's hospitals and plans consist of, and where a copy of them is put."""

from __future__ import annotations

import shutil
from pathlib import Path

from hanse.errors import ConfigError

HOSPITALS = {
    "cleveland": "cleveland.csv",
    "budapest": "hungarian.csv",
    "zurich": "switzerland.csv",
    "long-beach": "va.csv",
}
"""File of each hospital's patients, by the name of its site."""

LEARNERS = ("numpy", "torch", "sklearn")
"""What the demo's model can be written with; each but the first needs the extra of its name."""

_HERE = Path(__file__).parent
HEART_DISEASE = _HERE.parent / "data" / "heart_disease"
"""Folder of the files in `HOSPITALS`."""

# The names of these two folders are no names of packages: what they hold is copied, not imported.
HEART_DISEASE_PLAN = _HERE / "heart-disease"
"""Folder of the demo's plan and its code, for all learners."""
_NEW_PROJECT = _HERE / "new-project"
"""Folder of what a new project begins with; a plan and a file of code for each of `TEMPLATES`."""

TEMPLATES = {
    "numpy": ("plan.yaml", "federation_numpy.py"),
    "torch": ("plan.yaml", "federation_torch.py"),
    "sklearn": ("plan_sklearn.yaml", "federation_sklearn.py"),
    "table": ("plan_table.yaml", "federation_table.py"),
    "script": ("plan_script.yaml", "train.py"),
}
"""Plan and code that a new project can begin with."""


INITIAL_MODEL = "initial.safetensors"
"""File of the first model beside the demo's plan with secure aggregation, as that plan names it."""


def write_plan(folder: Path, learner: str = "numpy", *, secure: bool = False) -> Path:
    """Write the demo's plan and its code into a folder, which is made where it is missing.

    Args:
        folder: Where to; files of the same names are overwritten.
        learner: One of `LEARNERS`.
        secure: Whether the plan has secure aggregation; then `INITIAL_MODEL` remains to be written.

    Returns:
        Path of the plan file.
    """
    if learner not in LEARNERS:
        raise ValueError(f"learner must be one of {', '.join(LEARNERS)}, got {learner!r}")
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("heart_data.py", f"heart_{learner}.py"):
        shutil.copyfile(HEART_DISEASE_PLAN / name, folder / name)
    plan = folder / "plan.yaml"
    source = HEART_DISEASE_PLAN / ("plan_secure.yaml" if secure else "plan.yaml")
    text = source.read_text(encoding="utf-8")
    plan.write_text(text.replace("heart_numpy", f"heart_{learner}"), encoding="utf-8")
    return plan


def write_project(folder: Path, name: str, template: str = "numpy") -> list[Path]:
    """Write the files of a new project into a folder, which must not exist yet.

    Args:
        folder: Where to.
        name: Name of the plan; see `hanse.core.values.identity.check_name`.
        template: One of `TEMPLATES`.

    Returns:
        Paths of the plan file and of its code.

    Raises:
        ConfigError: The folder exists.
    """
    if folder.exists():
        raise ConfigError(f"{folder} exists already", mend="Choose another name, or remove it first.")
    folder.mkdir(parents=True)
    plan, code = folder / "plan.yaml", folder / ("train.py" if template == "script" else "federation.py")
    its_plan, its_code = (_NEW_PROJECT / name for name in TEMPLATES[template])
    shutil.copyfile(its_code, code)
    plan.write_text(its_plan.read_text(encoding="utf-8").replace("my-project", name), encoding="utf-8")
    return [plan, code]
