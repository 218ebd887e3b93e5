"""Packages that a plan requires, held against those of this interpreter."""

import shlex
import sys
from importlib import metadata

import pytest

from hanse.learners.installed import install_command, installed_version, requirement_of_extra, unmet


def test_packages_that_are_installed_meet_their_requirements() -> None:
    assert unmet(["numpy>=2.0", "python>=3.11", "PyYAML", "pyyaml>=6"]) == []


@pytest.mark.parametrize(
    ("requirement", "told"),
    [
        ("numpy>=1000", "the plan requires numpy>=1000, and numpy is installed in another version"),
        ("python>=4", "the plan requires python>=4, and python is installed in another version"),
        ("no-such-package", "the plan requires no-such-package, and no-such-package is not installed"),
    ],
)
def test_what_is_missing_is_told_without_the_version_that_is_here(requirement: str, told: str) -> None:
    (found,) = unmet(["numpy", requirement])

    assert str(found) == told


def test_the_version_of_a_package_is_that_of_its_distribution() -> None:
    assert installed_version("numpy") == metadata.version("numpy")
    assert installed_version("no-such-package") is None


def test_what_an_extra_needs_can_be_installed_as_it_is_written() -> None:
    command = shlex.split(install_command(requirement_of_extra("sklearn")))

    assert command == [sys.executable, "-m", "pip", "install", "scikit-learn<2,>=1.8"]
    assert requirement_of_extra("unheard-of") == "unheard-of"


def test_an_environment_without_pip_is_installed_into_by_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hanse.learners.installed.find_spec", lambda name: None)

    assert install_command("torch>=2.4") == f"uv pip install --python {sys.executable} 'torch>=2.4'"
