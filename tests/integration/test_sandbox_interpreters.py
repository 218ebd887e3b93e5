"""Workers of interpreters and packages that lie elsewhere than in `/usr`; layouts as the tools make them."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.integration.test_sandbox import REFUSALS, SUPPORT, attempt, here, spec

from hanse.sandbox.process import WorkerSpec

__all__ = ["here"]  # skips where the machine lacks a layer

VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
PACKAGES = [entry for entry in sys.path if entry.endswith("site-packages")]
SOURCE = str(Path(__file__).parents[2] / "src")

Start = Callable[..., WorkerSpec]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """A worker of another Python, with the packages of this one and further folders to import from."""

    def start(python: Path = Path(sys.executable), *folders: Path, **confinement: Any) -> WorkerSpec:
        monkeypatch.setattr(sys, "executable", str(python))
        paths = (str(SUPPORT), *map(str, folders), SOURCE, *PACKAGES)
        given = spec(tmp_path / "run", **confinement)
        environment = {**given.environment, "PYTHONPATH": os.pathsep.join(paths)}
        return WorkerSpec(given.module, given.workspace, given.log, given.confinement, (), environment)

    (tmp_path / "run").mkdir()
    return start


def interpreter(prefix: Path) -> Path:
    """A prefix with a copy of this Python; its library stays where it is."""
    (prefix / "bin").mkdir(parents=True)
    for part in ("lib", "include"):
        (prefix / part).symlink_to(Path(sys.base_prefix) / part)
    return Path(shutil.copy2(os.path.realpath(sys.executable), prefix / "bin" / VERSION))


def test_code_is_compiled_against_the_interpreter(start: Start) -> None:
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.exists():
        pytest.skip("this Python came without its headers")

    assert "Py_PYTHON_H" in attempt(start(), "read", str(header))


def test_an_environment_of_uv_leads_to_its_interpreter_by_links(tmp_path: Path, start: Start) -> None:
    home, venv = tmp_path / "home", tmp_path / "project" / ".venv"
    python = interpreter(home / ".local/share/uv/python/cpython-3.11.7-linux-x86_64-gnu")
    alias = python.parents[1].with_name("cpython-3.11-linux-x86_64-gnu")
    alias.symlink_to(python.parents[1].name)
    (home / ".local/bin").mkdir()
    (home / ".local/bin" / VERSION).symlink_to(alias / "bin" / VERSION)
    (venv / "bin").mkdir(parents=True)
    (venv / "bin/python").symlink_to(home / ".local/bin" / VERSION)
    (venv / "pyvenv.cfg").write_text(f"home = {alias}/bin\ninclude-system-site-packages = false\n")

    found = attempt(start(venv / "bin/python"), "python", "import sys; print(sys.prefix, sys.base_prefix)")

    assert found.split() == [str(venv), str(alias)]


def test_a_prefix_of_conda_has_its_compilers_and_no_site_beside_them(tmp_path: Path, start: Start) -> None:
    prefix = tmp_path / "miniconda3/envs/study"
    python = interpreter(prefix)
    for part in ("compiler_compat/ld", "x86_64-conda-linux-gnu/bin/gcc", "site/pki/site.key"):
        (prefix / part).parent.mkdir(parents=True)
        (prefix / part).write_text(part)

    worker = start(python)

    assert attempt(worker, "read", str(prefix / "compiler_compat/ld")) == "compiler_compat/ld"
    assert attempt(worker, "read", str(prefix / "x86_64-conda-linux-gnu/bin/gcc")).endswith("gcc")
    assert attempt(worker, "read", str(prefix / "site/pki/site.key")) in REFUSALS


def test_packages_that_are_links_into_a_cache_are_imported(tmp_path: Path, start: Start) -> None:
    cache, packages = tmp_path / "home/.cache/uv/archive-v0/Xy1", tmp_path / "packages"
    for file in ("greeting/__init__.py", "greeting-1.0.dist-info/METADATA"):
        (cache / file).parent.mkdir(parents=True)
        (cache / file).write_text("")
        (packages / file).parent.mkdir(parents=True)
        (packages / file).symlink_to(cache / file)

    assert attempt(start(Path(sys.executable), packages), "imported", "greeting").endswith("__init__.py")


def test_a_package_that_is_installed_editable_is_imported_and_its_project_stays_hidden(
    tmp_path: Path, start: Start
) -> None:
    project = tmp_path / "project"
    (project / "src/greeting").mkdir(parents=True)
    (project / "src/greeting/__init__.py").write_text("")
    (project / ".env").write_text("a secret")
    venv = tmp_path / "venv"
    packages = venv / "lib" / VERSION / "site-packages"
    packages.mkdir(parents=True)
    (venv / "bin").mkdir()
    (venv / "bin/python").symlink_to(sys.executable)
    (venv / "pyvenv.cfg").write_text(f"home = {sys.base_prefix}/bin\n")
    (packages / "__editable__.greeting-1.0.pth").write_text("import __editable___greeting; _ = 1\n")
    (packages / "__editable___greeting.py").write_text(FINDER.format(project / "src/greeting"))

    worker = start(venv / "bin/python")

    assert attempt(worker, "imported", "greeting") == str(project / "src/greeting/__init__.py")
    assert attempt(worker, "read", str(project / ".env")) in REFUSALS


FINDER = """
import sys
from importlib.util import spec_from_file_location

MAPPING = {{"greeting": "{0}"}}

class _EditableFinder:
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return spec_from_file_location(name, MAPPING[name] + "/__init__.py") if name in MAPPING else None

sys.meta_path.append(_EditableFinder)
"""
"""As setuptools writes it, in short."""


@pytest.mark.parametrize("folder", ["/tmp", "/var/tmp"])
def test_code_that_writes_to_the_usual_temporary_folder_writes_to_the_workers_own(
    start: Start, folder: str
) -> None:
    name = f"hanse-test-{os.getpid()}"

    worker = start()
    assert attempt(worker, "write", f"{folder}/{name}") == 4
    assert not Path(folder, name).exists()
    assert not (worker.workspace / "tmp" / name).exists()  # emptied at its end


def test_what_is_granted_below_tmp_is_shown_in_the_workers_own(
    start: Start, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = tmp_path_factory.mktemp("data")
    (data / "x").write_text("42")

    assert attempt(start(Path(sys.executable), read=(data,)), "read", str(data / "x")) == "42"
