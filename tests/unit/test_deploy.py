"""What is carried to other machines: systemd units, as the pages show them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hanse.errors import ConfigError, PolicyError, ProtocolError, TrustError

ROOT = Path(__file__).parents[2]
UNITS = {"hanse-collaborator": "join.md", "hanse-aggregator": "aggregator.md"}


def unit(name: str) -> str:
    return (ROOT / "deploy" / f"{name}.service").read_text("utf-8")


@pytest.mark.parametrize("name", UNITS)
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
def test_systemd_has_no_remark_on_a_unit(name: str, tmp_path: Path) -> None:
    file = tmp_path / f"{name}.service"
    # The path of hanse differs from machine to machine; systemd looks whether it is there.
    file.write_text(unit(name).replace("/opt/hanse/bin/hanse", "/bin/true"), "utf-8")

    verified = subprocess.run(
        ["systemd-analyze", "verify", file], capture_output=True, text=True, timeout=60, check=False
    )

    # It ends with 0 also where it leaves out what it cannot read.
    assert (verified.returncode, [line for line in verified.stderr.splitlines() if name in line]) == (0, [])


@pytest.mark.parametrize(("name", "page"), UNITS.items())
def test_a_unit_is_the_one_that_its_page_shows(name: str, page: str) -> None:
    shown = re.findall(r"```ini\n(.*?)```", (ROOT / "docs" / page).read_text("utf-8"), re.DOTALL)

    assert shown == [unit(name)]


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_restarts_nothing_that_a_restart_does_not_mend(name: str) -> None:
    (statuses,) = re.findall(r"RestartPreventExitStatus=(.*)", unit(name))
    given = set(map(int, statuses.split()))

    assert {ConfigError.exit_code, TrustError.exit_code} <= given
    assert given <= {error.exit_code for error in (ConfigError, PolicyError, TrustError, ProtocolError)}


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_lets_the_kernel_hold_the_limits_of_plan_code(name: str) -> None:
    assert "\nDelegate=memory pids\n" in unit(name)
