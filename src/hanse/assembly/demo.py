"""Composition of the demo: its directory, its plan, and the measure of its model."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hanse.assembly.plan_file import load_plan
from hanse.config.load import LoadedPlan
from hanse.config.write import to_yaml
from hanse.core.values.parameters import Parameters
from hanse.core.values.site import DataSources, Site
from hanse.demo.comparison import compare
from hanse.demo.files import HEART_DISEASE, HOSPITALS, INITIAL_MODEL, write_plan
from hanse.errors import ConfigError
from hanse.files.errors import file_errors
from hanse.learners.bundle import load_factory
from hanse.learners.comparison import Comparison
from hanse.learners.perform import setup_seed
from hanse.learners.session import LearnerSession
from hanse.simulation.simulate import with_settings
from hanse.wire.tensors import open_file, write_file


def free_directory(directory: Path) -> Path:
    """Find a directory that does not exist: this one, or `DIRECTORY-2`, `DIRECTORY-3`, ..."""
    found, number = directory, 2
    while found.exists():
        found, number = directory.with_name(f"{directory.name}-{number}"), number + 1
    return found


def make_directory(root: Path) -> None:
    """Make the demo's directory.

    Raises:
        ConfigError: It exists.
        StorageError: It cannot be made.
    """
    if root.exists():
        raise ConfigError(f"{root} exists already", mend="Choose another --directory, or remove it first.")
    with file_errors(f"make the directory {root}"):
        root.mkdir(parents=True)


def write_demo_plan(folder: Path, learner: str, rounds: int | None, *, secure: bool = False) -> LoadedPlan:
    """Write the demo's plan and its code into a folder.

    Args:
        folder: Where to; made.
        learner: See `hanse.demo.files.LEARNERS`.
        rounds: Rounds; None for those of the demo's plan.
        secure: Whether the plan has secure aggregation; its first model is that of the plain demo.
    """
    path = write_plan(folder, learner, secure=secure)
    if secure:
        write_file(folder / INITIAL_MODEL, _first_model(folder, learner))
    if rounds is not None:
        changed = with_settings(load_plan(path), rounds=rounds)
        path.write_text(to_yaml(changed.manifest.plan), encoding="utf-8")
    return load_plan(path)


def _first_model(folder: Path, learner: str) -> Parameters:
    """The model that a hospital would begin with in the plain demo; the same at each."""
    with TemporaryDirectory() as scratch:
        plain = load_plan(write_plan(Path(scratch, "plan"), learner)).manifest.plan
        name = min(HOSPITALS)
        sources = DataSources(name, {"heart": HEART_DISEASE / HOSPITALS[name]})
        site = Site(name, sources, setup_seed(plain), plain.options)
        make = load_factory(folder, f"heart_{learner}:learner")
        return LearnerSession(make, site, Path(scratch, "site")).initial_parameters()


def compare_model(loaded: LoadedPlan, model: Path) -> Comparison:
    """Measure a model beside each hospital's own and the one of all patients.

    Args:
        loaded: The demo's plan.
        model: File of the model that the federation trained.
    """
    plan = loaded.manifest.plan
    if plan.learner is None:
        raise ValueError("the demo's plan has a learner")
    return compare(load_factory(loaded.root, plan.learner), plan, open_file(model))
