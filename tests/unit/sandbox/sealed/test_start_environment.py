import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hanse.sandbox.sealed.start_environment import InterpreterStart, problems_of

GOOD = InterpreterStart(
    isolated=True,
    user_site=False,
    variables=("PATH", "HOME", "PYTHONUNBUFFERED"),
    path=("/opt/hanse/lib/python3.12", "/opt/hanse/lib/python3.12/site-packages"),
    prefixes=("/opt/hanse",),
    site_folders=(),
)


def problem(start: InterpreterStart) -> str:
    (found,) = problems_of(start)
    return found


def test_an_isolated_start_has_no_problem() -> None:
    assert problems_of(GOOD) == ()


def test_a_start_that_is_not_isolated_is_a_problem() -> None:
    assert "start it with -I" in problem(replace(GOOD, isolated=False))


@pytest.mark.parametrize(
    "name",
    [
        *("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONPYCACHEPREFIX"),
        *("LD_LIBRARY_PATH", "LD_PRELOAD", "LD_AUDIT", "OPENSSL_CONF"),
    ],
)
def test_a_variable_by_which_code_comes_in_is_a_problem(name: str) -> None:
    assert f"the variable {name} is set" in problem(replace(GOOD, variables=("PATH", name)))


def test_packages_in_the_users_home_are_a_problem() -> None:
    assert "in the home of the user" in problem(replace(GOOD, user_site=True))


@pytest.mark.parametrize(
    ("entry", "named"),
    [("/srv/code", "/srv/code"), ("", "the working directory"), ("/opt/hanse-2", "/opt/hanse-2")],
)
def test_an_import_path_outside_of_the_prefix_is_a_problem(entry: str, named: str) -> None:
    assert f"the import path has {named}" in problem(replace(GOOD, path=(*GOOD.path, entry)))


def test_a_link_in_the_prefix_that_leads_outside_is_a_problem(tmp_path: Path) -> None:
    prefix, other = tmp_path / "prefix", tmp_path / "other"
    prefix.mkdir()
    other.mkdir()
    (prefix / "packages").symlink_to(other)

    start = replace(GOOD, prefixes=(str(prefix),), path=(str(prefix / "packages"),))

    assert "outside of" in problem(start)


@pytest.fixture
def packages(tmp_path: Path) -> InterpreterStart:
    """A start whose `.pth` files lie in `packages`, and may lead to `inside`."""
    for name in ("prefix/packages", "prefix/inside", "outside"):
        (tmp_path / name).mkdir(parents=True)
    return replace(
        GOOD, path=(), prefixes=(str(tmp_path / "prefix"),), site_folders=(str(tmp_path / "prefix/packages"),)
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import sitecustomizer\n", "runs code at every start"),
        ("# a comment\n\n../../outside\n", "outside to the import path"),
        ("../inside\n", ""),
        ("../absent\n", ""),
        ("important\n", ""),
    ],
)
def test_a_path_file_may_lead_to_the_prefix_and_run_nothing(
    packages: InterpreterStart, text: str, found: str
) -> None:
    Path(packages.site_folders[0], "some.pth").write_text(text)

    problems = problems_of(packages)

    assert found in problem(packages) if found else problems == ()


def test_a_path_file_too_large_to_be_checked_is_a_problem(packages: InterpreterStart) -> None:
    Path(packages.site_folders[0], "some.pth").write_bytes(b"#" * (1 << 20) + b"\nimport os")

    assert "too large" in problem(packages)


def test_this_interpreter_is_checked_as_it_was_started() -> None:
    code = (
        "from hanse.sandbox.sealed.start_environment import check_isolated_start as c; print(*c(), sep='\\n')"
    )
    environment = {"PYTHONPATH": str(Path(__file__).parents[4] / "src"), "PYTHONSTARTUP": "/x"}

    told = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    ).stdout

    assert "not started isolated" in told
    assert "the variable PYTHONSTARTUP is set" in told
    assert "the import path has the working directory" in told
