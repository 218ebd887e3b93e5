"""Packages that a plan requires, held against those that are installed here."""

from __future__ import annotations

import platform
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec

from hanse.core.plan.requirements import INTERPRETER, package_of, satisfies


@dataclass(frozen=True, slots=True)
class Unmet:
    """A requirement of a plan that is not met here.

    Attributes:
        requirement: As the plan states it.
        installed: The version that is installed; None where there is none.
    """

    requirement: str
    installed: str | None

    def __str__(self) -> str:
        """Say what is missing, without the version that is here: the sentence may leave a site."""
        here = "is not installed" if self.installed is None else "is installed in another version"
        return f"the plan requires {self.requirement}, and {package_of(self.requirement)} {here}"


def unmet(requires: Sequence[str]) -> list[Unmet]:
    """Find the requirements of a plan that are not met by the packages of this interpreter.

    Workers run with the same interpreter, so that their code finds the same packages.
    """
    found = ((requirement, installed_version(package_of(requirement))) for requirement in requires)
    return [Unmet(text, here) for text, here in found if here is None or not satisfies(here, text)]


def installed_version(package: str) -> str | None:
    """The version of an installed package, or of Python itself; None where it is not installed."""
    if package.lower() == INTERPRETER:
        return platform.python_version()
    try:
        return metadata.version(package)
    except (metadata.PackageNotFoundError, ValueError):
        return None


def install_command(requirement: str) -> str:
    """The command that installs what a requirement names beside this Hanse, as a shell takes it."""
    package = package_of(requirement)
    if package.lower() == INTERPRETER:
        return f"{requirement} in an environment of its own"
    if find_spec("pip") is None:  # environments that uv makes have none
        return shlex.join(["uv", "pip", "install", "--python", sys.executable, requirement])
    return shlex.join([sys.executable, "-m", "pip", "install", requirement])


def requirement_of_extra(extra: str) -> str:
    """Requirement behind an extra of Hanse, such as `torch>=2.4,<3` of `torch`; its name if unknown."""
    for text in metadata.requires("hanse") or ():
        requirement, _, marker = text.partition(";")
        if marker.replace('"', "'").strip() == f"extra == '{extra}'":
            return requirement.strip()
    return extra
